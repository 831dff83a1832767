"""Faults of the Python that runs this process, which the engine works around."""

from __future__ import annotations

import sys

PROFILING_DEADLOCKS = sys.version_info < (3, 11, 8) or (3, 12) <= sys.version_info < (3, 12, 2)
"""Whether `sys._current_frames`, which dask's profiler calls a hundred times per second, can
deadlock the process when a thread begins or ends at a bad moment (CPython issue 106883)."""
