"""What a cluster of this machine's GPUs needs, and the arguments for dask-cuda.

Importing this imports nothing heavy, so that a machine that lacks something fails at once. The
clusters themselves are started in `local`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from ...storage.errors import BackendUnavailable, UsageError
from ..hardware.backends import why_no_cuda
from ..hardware.gpu import INITIAL_POOL_SHARE, Gpu
from ..hardware.nvml import nvidia
from ..hardware.packages import installed_packages
from ..hardware.selection import threads_per_gpu

UCX = ("ucxx", "distributed_ucxx")
ALTERNATIVE = "; --cluster cpu, or connect('cpu'), computes the same bits without a GPU"

# CUDA orders devices fastest first, NVML by bus; dask-cuda assumes that the orders are the same.
ENVIRONMENT = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}

# Shares of a device's memory. The pool starts with the first share and grows to the second; the
# rest is for the context, the kernels' code and other programs. The third share is the maximum for
# results that wait, so that the rest of the pool is free for computing.
POOL_AT_FIRST, POOL_AT_MOST, KEPT_ON_DEVICE = INITIAL_POOL_SHARE, 0.9, 0.5

_log = logging.getLogger(__name__)


def require_gpus(workers: int | None = None) -> tuple[Gpu, ...]:
    """Return the GPUs that each get a worker: the first `workers` usable ones, or all of them.

    Parameters
    ----------
    workers : int, optional
        Number of GPUs; by default all usable ones.

    Raises
    ------
    BackendUnavailable
        The driver, a usable GPU or a package is missing, or a package is incompatible. The message
        says which, and what to install.
    UsageError
        There are fewer usable GPUs.
    """
    found = nvidia()
    usable = tuple(gpu for gpu in found.gpus if not gpu.unusable)
    if usable and workers is not None and workers > len(usable):
        raise UsageError(f"{workers} workers need one GPU each, but only {len(usable)} can be used")
    chosen = usable[:workers]
    missing = (
        installed_packages().trouble_with(chosen)
        if chosen
        else why_no_cuda(found, installed_packages())
    )
    if missing:
        raise BackendUnavailable(f"cluster 'cuda' cannot start here: {missing}{ALTERNATIVE}")
    for gpu in found.gpus:
        if gpu.unusable:
            _log.warning("GPU %d, a %s, is left out: %s", gpu.index, gpu.name, gpu.unusable)
    return chosen


def cluster_arguments(
    gpus: Sequence[Gpu],
    *,
    host: str,
    dashboard_address: str,
    threads: int | None = None,
    memory: str | None = None,
) -> dict[str, Any]:
    """Return every argument for `dask_cuda.LocalCUDACluster`: one worker per GPU.

    Parameters
    ----------
    gpus : sequence of Gpu
        From `require_gpus`.
    host, dashboard_address : str
        Where scheduler and workers, and the dashboard, listen.
    threads : int, optional
        Threads per worker; by default its share of the cores, at least one. The threads share the
        device, and divide its memory and the worker's among them. Give fewer if long texts leave
        them too little memory. On a T4 of Colab there are two, one per vCPU: they, and not the
        device, limit the run.
    memory : str, optional
        Host memory per worker, for all of its threads; an even share by default.

    Examples
    --------
    >>> gpu = Gpu(
    ...     index=0,
    ...     name="Tesla T4",
    ...     memory=15 << 30,
    ...     capability=(7, 5),
    ...     driver="550.54",
    ...     cuda=(12, 4),
    ...     sms=40,
    ...     uuid="GPU-0a1b",
    ... )
    >>> found = cluster_arguments([gpu], host="127.0.0.1", dashboard_address="127.0.0.1:0")
    >>> found["CUDA_VISIBLE_DEVICES"], found["rmm_pool_size"] >> 20
    ([0], 7680)
    """
    from dask.system import CPU_COUNT

    arguments: dict[str, Any] = {
        # Set together with n_workers: with fewer workers than devices, dask-cuda takes the lowest
        # device numbers, not the first in the list.
        "CUDA_VISIBLE_DEVICES": [gpu.cuda_name for gpu in gpus],
        "n_workers": len(gpus),
        "threads_per_worker": threads or threads_per_gpu(CPU_COUNT, len(gpus)),
        "protocol": _protocol(gpus),
        "host": host,
        "dashboard_address": dashboard_address,
        # Otherwise the first task would wait a few seconds for the import.
        "pre_import": ["cudf"],
        # One pool for cuDF and CuPy; otherwise each would hold memory that the other lacks.
        "rmm_allocator_external_lib_list": ["cupy"],
    }
    if memory:
        arguments["memory_limit"] = memory
    # In bytes: dask-cuda applies a fraction to device 0 or, for a MIG slice, to the whole GPU.
    smallest = min(gpu.memory for gpu in gpus)
    if smallest:
        arguments |= {
            "rmm_pool_size": int(POOL_AT_FIRST * smallest),
            "rmm_maximum_pool_size": int(POOL_AT_MOST * smallest),
            "device_memory_limit": int(KEPT_ON_DEVICE * smallest),
            "enable_cudf_spill": True,
        }
    # A system on a chip has nowhere to spill to, and dask-cuda rejects the option there.
    return arguments


def _protocol(gpus: Sequence[Gpu]) -> str:
    """Return UCX, which uses NVLink, if it is installed and there are several GPUs; else TCP.

    For UCX dask-cuda creates a CUDA context in the client too, on the first GPU; for TCP it does
    not.
    """
    if len(gpus) > 1 and all(find_spec(name) for name in UCX):
        _log.info(
            "workers communicate through UCX: there are %d GPUs and it is installed", len(gpus)
        )
        return "ucx"
    return "tcp"
