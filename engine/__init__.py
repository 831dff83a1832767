"""Clusters and runs: everything needed to compute a graph over a corpus.

Files and arrays are in `storage`, blocks and kernels in `graphs`; `engine` may import both.
"""
