"""Reading a results store: verifying, exporting, citing and looking at it.

Nothing here writes to a store. May import `cluster`, `worker` and what is below them; not `run`.
"""
