"""`figure`: declares a dataclass field as a figure of a run or a climb, and how it is shown.

One declaration serves every display: the words in the notebook's card and the dashboard's tab, the
metric for Prometheus, the column of the timeline, the line on a chart. The declarations are in
`figures`, `climb_figures` and `load`, the measurements in `progress`, `climb_progress` and `load`,
the appearance in each display.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")

_KEY = "figure"  # in a field's metadata


class Chart(Enum):
    """The charts of the dashboard's tab, in order."""

    TEXTS = ("texts per second", "0.0a")
    BYTES = ("bytes of text per second", "0.0b")
    EVALUATIONS = ("evaluations per second", "0.0a")
    BEST = ("best score", "", False)
    MEMORY = ("memory held and spilled by the workers", "0.0b")
    THREADS = ("busy threads", "0.00")
    MICRO_BATCH = ("micro-batch, texts", "0,0")
    DEVICE = ("device, share of the time busy", "0 %")

    def __init__(self, title: str, number_format: str, from_zero: bool = True) -> None:
        self.title = title
        self.number_format = number_format  # numeral.js syntax, as Bokeh takes it; "": any number
        self.from_zero = from_zero  # whether the axis begins there


@dataclass(frozen=True)
class Words:
    """A figure in words."""

    heading: str
    describe: Callable[[Any], str | None]  # given the object holding the figure; None: not shown


@dataclass(frozen=True)
class Metric:
    """A figure as a Prometheus metric."""

    name: str  # without a prefix, which says of what it is a figure
    help: str
    counter: bool = False  # only grows; otherwise a gauge


@dataclass(frozen=True)
class Line:
    """A figure over time, drawn from a column of the timeline."""

    chart: Chart
    name: str
    colour: str
    column: str
    rate: bool = False  # draw the column's growth per second


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """How a figure is shown in each display; None if a display leaves it out."""

    words: Words | None = None
    metric: Metric | None = None
    column: str | None = None  # of the timeline: a field of `Sample`
    digits: int | None = None  # decimals kept in the timeline; None: all
    line: Line | None = None
    number: Callable[[Any], Any] | None = None  # reduces the value to a number, if it is not one
    holder: type | None = None  # the value is a dataclass with figures of its own
    path: tuple[str, ...] = ()  # field names from the declaring object to the value

    def value_in(self, holder: Any) -> Any:
        """Return the figure as a number, given the object that declares it; None if unknown."""
        value = _follow(holder, self.path)
        return value if value is None or self.number is None else self.number(value)

    def words_in(self, holder: Any) -> str | None:
        """Return the figure in words; None if it is not shown, or unknown."""
        direct = _follow(holder, self.path[:-1])
        return None if direct is None or self.words is None else self.words.describe(direct)


def figure(
    *,
    default: Any = MISSING,
    words: Words | None = None,
    metric: Metric | None = None,
    column: str | None = None,
    digits: int | None = None,
    line: Line | None = None,
    number: Callable[[Any], Any] | None = None,
    holder: type | None = None,
) -> Any:
    """Return a dataclass field that holds a figure, declared as in `Declaration`."""
    declaration = Declaration(
        words=words,
        metric=metric,
        column=column,
        digits=digits,
        line=line,
        number=number,
        holder=holder,
    )
    return field(default=default, metadata={_KEY: declaration})


@cache
def declared(kind: type) -> tuple[Declaration, ...]:
    """Return the figures that a dataclass declares, in order, including those of its holders."""
    found: list[Declaration] = []
    for one in fields(kind):
        declaration: Declaration | None = one.metadata.get(_KEY)
        if declaration is None:
            continue
        found.append(replace(declaration, path=(one.name,)))
        if declaration.holder is not None:
            inner = declared(declaration.holder)
            found += [replace(each, path=(one.name, *each.path)) for each in inner]
    return tuple(found)


class FigureHolder:
    """Base of the dataclasses that declare all figures of a run or a climb."""

    def to_message(self: DataclassInstance) -> dict[str, Any]:
        """Encode for sending."""
        return asdict(self)

    def columns(self) -> dict[str, Any]:
        """Return the figures that a sample keeps, by column."""
        columns: dict[str, Any] = {}
        for one in _declared_by(self):
            if one.column is not None:
                value = one.value_in(self)
                rounds = value is not None and one.digits is not None
                columns[one.column] = round(value, one.digits) if rounds else value
        return columns

    def in_words(self) -> Iterator[tuple[str, str]]:
        """Yield the heading and the words of each figure that is shown now."""
        for one in _declared_by(self):
            words = one.words_in(self)
            if one.words is not None and words is not None:
                yield one.words.heading, words


def _declared_by(holder: object) -> tuple[Declaration, ...]:
    kind: type = type(holder)
    return declared(kind)


def from_fields(kind: type[T], message: Mapping[str, Any]) -> T:
    """Construct a dataclass from a message, ignoring fields of other versions of the engine."""
    names = {one.name for one in fields(kind)}
    return kind(**{name: value for name, value in message.items() if name in names})


def _follow(holder: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        holder = None if holder is None else getattr(holder, name)
    return holder
