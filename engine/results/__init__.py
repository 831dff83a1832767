"""Reading a results store: status, overview, verification, export, citation, nearest texts.

Nothing here writes to a store; `run` does. The HTML page about a store is in `report`. May import
`cluster`, `worker` and what is below them, but not `run`.
"""
