"""Micro-batches: how large they are, how much memory they may use, and how many are in flight.

What is computed for one is in `block_execution`. May import what `worker` may import.
"""
