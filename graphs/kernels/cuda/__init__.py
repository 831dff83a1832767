"""The backend `cuda`: kernels in CUDA C++ that CuPy compiles, and memory on the device.

The results to compute are defined by `reference`. Modules here may import the files of `kernels`,
`inventories` and `storage`, but not `cpu`.
"""
