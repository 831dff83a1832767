"""The built-in blocks, one file per block: inputs, fields, parameters and their validation.

The code of a block is the function of its name in every backend; see `kernels`. Modules here may
import `block`, `fingerprint`, `kernels`, `inventories` and `storage`, not each other.
"""
