"""Reductions: results over all texts, such as a mean profile per language.

`reduce_block` makes a reduction from any function. Each ready-made kind has a file of its own, with
the map-block that applies its result, if there is one; `chunks` has what they share. dask, xarray
and flox compute them; `engine` decides when and where. May import `map_block`, `block` and
what they may import.
"""
