"""What workers do before a run writes anything: all prepare for it, and one tries the graph.

The tasks that workers run for it are in `worker.readiness` and `worker.graph_trial`. May import
what `run` may import, and `run.failures`.
"""
