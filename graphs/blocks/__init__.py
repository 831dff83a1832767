"""The built-in blocks, one file per block: inputs, fields, parameters and their validation.

In every backend, the code of a block is the function with the block's name; see `kernels`. `fused`
says which blocks a backend computes as one. Modules here may import `block`, `fingerprint`,
`kernels`, `inventories` and `storage`, not each other.
"""
