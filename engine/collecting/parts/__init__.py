"""The corpus that a collection writes: its schema and its Parquet files.

The boundaries of files depend on rows alone, so that a resumed collection writes the same rows in
the same order. Imports pyarrow, but neither `ledger` nor `web`.
"""
