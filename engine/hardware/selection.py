"""Selects a local cluster, with a reason, when the user names none: by hardware and corpus size.

Starting it is in `cluster`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .backends import why_no_cuda
from .gpu import Gpu
from .nvml import nvidia
from .packages import installed_packages
from .unavailable import Unavailable

THREADS = "threads"
"""The cluster for a small corpus."""

SMALL_CORPUS_BYTES = 64 << 20
"""Size, in bytes, of a corpus that is computed in the time that worker processes take to start."""


@dataclass(frozen=True)
class Selection:
    """A selected cluster, and why."""

    cluster: str  # a name, as `connect` takes it
    why: str

    def __str__(self) -> str:
        return f"cluster {self.cluster!r}: {self.why}"


def select(
    gpus: Sequence[Gpu],
    unavailable: Unavailable | None,
    workers: int | tuple[int, int] | None = None,
) -> Selection:
    """Select the cluster for a machine.

    Parameters
    ----------
    gpus : sequence of Gpu
        GPUs that RAPIDS can run on now.
    unavailable : Unavailable, optional
        Why they cannot be used; None if they can.
    workers : int or pair of int, optional
        Requested number of workers, or its minimum and maximum.

    Examples
    --------
    >>> print(select([], Unavailable("there is no NVIDIA GPU in this machine")))
    cluster 'cpu': the processor's cores compute (there is no NVIDIA GPU in this machine)
    """
    if unavailable:
        # If there is a GPU, its problem can be solved; if there is none, the reason is enough.
        why = f"not 'cuda': {unavailable}"
        if not unavailable.there:
            why = f"the processor's cores compute ({unavailable.reason})"
        return Selection("cpu", why)
    if isinstance(workers, tuple):
        return Selection(
            "cpu", "an adaptive number of workers is requested, but 'cuda' has one per GPU"
        )
    if workers is not None and workers > len(gpus):
        requested = f"{workers} workers are requested, but 'cuda' has one for each of the "
        return Selection("cpu", f"{requested}{_counted(gpus)}")
    return Selection("cuda", f"this machine has {_counted(gpus)} ({_names(gpus)})")


def select_cluster(workers: int | tuple[int, int] | None = None) -> Selection:
    """Select the cluster for this machine, without importing CUDA or querying a TPU."""
    found = nvidia()
    usable = [gpu for gpu in found.gpus if not gpu.unusable]
    return select(usable, why_no_cuda(found, installed_packages()), workers)


def threads_per_gpu(cores: int, gpus: int) -> int:
    """Return the default number of threads of a worker that has a GPU: an even share of the cores.

    Each thread reads, copies and writes for the device, which waits for them: one thread reads
    about three million short texts per second at most, far fewer than any device hashes.

    >>> threads_per_gpu(12, 1), threads_per_gpu(7, 2), threads_per_gpu(2, 4)
    (12, 3, 1)
    """
    return max(1, cores // gpus)


def cluster_for(
    corpus_bytes: int, backend: str | None = None, *, sized: bool = False
) -> str | None:
    """Return the fastest local cluster for a corpus; None for the one that `connect` selects.

    The kernels release the GIL, so threads are as fast as processes. But only processes have memory
    of their own, which can be monitored and released.

    Parameters
    ----------
    corpus_bytes : int
        Size of the corpus.
    backend : str, optional
        Requested backend; only ``"cuda"`` uses GPUs.
    sized : bool
        Whether the user gives the number or size of workers; workers are processes then.

    Examples
    --------
    >>> cluster_for(10_000_000), cluster_for(10_000_000_000), cluster_for(10_000_000_000, "cpu")
    ('threads', None, 'cpu')
    """
    if corpus_bytes <= SMALL_CORPUS_BYTES and not sized:
        return THREADS
    return None if backend in (None, "cuda") else "cpu"


def _counted(gpus: Sequence[Gpu]) -> str:
    return f"{len(gpus)} GPU{'s' * (len(gpus) != 1)}"


def _names(gpus: Sequence[Gpu]) -> str:
    return ", ".join(dict.fromkeys(gpu.name for gpu in gpus))
