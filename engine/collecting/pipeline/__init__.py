"""The loops of a collector: items are listed, fetched, turned into text, and decided in order.

Each loop takes items from the working database and writes its results back, so all of them can be
killed at any moment. They wake each other through `item_flow` when there is something to do.
`session` runs them together. Imports `ledger`, `parts`, `web`'s and `extraction`'s contracts,
`monitoring`, and storage.
"""
