"""Cleaning texts before they are hashed: normal forms, markup, white space and lengths.

Reading texts is in `formats` and `corpus`. Modules here may import `errors`, `field` and `text`.
"""
