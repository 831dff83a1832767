"""How storage is accessed through fsspec: filesystems, retries, and URLs without their secrets.

What the files mean is not known here. May import `errors`, `field` and `text`.
"""
