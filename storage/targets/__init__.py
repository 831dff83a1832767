"""Where results land: whole objects under keys, on a disk, a mount, a Drive or in a bucket.

What the objects mean is in `store`. Modules here may import `formats`, `rows`, `filesystems` and
what is below them, but not `corpus` or `store`.
"""
