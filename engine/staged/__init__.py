"""Staging: a corpus that must be computed first is computed once, into a folder of Parquet files.

`parts` defines what is computed, `part_files` writes one part on a worker, `folder` tracks which
parts are done, and `identity` identifies the corpus that they belong to. The work is started in
`staging` and in `run`. Modules here may import `cluster`, `worker` and what is below them.
"""
