"""Loops that Numba compiles. Modules here are imported only to compile: see `machine_code`.

The compiled code runs without Numba. So loops must not allocate (scratch memory is an argument) or
raise, and compiling a loop that calls Numba's runtime is an error. Modules here may import
the files of `kernels` and `kernels.cpu`, which are part of the key of the code cache.
"""
