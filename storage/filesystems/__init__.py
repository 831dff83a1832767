"""How storage is accessed through fsspec: filesystems, retries, and URLs without their secrets.

What the files mean is defined in `corpus` and `store`. Modules here may import `errors`, `field`
and `text`.
"""
