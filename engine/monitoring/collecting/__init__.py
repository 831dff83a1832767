"""Observing a collection in progress: its figures, their metrics for Prometheus, and its record.

`monitoring.collect_progress` counts what the collector reports, and makes the figures.
The displays are in `display`, as those of runs and climbs. May import what `monitoring` may.
"""
