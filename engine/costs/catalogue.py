"""`Catalogue`: machines, plans and prices, each figure with where it is from.

Data alone: what is free, and what is had in which plan, changes with the month and is in the files
that `catalogue_files` reads. A figure that nobody found a source for is None: not known.
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
"""The plan of a machine that a cloud lets by the hour; every machine with such a price is in it."""
HERE = "this machine"
"""What the machine at hand is called; a catalogue of the user's own may say by it what it costs."""
USUAL = ("free", "payg", RENTED)
"""The plans that a machine is priced in where nobody said one: those without a subscription."""


@dataclass(frozen=True)
class Source:
    """Where a figure is from."""

    key: str
    title: str
    date: str  # that it was read on, or is of: 2026-03 or 2026-03-14
    address: str | None  # of the document; None of a figure of the user's own
    words: str | None  # by which a document without a known address is found

    def __str__(self) -> str:
        return f"{self.title}, {self.date}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What somebody pays for, and what it includes."""

    name: str
    title: str
    usd_month: float | None  # US dollars
    units_included: float | None  # compute units a month
    usd_per_unit: float | None  # US dollars, of units beyond those
    session_hours: float | None  # after which a session ends
    sources: Mapping[str, str] = field(default_factory=dict)  # field to the key of its source


@dataclass(frozen=True)
class Offer:
    """How a machine is had in a plan."""

    free: bool  # costs neither units nor money
    availability: Availability | None
    session_hours: float | None  # None where no limit is known
    source: str  # key, of that it is had, and free or not
    availability_source: str | None = None


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a machine computes with, and what it costs."""

    name: str
    title: str
    kind: Kind
    backend: str  # of this engine, that would compute there
    cores: int | None = None  # of the host, that a process may use (a cloud's vCPUs)
    clock_ghz: float | None = None  # of the host
    sha: str | None = None  # what the host hashes with: a name of `sha_paths.PATHS`
    ram_gb: float | None = None  # of the host; GB of 1e9 bytes
    memory_gb: float | None = None  # of the device; GB of 1e9 bytes
    sms: int | None = None  # multiprocessors of a GPU
    device_clock_ghz: float | None = None  # the highest
    fp16_tflops: float | None = None  # dense, of tensor cores; of a TPU in bfloat16
    pcie_gb_s: float | None = None  # one way, at most
    capability: tuple[int, int] | None = None  # CUDA's compute capability
    driver_names: tuple[str, ...] = ()  # of a GPU: words that a driver's name for it has, as "T4"
    units_per_hour: float | None = None  # compute units
    usd_per_hour: float | None = None  # US dollars, of one that a cloud lets
    offers: Mapping[str, Offer] = field(default_factory=dict)  # by plan; none: not to be had
    note: str = ""  # why it is not to be had, say
    sources: Mapping[str, str] = field(default_factory=dict)  # field to the key of its source
    notes: Mapping[str, str] = field(default_factory=dict)  # field to what is to be known of it

    @property
    def memory_bytes(self) -> int | None:
        """What a model has to fit in: the device's memory, or the host's where there is none."""
        gigabytes = self.ram_gb if self.kind == "cpu" else self.memory_gb
        return None if gigabytes is None else round(gigabytes * 1e9)


@dataclass(frozen=True)
class Catalogue:
    """Machines and plans of one time, and the sources of every figure in them.

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
            there = ", ".join(self.machines)
            raise UsageError(f"no machine {name!r} in the catalogue {self.name!r}; it has: {there}")
        return self.machines[name]

    def plan(self, name: str) -> Plan:
        """Return a plan by its name. Raises `UsageError`, which lists the names."""
        if name not in self.plans:
            there = ", ".join(self.plans)
            raise UsageError(f"no plan {name!r} in the catalogue {self.name!r}; it has: {there}")
        return self.plans[name]

    def usual_offer(
        self, machine: Machine, *, leaving_out: Container[str] = ()
    ) -> tuple[Offer, Plan] | None:
        """Return how a machine is had by who has said no plan; None where it is not to be had.

        Parameters
        ----------
        machine : Machine
        leaving_out : container of str
            Plans that are not asked for.

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
        """Return where a machine's figure is from."""
        return self.sources[self.machine(machine).sources[figure]]
