"""Reductions: what is computed over all texts, such as a mean profile by language.

A file per kind of reduction. dask and xarray compute them; when and where is decided in `engine`.
May import `map_block`, `block` and what they may import.
"""
