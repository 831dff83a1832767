"""What blocks are given: the rows of their inputs, and what their ``setup`` makes.

Running blocks on them is in `block_execution`. May import what `worker` may import.
"""
