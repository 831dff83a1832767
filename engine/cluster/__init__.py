"""Starting or joining a dask cluster: local processes, GPUs, or a scheduler elsewhere.

What workers do is in `worker`; `run` sends them tasks. May import `monitoring`, `advisor` and what
is below them, but not `worker`.
"""
