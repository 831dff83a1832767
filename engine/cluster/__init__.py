"""Starting or joining a dask cluster: local processes, GPUs, or a scheduler elsewhere.

What its workers do is in `worker`, sending them tasks in `run`. May import `monitoring`, `advisor`
and what is below them, but not `worker`.
"""
