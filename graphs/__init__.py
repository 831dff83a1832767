"""What is computed for a text: fields, blocks, graphs and their kernels.

Lazy: declaring a graph computes nothing. Clusters, tasks and micro-batches are in `engine`. Imports
`storage`, never `engine`.
"""
