"""`Catalogue`: machines, plans and prices, each figure with its source.

These are data types only. The figures are in the files that `catalogue_files` reads, because what
is free, and what a plan offers, changes from month to month. A figure without a source is None.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Literal

from ...storage.errors import UsageError

Kind = Literal["cpu", "gpu", "tpu"]
Availability = Literal["always", "high", "medium", "low", "very low"]
HARD_TO_GET: tuple[Availability, ...] = ("low", "very low")
RENTED = "rented"
"""Plan of machines rented by the hour; every machine with an hourly price is in it."""
HERE = "this machine"
"""Name of the machine that runs this process; a user's own catalogue may set its price."""
USUAL = ("free", "payg", RENTED)
"""Plans whose prices are used by default: those without a subscription."""


@dataclass(frozen=True)
class Source:
    """The source of a figure."""

    key: str
    title: str
    date: str  # of reading, or of the document: 2026-03 or 2026-03-14
    address: str | None  # of the document; None for a user's own figure
    words: str | None  # to search for, if the address of the document is not known

    def __str__(self) -> str:
        return f"{self.title}, {self.date}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A subscription or another way to pay, and what it includes."""

    name: str
    title: str
    usd_month: float | None  # US dollars
    units_included: float | None  # compute units per month
    usd_per_unit: float | None  # US dollars, for units beyond those included
    session_hours: float | None  # maximum length of a session
    sources: Mapping[str, str] = field(default_factory=dict)  # field to the key of its source


@dataclass(frozen=True)
class Offer:
    """How a machine is available in a plan."""

    free: bool  # costs neither units nor money
    availability: Availability | None
    session_hours: float | None  # None: no limit is known
    source: str  # key of the source for `free` and for the offer itself
    availability_source: str | None = None


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A machine's hardware, offers and prices."""

    name: str
    title: str
    kind: Kind
    backend: str  # the engine's backend for it
    cores: int | None = None  # of the host, usable by a process (a cloud's vCPUs)
    clock_ghz: float | None = None  # of the host
    sha: str | None = None  # SHA-256 implementation of the host: a name of `sha_paths.PATHS`
    ram_gb: float | None = None  # of the host; GB of 1e9 bytes
    memory_gb: float | None = None  # of the device; GB of 1e9 bytes
    gpus: int = 1  # of a machine with GPUs, all alike; each has a worker
    sms: int | None = None  # multiprocessors of a GPU
    device_clock_ghz: float | None = None  # the maximum
    fp16_tflops: float | None = None  # dense, tensor cores; bfloat16 for a TPU
    pcie_gb_s: float | None = None  # the maximum, in one direction
    store_gb_s: float | None = None  # to where results are written; None: not considered
    capability: tuple[int, int] | None = None  # CUDA's compute capability
    driver_names: tuple[str, ...] = ()  # words in the driver's name of the GPU, such as "T4"
    units_per_hour: float | None = None  # compute units
    usd_per_hour: float | None = None  # US dollars, if it can be rented
    offers: Mapping[str, Offer] = field(default_factory=dict)  # by plan; empty: not available
    note: str = ""  # for example why the machine is not available
    sources: Mapping[str, str] = field(default_factory=dict)  # field to the key of its source
    notes: Mapping[str, str] = field(default_factory=dict)  # field to a note on it

    @property
    def memory_bytes(self) -> int | None:
        """Memory that a model has to fit in: the device's, or else the host's."""
        gigabytes = self.ram_gb if self.kind == "cpu" else self.memory_gb
        return None if gigabytes is None else round(gigabytes * 1e9)


@dataclass(frozen=True)
class Catalogue:
    """Machines and plans as of a date, and the source of every figure.

    Examples
    --------
    >>> from paninifs.engine.costs.catalogue_files import open_catalogue
    >>> today = open_catalogue()
    >>> today.machine("T4").sms, today.source("T4", "sms").date
    (40, '2026-11-21')
    """

    name: str
    as_of: str  # the date
    machines: Mapping[str, Machine]
    plans: Mapping[str, Plan]
    sources: Mapping[str, Source]

    def machine(self, name: str) -> Machine:
        """Return a machine by its name. Raises `UsageError`, which lists the names."""
        if name not in self.machines:
            known = ", ".join(self.machines)
            raise UsageError(f"no machine {name!r} in the catalogue {self.name!r}; it has: {known}")
        return self.machines[name]

    def plan(self, name: str) -> Plan:
        """Return a plan by its name. Raises `UsageError`, which lists the names."""
        if name not in self.plans:
            known = ", ".join(self.plans)
            raise UsageError(f"no plan {name!r} in the catalogue {self.name!r}; it has: {known}")
        return self.plans[name]

    def usual_offer(
        self, machine: Machine, *, leaving_out: Container[str] = ()
    ) -> tuple[Offer, Plan] | None:
        """Return the offer used for a machine if no plan is given; None if it is not available.

        Parameters
        ----------
        machine : Machine
        leaving_out : container of str
            Plans to ignore.

        Examples
        --------
        >>> from paninifs.engine.costs.catalogue_files import open_catalogue
        >>> today = open_catalogue()
        >>> [
        ...     plan.name
        ...     for left in ((), ("free",), ("free", "payg"))
        ...     for _, plan in [today.usual_offer(today.machine("A100"), leaving_out=left)]
        ... ]
        ['payg', 'payg', 'rented']
        """
        for name in (*USUAL, *machine.offers):
            if name in machine.offers and name not in leaving_out:
                return machine.offers[name], self.plan(name)
        return None

    def source(self, machine: str, figure: str) -> Source:
        """Return the source of a machine's figure."""
        return self.sources[self.machine(machine).sources[figure]]
