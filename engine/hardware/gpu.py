"""`Gpu`: an NVIDIA GPU, and whether RAPIDS and the engine can use it. `nvml` finds the GPUs."""

from __future__ import annotations

from dataclasses import dataclass

from .unavailable import Unavailable

OLDEST_CAPABILITY = (7, 0)  # supported by RAPIDS
OLDEST_CAPABILITY_CUDA13 = (7, 5)

INITIAL_POOL_SHARE = 0.5
"""Share of a GPU's memory that a worker allocates for its pool when it starts."""

Version = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """An NVIDIA GPU, or a MIG slice of one, as NVML describes it.

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
    >>> gpu.extra
    'cuda12'
    """

    index: int  # as nvidia-smi counts; for a slice, that of the GPU it is part of
    name: str
    memory: int  # bytes; 0 if it has none of its own
    capability: Version
    driver: str  # its version
    cuda: Version  # newest that the driver supports
    sms: int | None  # None if NVML does not report it
    uuid: str
    free: int | None = None  # bytes of its memory, now; None if it has none of its own
    nvlinks: int = 0  # links that are up
    linked: tuple[int, ...] = ()  # indexes of the GPUs that it reaches by NVLink

    @property
    def extra(self) -> str | None:
        """The extra (cuda12 or cuda13) whose RAPIDS runs on it; None if neither does."""
        if self.unsuitable:
            return None
        old = self.capability < OLDEST_CAPABILITY_CUDA13 or self.cuda < (13, 0)
        return "cuda12" if old else "cuda13"

    @property
    def unsuitable(self) -> Unavailable | None:
        """Why RAPIDS does not run on it; None if it does."""
        if self.capability < OLDEST_CAPABILITY:
            needed = f"RAPIDS needs compute capability {dotted(OLDEST_CAPABILITY)}"
            return Unavailable(f"{needed}, but it has {dotted(self.capability)}", there=True)
        if self.cuda < (12, 0):
            return Unavailable(
                f"its driver {self.driver} runs CUDA {dotted(self.cuda)}, but 12.0 is needed",
                "install driver 525 or newer",
                there=True,
            )
        return None

    @property
    def busy(self) -> Unavailable | None:
        """Why no worker could start on it now; None if one could."""
        if self.free is None or self.free >= INITIAL_POOL_SHARE * self.memory:
            return None
        return Unavailable(
            f"only {self.free / 2**30:.1f} of its {self.memory / 2**30:.1f} GiB are free, and "
            f"a worker allocates {INITIAL_POOL_SHARE:.0%} when it starts",
            "end the processes that use it (nvidia-smi lists them), such as an earlier cluster: "
            "client.close()",
            there=True,
        )

    @property
    def unusable(self) -> Unavailable | None:
        """Why it cannot be used now, whatever is installed; None if it can."""
        return self.unsuitable or self.busy

    @property
    def advice(self) -> str:
        """What to install for it, or why nothing would help."""
        if self.unsuitable:
            return f"not usable: {self.unsuitable}"
        if self.capability < OLDEST_CAPABILITY_CUDA13:
            return "only the extra cuda12 (CUDA 13 builds do not support it)"
        return f"the extra {self.extra}"

    @property
    def cuda_name(self) -> int | str:
        """Its name for CUDA_VISIBLE_DEVICES, provided that CUDA numbers devices like NVML."""
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
    """Return a version with a dot.

    >>> dotted((12, 4))
    '12.4'
    """
    return f"{version[0]}.{version[1]}"
