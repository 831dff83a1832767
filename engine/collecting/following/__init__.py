"""Analysing a corpus while it is collected: repeated runs over its committed parts.

What a collection writes is described in `collecting.ledger`; the runs are those of `engine.run`.
Imports these and what `engine.run` may import.
"""
