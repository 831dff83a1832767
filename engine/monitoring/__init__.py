"""Observing a run in progress: events, progress, figures, and their displays.

Nothing here changes a run; `run` does. The report about a store is in `report`. May import `costs`,
`hardware` and `rendering`, but not `advisor`.
"""
