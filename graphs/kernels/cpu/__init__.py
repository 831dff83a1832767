"""The backend `cpu`: SHA-256 with the instructions that the processor has, arithmetic by Numba.

What is computed is defined in `reference`. Modules here may import the files of `kernels`,
`inventories` and `storage`, but not `cuda`.
"""
