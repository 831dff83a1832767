"""Imports and kernels that a run needs, prepared before a process is forked for it.

Imported by the server that `conftest.start` forks from. It must not start threads.
"""

# dask, Arrow and fsspec import these when a cluster starts or a file is read: a second each.
import distributed.dashboard.scheduler
import distributed.dashboard.worker
import distributed.http.health
import distributed.http.prometheus
import distributed.http.proxy  # imports jupyter-server-proxy, if installed
import distributed.http.scheduler.info
import distributed.http.scheduler.json
import distributed.http.scheduler.prometheus
import distributed.http.statics
import distributed.http.worker.prometheus  # noqa: F401
import fsspec.implementations.local  # noqa: F401
import pandas as pd  # noqa: F401
import pyarrow.pandas_compat  # noqa: F401

import paninifs.engine.monitoring.dashboard.prometheus
import paninifs.engine.monitoring.dashboard.tab
import paninifs.engine.run.submit  # noqa: F401
from paninifs.graphs.kernels import load

load("cpu").prepare()
