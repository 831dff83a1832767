"""Corpora, from URLs to batches of rows: listing, counting, planning, opening and reading a corpus.

How one format is decoded is in `formats`, where results go in `targets` and `store`. May import
`formats`, `rows`, `cleaning`, `filesystems` and what is below them; not `targets`.
"""
