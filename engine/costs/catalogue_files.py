"""`open_catalogue`: reads the shipped catalogue, overlaid with a user's own file.

A catalogue is TOML. A figure is ``{ value = 40, source = "key" }``, with an optional ``note``; each
key is a table ``[sources.key]`` with a title, a date, and an address or the words by which the
document is found. A user's own figure may have ``source = "own"``, which needs no such table.
Errors name the file, the machine and the figure. The data types are in `catalogue`.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Any, NoReturn, get_args

from ...storage.errors import UsageError
from .catalogue import HERE, RENTED, Availability, Catalogue, Kind, Machine, Offer, Plan, Source

VARIABLE = "PANINIFS_CATALOGUE"
"""Environment variable with the path of a user's own catalogue."""

OWN = "own"
"""Source of a figure that the user vouches for."""

_NUMBERS = (
    "clock_ghz",
    "ram_gb",
    "memory_gb",
    "device_clock_ghz",
    "fp16_tflops",
    "pcie_gb_s",
    "store_gb_s",
    "units_per_hour",
    "usd_per_hour",
)
_COUNTS = ("cores", "gpus", "sms")
_FIGURES = (*_NUMBERS, *_COUNTS, "sha", "capability", "note")
_SHA = ("sha-ni", "avx512", "avx2", "hashlib")
_BACKENDS: dict[Kind, str] = {"cpu": "cpu", "gpu": "cuda", "tpu": "tpu"}
_PLAIN = ("title", "kind", "backend", "driver_names", "offers")
_PLAN_NUMBERS = ("usd_month", "units_included", "usd_per_unit", "session_hours")
_MAY_BE_ZERO = ("units_per_hour", "usd_per_hour", "usd_month", "units_included", "usd_per_unit")
_MOST = 1e15  # largest plausible figure of any kind
_DATE = re.compile(r"\d{4}-\d{2}(-\d{2})?")


def open_catalogue(path: str | os.PathLike[str] | None = None) -> Catalogue:
    """Return today's catalogue, overlaid with a user's own file.

    Parameters
    ----------
    path : path, optional
        The user's own TOML file; by default the one named by the environment variable
        ``PANINIFS_CATALOGUE``, if any.

    Raises
    ------
    UsageError
        The file cannot be read, or has an invalid entry.

    Examples
    --------
    >>> open_catalogue().plan("pro").units_included
    100
    """
    shipped = resources.files(__package__).joinpath("today.toml")
    today = read("today", shipped.read_text(encoding="utf-8"))
    chosen = path or os.environ.get(VARIABLE)
    if not chosen:
        return today
    try:
        text = Path(chosen).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the catalogue {os.fspath(chosen)!r} cannot be read: {error}") from error
    return read(os.fspath(chosen), text, over=today)


