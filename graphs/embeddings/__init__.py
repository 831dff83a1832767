"""Embeddings, and the dhātus that are computed from them. May import `blocks` and what it may."""
