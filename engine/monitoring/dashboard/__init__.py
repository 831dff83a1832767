"""A tab of the engine's own on dask's dashboard, and its metrics for Prometheus.

All but `telemetry` and `link` runs where dask's scheduler does.
"""
