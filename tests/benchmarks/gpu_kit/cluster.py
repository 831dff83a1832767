"""A run on dask-cuda's own cluster with RMM's pool under CuPy, beside the CPU; without cuDF."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from measure import Table
from on_gpu.results import Results
from on_gpu.whole_runs import objects_apart

import paninifs as pf

WITHOUT_CUDF = {"pre_import": ["cupy"], "enable_cudf_spill": False}


def worker_state() -> dict[str, Any]:
    """Return what a worker allocates from, and the free memory that the engine sees there."""
    import cupy
    import rmm

    from paninifs.graphs.kernels import load

    allocator = getattr(cupy.cuda.get_allocator(), "__module__", None)
    return {
        "allocator": allocator or "CuPy's own",
        "resource": type(rmm.mr.get_current_device_resource()).__name__,
        "free memory, share of the device": (load("cuda").free_memory() or 0)
        / cupy.cuda.runtime.memGetInfo()[1],
    }


def main() -> None:
    import dask
    from dask_cuda import LocalCUDACluster
    from distributed import Client

    from paninifs.engine.cluster.cuda import ENVIRONMENT, cluster_arguments
    from paninifs.engine.hardware.nvml import nvidia

    found = nvidia()
    if found.unavailable:
        raise SystemExit(str(found.unavailable))
    corpus_file = Path(os.environ["KIT"], "corpus", "glosses.jsonl.gz")
    environment = {
        f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in ENVIRONMENT.items()
    }
    arguments = cluster_arguments(
        found.gpus, host="127.0.0.1", dashboard_address="127.0.0.1:0", threads=4
    )
    table = Table(
        "GPU: LocalCUDACluster with RMM under CuPy",
        "One worker per GPU, four threads, the arguments of `connect('cuda')` without cuDF.",
    )
    with (
        dask.config.set(environment),
        LocalCUDACluster(**arguments | WITHOUT_CUDF) as cluster,
        Client(cluster) as client,
        tempfile.TemporaryDirectory() as folder,
    ):
        corpus = pf.open_corpus(corpus_file)
        stores = {backend: Path(folder, f"{backend}.zarr") for backend in ("cuda", "cpu")}
        for backend, store in stores.items():
            began = time.perf_counter()
            options = {"client": client, "backend": backend, "progress": False}
            pf.submit(pf.default_graph(), corpus, store, **options).result()
            seconds = time.perf_counter() - began
            table.rows.append({"what": f"run on {backend}, seconds", "result": seconds})
        apart = objects_apart(*stores.values())
        table.rows.append({"what": "objects that differ", "result": apart})
        for address, state in client.run(worker_state).items():
            print(address, state)
            table.rows += [{"what": name, "result": value} for name, value in state.items()]
        # Before the cluster closes, which may fail or hang on its own.
        Results(Path(os.environ["OUT"], "gpu.json"), add=True).has(table)


if __name__ == "__main__":
    main()
