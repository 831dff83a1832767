"""The backend `cuda`: kernels in CUDA C++ that CuPy compiles, and memory on the device.

What is computed is defined in `reference`. Modules here may import the files of `kernels`,
`inventories` and `storage`, but not `cpu`.
"""
