"""`seed2`: the frozen decision matrix of the project's second seed, and how it decides.

A guide of November 2025 selects, by twelve criteria, a Colab backend for an experiment with
sentence embeddings. Its cells do not follow from a single formula, so its thresholds are kept as
they are, in ``seed2.toml``. It does not say what to do if two criteria disagree; the precedence
used here is stated in that file, with reasons: a limited budget, then a deadline, then a criterion
that requires more than the free backends, then the number of models, the corpus, the runs, the
stage. How questions become inputs of the matrix is in `advisor.seed2_answers`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

Mark = Literal["ok", "warn", "no"]
Answer = str | int | bool


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The entry of a criterion for a backend."""

    mark: Mark
    minutes: float | None = None  # as the guide states, whatever the number of texts and models
    at_least: bool = False  # whether the minutes are a minimum: "1h+"
    per: str = "run"
    strategy: str = ""  # "sequential" or "parallel", for several models
    roi: str = ""  # "+" or "++"
    note: str = ""

    @property
    def time(self) -> str:
        """The guide's minutes, in words; empty if it has none.

        >>> Cell(mark="warn", minutes=35).time, Cell(mark="no", minutes=60, at_least=True).time
        ('35 min', 'at least 60 min')
        """
        if self.minutes is None:
            return ""
        least = "at least " if self.at_least else ""
        return f"{least}{self.minutes:g} min" + ("" if self.per == "run" else " per month")

    @property
    def label(self) -> str:
        """Everything in the cell except its mark."""
        parts = (self.time, self.strategy, f"ROI {self.roi}" if self.roi else "", self.note)
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """A row of the matrix: when it holds, its cell for each backend, and its recommendation."""

    id: str
    line: int  # of the guide
    input: str
    bounds: Mapping[str, Answer]  # "lt", "le", "ge", "gt" or "eq"
    cells: Mapping[str, Cell]  # by column: CPU, T4, L4, A100, TPU
    recommend: tuple[str, ...]  # the first choice, then alternatives

    def holds(self, answer: Answer) -> bool:
        """Return whether the value of the criterion's input meets it."""
        return all(_COMPARE[name](answer, bound) for name, bound in self.bounds.items())


@dataclass(frozen=True, kw_only=True)
class GuideMachine:
    """A backend as the guide describes it, right or wrong."""

    name: str
    kind: Literal["cpu", "gpu", "tpu"]
    backend: str
    column: str  # of the matrix
    usd_month: float
    availability: str
    session_hours: float
    verdict: str
    figures: Mapping[str, Any]  # everything else in its description


@dataclass(frozen=True)
class Ruling:
    """An answer of the matrix."""

    recommend: tuple[str, ...]
    decided_by: Criterion | None  # None if none holds: the guide's general advice
    met: tuple[Criterion, ...]  # every criterion that holds, the deciding one first

    @property
    def overruled(self) -> tuple[Criterion, ...]:
        """Criteria that would have recommended something else."""
        return tuple(one for one in self.met if one.recommend != self.recommend)


@dataclass(frozen=True, kw_only=True)
class Seed2:
    """The whole frozen catalogue."""

    title: str
    date: str
    backends: Mapping[str, GuideMachine]
    criteria: tuple[Criterion, ...]
    default: tuple[str, ...]
    limits: tuple[str, ...]  # inputs with precedence over all others
    order: tuple[str, ...]  # of the other inputs
    limited_below: float  # US dollars per month
    models: Mapping[str, Mapping[str, Any]]  # parameters, and an optional note

    def rule(self, answers: Mapping[str, Answer]) -> Ruling:
        """Return the answer to inputs, by the criteria and the stated precedence.

        Examples
        --------
        >>> matrix = seed2()
        >>> matrix.rule({"runs_per_month": 200, "budget": "limited"}).recommend
        ('L4', 'T4')
        """
        met = [one for one in self.criteria if one.input in answers]
        met = [one for one in met if one.holds(answers[one.input])]
        met.sort(key=self._precedence)
        if not met:
            return Ruling(self.default, None, ())
        return Ruling(met[0].recommend, met[0], tuple(met))

    def _precedence(self, criterion: Criterion) -> tuple[int, bool, int]:
        if criterion.input in self.limits:
            return self.limits.index(criterion.input), False, 0
        needs_paid_backend = self.backends[criterion.recommend[0]].usd_month > 0
        return len(self.limits), not needs_paid_backend, self.order.index(criterion.input)


_COMPARE = {
    "lt": lambda answer, bound: answer < bound,
    "le": lambda answer, bound: answer <= bound,
    "ge": lambda answer, bound: answer >= bound,
    "gt": lambda answer, bound: answer > bound,
    "eq": lambda answer, bound: answer == bound,
}


@cache
def seed2() -> Seed2:
    """Return the frozen catalogue."""
    text = resources.files(__package__).joinpath("seed2.toml").read_text(encoding="utf-8")
    document = tomllib.loads(text)
    return Seed2(
        title=document["title"],
        date=document["date"].isoformat(),
        backends={name: _backend(name, table) for name, table in document["backends"].items()},
        criteria=tuple(_criterion(table) for table in document["criteria"]),
        default=tuple(document["recommended"]["default"]),
        limits=tuple(document["precedence"]["limits"]),
        order=tuple(document["precedence"]["order"]),
        limited_below=document["limited_budget"]["usd_month_below"],
        models=document["models"],
    )


def _criterion(table: dict[str, Any]) -> Criterion:
    return Criterion(
        id=table["id"],
        line=table["line"],
        input=table["input"],
        bounds={name: table[name] for name in _COMPARE if name in table},
        cells={column: Cell(**cell) for column, cell in table["cells"].items()},
        recommend=tuple(table["recommend"]),
    )


def _backend(name: str, table: dict[str, Any]) -> GuideMachine:
    named = ("kind", "backend", "column", "usd_month", "availability", "session_hours", "verdict")
    rest = {key: value for key, value in table.items() if key not in named}
    return GuideMachine(name=name, **{key: table[key] for key in named}, figures=rest)
