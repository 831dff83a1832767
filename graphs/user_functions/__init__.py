"""Functions of users: how they are sent to workers, and whether they return what is declared.

What identifies them is in `fingerprint`. May import `fingerprint`, and `storage`.
"""
