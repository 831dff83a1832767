"""What a run needs of Python, done before a process is forked for it: imports, and the kernels.

Imported by the server that `conftest.start` forks from. It starts no thread.
"""

# dask, Arrow and fsspec import these when a cluster starts or a file is read: a second each time.
import distributed.dashboard.scheduler
import distributed.dashboard.worker
import distributed.http.health
import distributed.http.prometheus
import distributed.http.proxy  # takes jupyter-server-proxy, where that is there
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
