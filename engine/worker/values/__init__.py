"""What blocks are given, and the process that runs them.

They are given the rows of their inputs, and what their ``setup`` makes. Running them is in
`block_execution`. May import what `worker` may import.
"""
