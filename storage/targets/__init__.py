"""Where results are written, as whole objects under keys: a disk, a mount, a Drive or a bucket.

What the objects mean is in `store`. Modules here may import `formats`, `rows`, `filesystems` and
what is below them, but not `corpus` or `store`.
"""
