"""The backend `cpu`: SHA-256 by what the processor has, and arithmetic compiled by Numba.

What is computed is defined in `reference`. May import the files of `kernels` and `inventories`; not
`cuda`.
"""
