"""Durable state of a collection: if it is killed, it loses at most the requests in flight.

The authoritative state is beside the corpus: its parts, and one object of the ledger per commit. A
database on the local disk holds uncommitted items, and an index of the committed ones. Imports
`source`, `listed_item`, `outcome`, and storage.
"""
