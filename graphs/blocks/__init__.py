"""The built-in blocks, one file per block: inputs, fields, parameters and their validation.

In every backend, the code of a block is the function with the block's name; see `kernels`. Modules
here may import `block`, `fingerprint`, `kernels`, `inventories` and `storage`, not each other.
"""
