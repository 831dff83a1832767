"""Code that runs inside a dask worker: tasks, blocks, micro-batches and their memory budget.

Planning and sending tasks are in `run`; `results` uses `block_execution` and `compute` without a
cluster. May import `monitoring` and what is below it, but not `cluster`.
"""
