"""The packages for GPUs that are installed, by their metadata: nothing of them is imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec

from .gpu import OLDEST_CAPABILITY_CUDA13, Gpu, dotted
from .platform import where
from .unavailable import Missing

NEEDED = ("dask_cuda", "cudf", "cupy", "rmm")
OLDEST_RAPIDS = (26, 2)
_RAPIDS = (("cudf-cu13", 13), ("cudf-cu12", 12), ("cudf", None))
_RUNTIMES = ("nvidia-cuda-runtime", "nvidia-cuda-runtime-cu13", "nvidia-cuda-runtime-cu12")
_COLABS_OWN = (
    "choose Runtime, Disconnect and delete runtime, and begin again: Colab's GPU runtimes bring a "
    "RAPIDS that does, and no extra of ours suits what else they bring"
)


@dataclass(frozen=True)
class Rapids:
    """The RAPIDS that is installed."""

    version: str
    cuda: int | None  # the CUDA that it is built for; None where its package does not say

    def trouble_with(self, gpu: Gpu) -> Missing | None:
        """Say why it does not do for a GPU; None when it does.

        >>> gpu = Gpu(0, "Tesla V100", 16 << 30, (7, 0), "580.1", (13, 0), 80, "GPU-0a1b")
        >>> print(Rapids("26.10.2", cuda=13).trouble_with(gpu))
        RAPIDS 26.10.2 for CUDA 13 has no code for compute capability 7.0; pip install -e \
'.[cuda12]' in a new environment
        """
        year, month = (int(part) for part in self.version.split(".")[:2])
        built = f"RAPIDS {self.version}" + (f" for CUDA {self.cuda}" if self.cuda else "")
        if (year, month) < OLDEST_RAPIDS:
            problem = f"is too old, {OLDEST_RAPIDS[0]}.{OLDEST_RAPIDS[1]:02} is the first to do"
        elif self.cuda == 13 and gpu.capability < OLDEST_CAPABILITY_CUDA13:
            problem = f"has no code for compute capability {dotted(gpu.capability)}"
        elif self.cuda and (self.cuda, 0) > gpu.cuda:
            problem = f"needs a newer driver: {gpu.driver} runs CUDA {dotted(gpu.cuda)}"
        else:
            return None
        remedy = f"pip install -e '.[{gpu.extra}]' in a new environment"
        return Missing(f"{built} {problem}", remedy, there=True)


@dataclass(frozen=True)
class Packages:
    """What of the packages for GPUs is installed."""

    rapids: Rapids | None
    runtime: str | None  # the version of the CUDA runtime that pip installed; None: pip did not
    missing: tuple[str, ...]  # of those that the cluster 'cuda' needs

    def trouble_with(self, gpus: Sequence[Gpu]) -> Missing | None:
        """Say why they do not do for GPUs that are to work together; None when they do."""
        # Where GPUs differ, what suits the one that fewer builds run on suits all.
        gpu = min(gpus, key=lambda gpu: gpu.capability)
        if self.missing:
            return Missing(
                f"{_listed(self.missing)} not installed",
                _COLABS_OWN
                if where().name == "Colab"
                else f"in the clone, pip install -e '.[{gpu.extra}]' (for the {gpu.name} and its "
                f"driver, CUDA {dotted(gpu.cuda)})",
                there=True,
            )
        return self.rapids.trouble_with(gpu) if self.rapids else None


def installed() -> Packages:
    """Return what is installed."""
    return Packages(rapids(), _runtime(), tuple(name for name in NEEDED if not find_spec(name)))


def rapids() -> Rapids | None:
    """Return the RAPIDS that is installed, by its packages' names."""
    for name, cuda in _RAPIDS:
        if version := _version(name):
            return Rapids(version, cuda)
    return None


def _runtime() -> str | None:
    return next((version for name in _RUNTIMES if (version := _version(name))), None)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"
