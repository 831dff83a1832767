"""Computation on texts: blocks, the graphs that they form, and the kernels that compute them.

Declaring a graph computes nothing; clusters, tasks and micro-batches are in `engine`. Imports run
one way: frames | fusion > graph > stages > embeddings > blocks | reductions | measures > map_block
> block > drawing | user_functions > fingerprint > kernels > inventories. Modules here may import
`storage`, never `engine`.
"""

from . import graph as graph  # so that blocks can be added without importing it
