"""Engines: what computes the vectors of a batch of tokens. One file per library.

Choosing one is in `registry`, and what they have in common in `engine`. How texts become batches is
in the parent room. May import what `embeddings` may import, and from it the descriptions of models.
"""
