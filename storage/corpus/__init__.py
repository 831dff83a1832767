"""Corpora, from URLs to batches of rows: listing, counting, planning, opening and reading.

How a format is decoded is in `formats`; where results go is in `targets` and `store`. Modules here
may import `formats`, `rows`, `cleaning`, `filesystems` and what is below them, but not `targets` or
`store`.
"""
