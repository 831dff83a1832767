"""Cleaning texts before they are hashed: normal forms, markup, white space and lengths.

Reading is in `formats`. May import `errors`, `field` and `text`.
"""
