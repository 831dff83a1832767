"""Which local cluster is taken when none is named: machine and corpus decide, and it is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .backends import why_no_cuda
from .gpu import Gpu
from .nvml import nvidia
from .packages import installed
from .unavailable import Missing

SMALL = "threads"
"""The cluster for a small corpus."""

SMALL_CORPUS = 64 << 20  # bytes; done in a second or two, as long as worker processes take to start


@dataclass(frozen=True)
class Choice:
    """A cluster, and why."""

    cluster: str  # a name, as `connect` takes it
    why: str

    def __str__(self) -> str:
        return f"cluster {self.cluster!r}: {self.why}"


def choose(
    gpus: Sequence[Gpu], missing: Missing | None, workers: int | tuple[int, int] | None = None
) -> Choice:
    """Return the cluster for a machine.

    Parameters
    ----------
    gpus : sequence of Gpu
        Those that RAPIDS can run on now.
    missing : Missing, optional
        Why nothing can be computed with them; None where it can.
    workers : int or pair of int, optional
        How many are asked for; or how few, and how many.

    Examples
    --------
    >>> print(choose([], Missing("there is no NVIDIA GPU in this machine")))
    cluster 'cpu': there is no NVIDIA GPU in this machine
    """
    if missing:
        # With a GPU there, what keeps it from use can be mended; without one that is no news.
        why = f"not 'cuda', for {missing}" if missing.there else missing.reason
        return Choice("cpu", why)
    if isinstance(workers, tuple):
        return Choice("cpu", "workers that come and go are asked for, and 'cuda' has one a GPU")
    if workers is not None and workers > len(gpus):
        asked = f"{workers} workers are asked for, and 'cuda' has one for each of the "
        return Choice("cpu", f"{asked}{_counted(gpus)}")
    return Choice("cuda", f"this machine has {_counted(gpus)} ({_names(gpus)})")


def choice(workers: int | tuple[int, int] | None = None) -> Choice:
    """Return the cluster for this machine; nothing of CUDA is imported, and no TPU asked for."""
    found = nvidia()
    usable = [gpu for gpu in found.gpus if not gpu.unusable]
    return choose(usable, why_no_cuda(found, installed()), workers)


def cluster_for(
    corpus_bytes: int, backend: str | None = None, *, sized: bool = False
) -> str | None:
    """Return the local cluster that a corpus is done with soonest; None: the one `connect` chooses.

    The kernels let go of the GIL, so threads keep up with processes; what they lack is a memory of
    their own, which can be watched and given back.

    Parameters
    ----------
    corpus_bytes : int
        How large the corpus is.
    backend : str, optional
        What is computed with, where that is asked for: GPUs are of use to ``"cuda"`` alone.
    sized : bool
        Whether the user says how many workers there are to be, or how large: processes then.

    Examples
    --------
    >>> cluster_for(10_000_000), cluster_for(10_000_000_000), cluster_for(10_000_000_000, "cpu")
    ('threads', None, 'cpu')
    """
    if corpus_bytes <= SMALL_CORPUS and not sized:
        return SMALL
    return None if backend in (None, "cuda") else "cpu"


def _counted(gpus: Sequence[Gpu]) -> str:
    return f"{len(gpus)} GPU{'s' * (len(gpus) != 1)}"


def _names(gpus: Sequence[Gpu]) -> str:
    return ", ".join(dict.fromkeys(gpu.name for gpu in gpus))
