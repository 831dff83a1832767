"""How storage is accessed through fsspec: filesystems, retries, and URLs without their secrets.

Modules here do not know what the files mean; that is known in `corpus` and `store`. They may import
`errors`, `field` and `text`.
"""