def read(name: str, text: str, over: Catalogue | None = None) -> Catalogue:
    """Return the catalogue that a TOML text describes, overlaid on another one if given.

    Raises
    ------
    UsageError
        The message names the file, the machine or plan, and the field.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name} is not valid TOML: {error}") from error
    return _Reader(name, over).catalogue(document)


class _Reader:
    """Reads one file, overlaid on another catalogue."""

    def __init__(self, name: str, over: Catalogue | None) -> None:
        self.name = name
        self.over = over or Catalogue(name, "", {}, {}, {})
        self.sources: dict[str, Source] = dict(self.over.sources)
        self.as_of = self.over.as_of

    def catalogue(self, document: dict[str, Any]) -> Catalogue:
        self._known("", document, ("as_of", "sources", "plans", "machines"))
        if "as_of" in document:
            self.as_of = self._date("as_of", document["as_of"])
        elif not self.as_of:
            self._refuse("as_of", "is missing: give the date of the catalogue")
        if self.over.machines:
            own = Source(OWN, f"own figure, {self.name}", self.as_of, None, None)
            self.sources.setdefault(OWN, own)
        for key, table in self._tables("sources", document.get("sources", {})):
            self.sources[key] = self._source(key, table)
        plans = dict(self.over.plans)
        for key, table in self._tables("plans", document.get("plans", {})):
            plans[key] = self._plan(key, table)
        machines = dict(self.over.machines)
        for key, table in self._tables("machines", document.get("machines", {})):
            machines[key] = self._machine(key, table, plans)
        return Catalogue(
            self.name,
            self.as_of,
            machines,
            plans,
            self.sources,
        )

    # --- the four kinds of tables -----------------------------------------------------------------

    def _source(self, key: str, table: dict[str, Any]) -> Source:
        where = f"sources.{key}"
        self._known(where, table, ("title", "date", "address", "words"))
        for needed in ("title", "date"):
            if needed not in table:
                self._refuse(f"{where}.{needed}", "is missing")
        if "address" not in table and "words" not in table:
            self._refuse(where, "needs an address, or words by which the document can be found")
        texts = {one: self._text(f"{where}.{one}", table[one]) for one in table if one != "date"}
        date = self._date(f"{where}.date", table["date"])
        return Source(key, texts["title"], date, texts.get("address"), texts.get("words"))

    def _plan(self, key: str, table: dict[str, Any]) -> Plan:
        where = f"plans.{key}"
        self._known(where, table, ("title", *_PLAN_NUMBERS))
        plan = self.over.plans.get(key) or Plan(
            name=key,
            title=key,
            usd_month=None,
            units_included=None,
            usd_per_unit=None,
            session_hours=None,
        )
        sources = dict(plan.sources)
        found: dict[str, Any] = {}
        for one in _PLAN_NUMBERS:
            if one in table:
                found[one], sources[one] = self._number(f"{where}.{one}", table[one])
        if "title" in table:
            found["title"] = self._text(f"{where}.title", table["title"])
        return replace(plan, **found, sources=sources)

    def _machine(self, key: str, table: dict[str, Any], plans: Mapping[str, Plan]) -> Machine:
        where = f"machines.{key}"
        if not key.strip():
            self._refuse("machines", f"has a machine with an empty name: {key!r}")
        self._known(where, table, (*_PLAIN, *_FIGURES))
        before = self.over.machines.get(key)
        if before is None and key == HERE:  # its properties are detected, not declared
            before = Machine(name=HERE, title=HERE, kind="cpu", backend="cpu")
        found: dict[str, Any] = {}
        for one in ("title", "kind", "backend"):
            if one in table:
                found[one] = self._text(f"{where}.{one}", table[one])
            elif before is None:
                self._refuse(
                    f"{where}.{one}",
                    "is missing; a machine that is not in the shipped catalogue needs it",
                )
        kind: Any = found.get("kind", before and before.kind)
        self._one_of(f"{where}.kind", kind, get_args(Kind))
        self._backend(where, kind, found.get("backend", before and before.backend))
        if "driver_names" in table:
            found["driver_names"] = self._texts(f"{where}.driver_names", table["driver_names"])
        machine = before or Machine(
            name=key, title=found["title"], kind=kind, backend=found["backend"]
        )
        sources, notes = dict(machine.sources), dict(machine.notes)
        for one in _FIGURES:
            if one in table:
                found[one], sources[one] = self._figure_of(where, one, table[one])
                notes.pop(one, None)
                if "note" in table[one]:
                    notes[one] = self._text(f"{where}.{one}.note", table[one]["note"])
        machine = replace(machine, **found, sources=sources, notes=notes)
        return replace(machine, offers=self._offers(where, machine, table.get("offers"), plans))

    def _backend(self, where: str, kind: Kind, backend: Any) -> None:
        self._one_of(f"{where}.backend", backend, tuple(_BACKENDS.values()))
        if backend != _BACKENDS[kind]:
            self._refuse(
                f"{where}.backend",
                f"is {backend!r}, but a machine of the kind {kind!r} has {_BACKENDS[kind]!r}",
            )

    def _offers(
        self, where: str, machine: Machine, given: Any, plans: Mapping[str, Plan]
    ) -> Mapping[str, Offer]:
        """Return a machine's offers: those of the file, else the previous ones, and its rent."""
        offers = dict(machine.offers)
        if given is not None:
            offers = {
                plan: self._offer(f"{where}.offers.{plan}", table, plan, plans)
                for plan, table in self._tables(f"{where}.offers", given)
            }
        always: Availability | None = "always" if machine.name == HERE else None
        if machine.usd_per_hour is not None:
            offers[RENTED] = Offer(False, always, None, machine.sources["usd_per_hour"])
        elif machine.name == HERE and not offers:
            if machine.units_per_hour is None:
                self._refuse(where, "has no price: give usd_per_hour or units_per_hour")
            source = machine.sources["units_per_hour"]
            offers = dict.fromkeys(plans, Offer(False, always, None, source))
        return offers

    def _offer(
        self, where: str, table: dict[str, Any], plan: str, plans: Mapping[str, Plan]
    ) -> Offer:
        self._known(where, table, ("free", "availability", "session_hours", "source"))
        if plan not in plans:
            self._refuse(where, f"is not a known plan; choose from: {', '.join(plans)}")
        free = table.get("free", False)
        if not isinstance(free, bool):
            self._refuse(f"{where}.free", f"must be true or false, not {free!r}")
        availability, of_that = None, None
        if "availability" in table:
            name = f"{where}.availability"
            availability, of_that = self._figure(name, table["availability"])
            self._one_of(name, availability, get_args(Availability))
        hours = plans[plan].session_hours
        if "session_hours" in table:
            hours, _ = self._number(f"{where}.session_hours", table["session_hours"])
        return Offer(free, availability, hours, self._source_of(where, table), of_that)

    # --- single values ----------------------------------------------------------------------------

    def _figure_of(self, where: str, name: str, given: Any) -> tuple[Any, str]:
        where = f"{where}.{name}"
        if name in _NUMBERS + _COUNTS:
            value, source = self._number(where, given)
            if name in _COUNTS and not isinstance(value, int):
                self._refuse(where, f"must be a whole number, not {value!r}")
            return value, source
        value, source = self._figure(where, given)
        if name == "note":
            return self._text(where, value), source
        if name == "sha":
            self._one_of(where, value, _SHA)
            return value, source
        pair = isinstance(value, list) and len(value) == 2
        if not pair or not all(type(one) is int for one in value) or value[0] < 1 or value[1] < 0:
            self._refuse(where, f"must be a pair of whole numbers such as [7, 5], not {value!r}")
        return (value[0], value[1]), source

    def _number(self, where: str, given: Any) -> tuple[Any, str]:
        value, source = self._figure(where, given)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._refuse(where, f"must be a number, not {value!r}")
        if not 0 <= value <= _MOST:
            self._refuse(where, f"must be a number from 0 to {_MOST:g}, not {value!r}")
        if not value and where.rpartition(".")[2] not in _MAY_BE_ZERO:
            self._refuse(where, f"must be more than 0, not {value!r}")
        return value, source

    def _figure(self, where: str, given: Any) -> tuple[Any, str]:
        if not isinstance(given, dict):
            self._refuse(where, f'must be {{ value = …, source = "…" }}, not {given!r}')
        self._known(where, given, ("value", "source", "note"))
        if "value" not in given:
            self._refuse(f"{where}.value", "is missing")
        return given["value"], self._source_of(where, given)

    def _source_of(self, where: str, table: dict[str, Any]) -> str:
        key = table.get("source")
        if key is None:
            self._refuse(f"{where}.source", "is missing: every figure needs a source")
        if not isinstance(key, str) or key not in self.sources:
            known = ", ".join(self.sources)
            self._refuse(f"{where}.source", f"is {key!r}; choose from: {known}")
        return key

    def _date(self, where: str, given: Any) -> str:
        text = given.isoformat() if type(given) is date else given
        try:
            if not isinstance(text, str) or not _DATE.fullmatch(text):
                raise ValueError(text)
            date.fromisoformat(text if len(text) > len("2026-03") else f"{text}-01")
        except ValueError:
            self._refuse(where, f"must be a date such as 2026-03 or 2026-03-14, not {given!r}")
        return text

    def _text(self, where: str, given: Any) -> str:
        if not isinstance(given, str):
            self._refuse(where, f"must be a string, not {given!r}")
        return given

    def _texts(self, where: str, given: Any) -> tuple[str, ...]:
        if not isinstance(given, list) or not all(isinstance(one, str) and one for one in given):
            self._refuse(where, f'must be a list of strings such as ["T4"], not {given!r}')
        return tuple(given)

    def _tables(self, where: str, given: Any) -> list[tuple[str, dict[str, Any]]]:
        if not isinstance(given, dict):
            self._refuse(where, f"must be a table, not {given!r}")
        for key, table in given.items():
            if not isinstance(table, dict):
                self._refuse(f"{where}.{key}", f"must be a table, not {table!r}")
        return list(given.items())

    def _known(self, where: str, table: dict[str, Any], known: tuple[str, ...]) -> None:
        for key in table:
            if key not in known:
                name = f"{where}.{key}".lstrip(".")
                self._refuse(name, f"is not known; choose from: {', '.join(known)}")

    def _one_of(self, where: str, given: Any, choices: tuple[str, ...]) -> None:
        if given not in choices:
            self._refuse(where, f"must be one of {', '.join(choices)}, not {given!r}")

    def _refuse(self, where: str, problem: str) -> NoReturn:
        raise UsageError(f"{self.name}: {where} {problem}")
