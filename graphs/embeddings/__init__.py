"""Embeddings, and the dhātus that are computed from them.

Blocks that need a model of language belong here; those of the default graph are in `blocks`. May
import `blocks` and what it may import.
"""
