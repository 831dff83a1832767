"""A store joined with its corpus as one table: a DataFrame, or a Parquet or CSV file.

May import `results` and what is below it.
"""
