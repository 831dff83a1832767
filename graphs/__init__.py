"""What is computed for a text: blocks, graphs, and the kernels that compute them.

Declaring a graph computes nothing; clusters, tasks and micro-batches are in `engine`. Imports run
one way: frames | fusion > graph > blocks > block > fingerprint > kernels > inventories. Modules
here may import `storage`, never `engine`.
"""
