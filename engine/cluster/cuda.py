"""What a cluster of this machine's GPUs needs, and how dask-cuda is asked for it.

Importing this imports nothing heavy, so that a machine which lacks something hears of it at once.
The clusters themselves are in `cluster`.
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

UCX = ("ucxx", "distributed_ucxx")
OTHERWISE = "; --cluster cpu, or connect('cpu'), computes the same bits without one"

# CUDA's own order is the fastest first, NVML's is the bus's; dask-cuda takes them for one.
ENVIRONMENT = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}

# Shares of a device's memory. The pool takes the first at once, and grows; what it never takes is
# for the context, the kernels' code and other programs. The last is what may hold results that
# wait: the rest of the pool is to work in.
POOL_AT_FIRST, POOL_AT_MOST, KEPT_ON_DEVICE = INITIAL_POOL_SHARE, 0.9, 0.5

_log = logging.getLogger(__name__)


def require_gpus(workers: int | None = None) -> tuple[Gpu, ...]:
    """Return the GPUs that are to have a worker each: the first ones, or all that can be used.

    Parameters
    ----------
    workers : int, optional
        How many; every one when left out.

    Raises
    ------
    BackendUnavailable
        There is no driver, no GPU that is visible and can be used, or a package is missing or does
        not suit: the message says which, and what to install.
    UsageError
        There are fewer GPUs than that.
    """
    found = nvidia()
    usable = tuple(gpu for gpu in found.gpus if not gpu.unusable)
    if usable and workers is not None and workers > len(usable):
        raise UsageError(f"{workers} workers need a GPU each, and {len(usable)} can be used")
    chosen = usable[:workers]
    missing = (
        installed_packages().trouble_with(chosen)
        if chosen
        else why_no_cuda(found, installed_packages())
    )
    if missing:
        raise BackendUnavailable(f"cluster 'cuda' cannot start here: {missing}{OTHERWISE}")
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
    """Return every argument for `dask_cuda.LocalCUDACluster`, a worker a GPU.

    Parameters
    ----------
    gpus : sequence of Gpu
        As from `require_gpus`.
    host, dashboard_address : str
        Where scheduler and workers, and the dashboard, listen.
    threads : int, optional
        A worker; one when left out, for they share a device.
    memory : str, optional
        Of the host, a worker, before results go to disk; an even share when left out.

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
    >>> asked = cluster_arguments([gpu], host="127.0.0.1", dashboard_address="127.0.0.1:0")
    >>> asked["CUDA_VISIBLE_DEVICES"], asked["rmm_pool_size"] >> 20
    ([0], 7680)
    """
    arguments: dict[str, Any] = {
        # The two together: of fewer workers than devices dask-cuda takes the lowest, not the first.
        "CUDA_VISIBLE_DEVICES": [gpu.cuda_name for gpu in gpus],
        "n_workers": len(gpus),
        "threads_per_worker": threads or 1,
        "protocol": _protocol(gpus),
        "host": host,
        "dashboard_address": dashboard_address,
        # A task would wait for the import, a few seconds of it.
        "pre_import": ["cudf"],
        # One pool for both, or each would keep what the other lacks.
        "rmm_allocator_external_lib_list": ["cupy"],
    }
    if memory:
        arguments["memory_limit"] = memory
    # In bytes: dask-cuda takes a fraction of device 0's, or of the whole GPU for a slice of it.
    smallest = min(gpu.memory for gpu in gpus)
    if smallest:
        arguments |= {
            "rmm_pool_size": int(POOL_AT_FIRST * smallest),
            "rmm_maximum_pool_size": int(POOL_AT_MOST * smallest),
            "device_memory_limit": int(KEPT_ON_DEVICE * smallest),
            "enable_cudf_spill": True,
        }
    # A system on a chip has nowhere to spill to, and dask-cuda refuses to be asked for it.
    return arguments


def _protocol(gpus: Sequence[Gpu]) -> str:
    """Return UCX, which knows NVLink, where there are several GPUs and it is there; else TCP.

    For UCX dask-cuda makes a CUDA context in the client too, on the first GPU; for TCP none.
    """
    if len(gpus) > 1 and all(find_spec(name) for name in UCX):
        _log.info("workers talk through UCX: there are %d GPUs and it is installed", len(gpus))
        return "ucx"
    return "tcp"
