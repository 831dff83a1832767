"""Staging: a corpus that must be computed first is computed once, into a folder of Parquet files.

`parts` says what is computed and how it is known again, `part_files` writes one part on a worker,
`folder` knows which parts are done, `identity` what they are parts of. Starting the work is in
`staging` and in `run`. Modules here may import `cluster`, `worker` and what is below them.
"""
