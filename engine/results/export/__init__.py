"""A store written as one file: Parquet, CSV or JSON Lines.

May import `results` and what is below it.
"""
