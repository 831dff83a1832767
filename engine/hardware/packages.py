"""The installed packages for GPUs, found by their metadata: none of them is imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec

from .gpu import OLDEST_CAPABILITY_CUDA13, Gpu, dotted
from .platform import current_platform
from .unavailable import Unavailable

NEEDED = ("dask_cuda", "cudf", "cupy", "rmm")
OLDEST_RAPIDS = (26, 2)
_RAPIDS = (("cudf-cu13", 13), ("cudf-cu12", 12), ("cudf", None))
_RUNTIMES = ("nvidia-cuda-runtime", "nvidia-cuda-runtime-cu13", "nvidia-cuda-runtime-cu12")
_COLAB_REMEDY = (
    "choose Runtime, Disconnect and delete runtime, and start again: Colab's GPU runtimes have "
    "a working RAPIDS, and no extra of this package is compatible with their other packages"
)


@dataclass(frozen=True)
class Rapids:
    """An installation of RAPIDS."""

    version: str
    cuda: int | None  # major version of CUDA that it is built for; None: unknown

    def trouble_with(self, gpu: Gpu) -> Unavailable | None:
        """Return why this RAPIDS does not work with a GPU; None if it does.

        >>> gpu = Gpu(
        ...     index=0,
        ...     name="Tesla V100",
        ...     memory=16 << 30,
        ...     capability=(7, 0),
        ...     driver="580.1",
        ...     cuda=(13, 0),
        ...     sms=80,
        ...     uuid="GPU-0a1b",
        ... )
        >>> print(Rapids("26.10.2", cuda=13).trouble_with(gpu))
        RAPIDS 26.10.2 for CUDA 13 has no code for compute capability 7.0; pip install -e \
'.[cuda12]' in a new environment
        """
        year, month = (int(part) for part in self.version.split(".")[:2])
        built = f"RAPIDS {self.version}" + (f" for CUDA {self.cuda}" if self.cuda else "")
        if (year, month) < OLDEST_RAPIDS:
            problem = f"is too old; {OLDEST_RAPIDS[0]}.{OLDEST_RAPIDS[1]:02} or newer is needed"
        elif self.cuda == 13 and gpu.capability < OLDEST_CAPABILITY_CUDA13:
            problem = f"has no code for compute capability {dotted(gpu.capability)}"
        elif self.cuda and (self.cuda, 0) > gpu.cuda:
            problem = f"needs a newer driver: {gpu.driver} runs CUDA {dotted(gpu.cuda)}"
        else:
            return None
        remedy = f"pip install -e '.[{gpu.extra}]' in a new environment"
        return Unavailable(f"{built} {problem}", remedy, there=True)


@dataclass(frozen=True)
class Packages:
    """The packages for GPUs."""

    rapids: Rapids | None
    runtime: str | None  # version of the CUDA runtime, if pip installed it
    missing: tuple[str, ...]  # packages that the cluster 'cuda' lacks

    def trouble_with(self, gpus: Sequence[Gpu]) -> Unavailable | None:
        """Return why these packages do not work with a set of GPUs; None if they do."""
        # If GPUs differ, a build that works with the oldest works with all of them.
        gpu = min(gpus, key=lambda gpu: gpu.capability)
        if self.missing:
            return Unavailable(
                f"{_listed(self.missing)} not installed",
                _COLAB_REMEDY
                if current_platform().name == "Colab"
                else f"in the clone, pip install -e '.[{gpu.extra}]' (for the {gpu.name} and its "
                f"driver, CUDA {dotted(gpu.cuda)})",
                there=True,
            )
        return self.rapids.trouble_with(gpu) if self.rapids else None


def installed_packages() -> Packages:
    """Return the packages for GPUs that are installed."""
    return Packages(rapids(), _runtime(), tuple(name for name in NEEDED if not find_spec(name)))


def rapids() -> Rapids | None:
    """Return the installed RAPIDS, found by the names of its packages."""
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
