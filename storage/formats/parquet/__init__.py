"""The format Parquet: `parquet` reads rows, `footer` decides what to believe of a file.

`as_parquet` reads Arrow columns of frames as if they had been written in it.

Nothing here asks pyarrow for the description of a column chunk: it ends the process if that is
encrypted or damaged. Modules here may import `decoding`, `row_builder` and `format` of the folder
above, and what that may import.
"""
