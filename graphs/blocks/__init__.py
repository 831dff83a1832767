"""The built-in blocks, one file per block: what each takes and makes.

How it is computed is in `kernels`. May import `block`, `fingerprint`, `kernels` and `inventories`.
"""
