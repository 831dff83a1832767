"""A tab on dask's dashboard, and metrics for Prometheus.

Everything but `telemetry` and `link` runs in dask's scheduler. May import the rest of `monitoring`
(except `display`), and `hardware` and `rendering`.
"""
