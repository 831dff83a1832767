"""Starting or joining a dask cluster: local processes, GPUs, or a scheduler elsewhere.

What its workers do is in `worker`. May import `monitoring` and what is below it; not `worker`.
"""
