"""The backend `cpu`: SHA-256 with the best instructions of the processor, arithmetic with Numba.

`reference` defines the results. Modules here may import the files of `kernels`,
`inventories` and `storage`, but not `cuda`.
"""
