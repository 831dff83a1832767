"""A tab on dask's dashboard, and metrics for Prometheus.

All but `telemetry` and `link` runs in dask's scheduler. May import `monitoring` and what is below
it.
"""
