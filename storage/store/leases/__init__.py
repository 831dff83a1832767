"""One writer per store: the lease of its driver, and whether the process that holds one is alive.

The leases of all targets of a run are taken and released together by `engine.run.target_leases`.
May import what `storage.store` may.
"""
