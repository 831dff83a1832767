"""The backend `cpu`: SHA-256 by the best instructions of the processor, arithmetic by Numba.

The results to compute are defined by `reference`. Modules here may import the files of `kernels`,
`inventories` and `storage`, but not `cuda`.
"""
