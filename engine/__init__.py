"""Clusters and runs: everything that happens when a graph meets a corpus.

Files and arrays are in `storage`, blocks and kernels in `graphs`; `engine` may import both.
"""
