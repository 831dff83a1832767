"""How storage is reached through fsspec: filesystems, retries, and URLs without their secrets.

What files mean is not known here. May import `errors`, `field` and `text`.
"""
