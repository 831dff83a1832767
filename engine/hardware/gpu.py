"""`Gpu`: an NVIDIA GPU, and what it suits. `nvml` finds them."""

from __future__ import annotations

from dataclasses import dataclass

from .unavailable import Missing

OLDEST_CAPABILITY = (7, 0)  # that RAPIDS has code for
OLDEST_CAPABILITY_CUDA13 = (7, 5)

TAKEN_AT_FIRST = 0.5
"""The share of a GPU's memory that a worker takes for its pool when it starts."""

Version = tuple[int, int]


@dataclass(frozen=True)
class Gpu:
    """An NVIDIA GPU, or a MIG slice of one, as NVML describes it.

    Examples
    --------
    >>> gpu = Gpu(0, "Tesla T4", 15 << 30, (7, 5), "550.54", (12, 4), 40, "GPU-0a1b")
    >>> gpu.extra
    'cuda12'
    """

    index: int  # on the bus, as nvidia-smi counts; of a slice, the GPU's that it is part of
    name: str
    memory: int  # bytes; 0 where it has none of its own
    capability: Version
    driver: str  # its version
    cuda: Version  # the newest that the driver runs
    sms: int | None  # None where NVML does not tell
    uuid: str
    free: int | None = None  # bytes of its memory, now; None where it has none of its own
    nvlinks: int = 0  # that are up
    linked: tuple[int, ...] = ()  # the GPUs, by index, that NVLink reaches from it

    @property
    def extra(self) -> str | None:
        """The extra of paninifs whose RAPIDS runs here; None when neither's does."""
        if self.unsuitable:
            return None
        old = self.capability < OLDEST_CAPABILITY_CUDA13 or self.cuda < (13, 0)
        return "cuda12" if old else "cuda13"

    @property
    def unsuitable(self) -> Missing | None:
        """Why no RAPIDS runs here; None when one does."""
        if self.capability < OLDEST_CAPABILITY:
            needed = f"RAPIDS needs compute capability {dotted(OLDEST_CAPABILITY)}"
            return Missing(f"{needed}, it has {dotted(self.capability)}", there=True)
        if self.cuda < (12, 0):
            return Missing(
                f"its driver {self.driver} runs CUDA {dotted(self.cuda)}, and 12.0 is needed",
                "install driver 525 or newer",
                there=True,
            )
        return None

    @property
    def busy(self) -> Missing | None:
        """Why no worker would start on it now; None where one would."""
        if self.free is None or self.free >= TAKEN_AT_FIRST * self.memory:
            return None
        return Missing(
            f"only {self.free / 2**30:.1f} of its {self.memory / 2**30:.1f} GiB are free, and "
            f"{TAKEN_AT_FIRST:.0%} are taken at first",
            "end what uses it (nvidia-smi lists that), as an earlier cluster: client.close()",
            there=True,
        )

    @property
    def unusable(self) -> Missing | None:
        """Why nothing can be computed with it now, whatever is installed; None where it can."""
        return self.unsuitable or self.busy

    @property
    def advice(self) -> str:
        """What to install for it, or why nothing can be."""
        if self.unsuitable:
            return f"not usable: {self.unsuitable}"
        if self.capability < OLDEST_CAPABILITY_CUDA13:
            return "only the extra cuda12 (CUDA 13 builds dropped it)"
        return f"the extra {self.extra}"

    @property
    def cuda_name(self) -> int | str:
        """What CUDA_VISIBLE_DEVICES calls it, where CUDA counts as NVML does."""
        return self.uuid if self.uuid.startswith("MIG-") else self.index

    def __str__(self) -> str:
        memory = f"{self.memory / 2**30:.1f} GiB" if self.memory else "the host's memory"
        free = "" if self.free is None else f" ({self.free / 2**30:.1f} free)"
        sms = f", {self.sms} SMs" if self.sms else ""
        links = f", {self.nvlinks} NVLinks" if self.nvlinks else ""
        to = f" to {', '.join(map(str, self.linked))}" if self.linked else ""
        return (
            f"{self.name}, {memory}{free}, compute capability {dotted(self.capability)}{sms}"
            f"{links}{to}; driver {self.driver} (CUDA {dotted(self.cuda)})"
        )


def dotted(version: Version) -> str:
    """Return a version as people write it.

    >>> dotted((12, 4))
    '12.4'
    """
    return f"{version[0]}.{version[1]}"
