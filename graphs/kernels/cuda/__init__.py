"""The backend `cuda`: kernels in CUDA C++ that CuPy compiles, and memory on the device.

`reference` defines the results. Modules here may import the files of `kernels`,
`inventories` and `storage`, but not `cpu`.
"""
