"""Embeddings: a map-block that gives every text a model's vector, and dhātus computed from vectors.

Models, how they are found and loaded, and how texts are cut into batches of tokens. What computes a
batch is in `engines`. May import `blocks` and what it may. Torch and the other packages of the
extra ``embed`` are imported only where a model is loaded.
"""
