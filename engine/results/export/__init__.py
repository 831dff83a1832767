"""A store joined with its corpus as one table: a DataFrame, or a Parquet or CSV file.

Opening the arrays alone, as an xarray dataset, is in `storage.store.dataset`. May import `results`
and what is below it.
"""
