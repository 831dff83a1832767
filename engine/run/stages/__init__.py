"""The stages of a run: planned against what the store has, tried, and carried out one by one.

Sending the tasks of a pass to workers is in `run.dispatch`. May import what `run` may import.
"""
