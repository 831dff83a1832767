"""What `gpu.py` measures on a GPU, one file per subject; each yields tables as it has them.

`bounds` is arithmetic and needs no GPU. The other modules import CuPy when they are imported.
"""
