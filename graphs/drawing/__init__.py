"""How blocks and graphs are shown.

Computes nothing. May import `storage`.
"""
