"""The backend `cuda`: kernels in CUDA C++ that CuPy compiles, and memory on the device.

What is computed is defined in `reference`. May import the files of `kernels` and `inventories`; not
`cpu`.
"""
