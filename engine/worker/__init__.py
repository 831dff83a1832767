"""What runs inside a dask worker: tasks, blocks, micro-batches and their memory budget.

Sending tasks is in `run`. May import `monitoring` and what is below it; not `cluster`.
"""
