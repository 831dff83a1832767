"""A tab on dask's dashboard, and metrics for Prometheus.

`telemetry` and `link` run on the client, everything else in dask's scheduler. Displays in terminals
and notebooks are in `display`. May import the rest of `monitoring` except `display`, and `hardware`
and `rendering`.
"""
