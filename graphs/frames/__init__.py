"""A corpus or a frame as a backend's arrays.

Files are read in `storage`, and `kernels` compute with the arrays. May import `kernels`, and
`storage`.
"""
