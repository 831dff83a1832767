"""Embeddings: a map-block that gives every text a model's vector.

Models, how they are found and loaded, and how texts are cut into batches of tokens. What computes a
batch is in `engines`. May import `block` and what it may import, and `kernels` for compiled loops.
Torch and the other packages of the extra ``embed`` are imported only where a model is loaded.
"""
