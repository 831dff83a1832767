"""Reductions: what is computed over all texts, such as a mean profile by language.

`reduce_block` makes a reduction of any function. Then there is one file per ready-made kind, with
the map-block that applies its result, if there is one; `chunks` has what they share. dask, xarray
and flox compute them; when and where is decided in `engine`. May import `map_block`, `block` and
what they may import.
"""
