"""`read`: statistics of a store's arrays, in one pass and in constant memory.

Counts, means and extremes cover all texts. Quantiles and histograms cover a sample spread over the
store, one random text per stretch of equal length, or all texts if there are at most `SAMPLE`.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...graphs.kernels import BUILT_IN
from ...storage.corpus.index import CorpusIndex
from ...storage.errors import ColumnNotFound, UsageError
from ...storage.field import STRING, Field
from ...storage.rows import Column
from ...storage.store.reader import ResultsStore
from ..results.extremes import Extremes
from .groups import MOST_VALUES, SHOWN, Group, Grouping, Groups
from .numbers import Components, ComponentSums, Distribution, Numbers
from .prime_map import MOST_POINTS, MapPoints, PrimeMap

PIECE_ROWS = 131_072
SAMPLE = 1 << 20
"""Maximum number of texts in the sample for quantiles and histograms: 8 MiB per field."""

MAP_PIECES = 64
"""Maximum number of pieces that the map's texts come from: prime bases are the largest array."""

RANKED_BY = "ambiguity_normalised"
RANKED = 8
OWN_FIELDS = 12
"""Maximum number of histograms of fields outside the default graph."""

_BUILT_IN_NUMBERS = (RANKED_BY, "entropy", "variance", "ambiguity")
_SHARES, _BASES = "dhatu", "prime_base"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Statistics of a store's arrays."""

    texts: int  # computed ones
    sampled: int  # texts in the sample for quantiles and histograms
    distributions: tuple[Distribution, ...]
    not_drawn: tuple[str, ...]  # fields beyond `OWN_FIELDS`, and those that are not numbers
    components: tuple[Components, ...]  # of the user's fields with several numbers per text
    components_not_shown: tuple[str, ...]  # such fields beyond `OWN_FIELDS`
    dhatus: tuple[str, ...]  # names; empty: no such array
    overall: Group | None  # all texts as one group; None: no text is computed
    dominant: tuple[int, ...]  # by dhātu: number of texts in which it has the largest weight
    grouping: Grouping | None
    by_was_given: bool  # whether the caller gave the column; else it was chosen by default
    map: PrimeMap | None
    ranked_by: str | None  # `RANKED_BY`, or the first field of another store
    highest: list[tuple[int, float]]  # rows with that value
    lowest: list[tuple[int, float]]


def read(store: ResultsStore, by: str | None = None) -> Reading:
    """Read the arrays of a store once, skipping pieces without a finished shard.

    Parameters
    ----------
    by : str, optional
        An array with one value per text, to group texts by; by default the first kept column with
        2 to 20 values.

    Raises
    ------
    ColumnNotFound
        The array `by` does not exist.
    UsageError
        `by` has more than `MOST_VALUES` distinct values.
    """
    reader = _Reader(store, by)
    rows, shard_rows = store.manifest.rows, store.manifest.shard_rows
    step = shard_rows * max(1, PIECE_ROWS // shard_rows)
    with_results = {shard * shard_rows // step for shard in store.done}
    starts = [start for start in range(0, rows, step) if start // step in with_results]
    mapped = np.linspace(0, len(starts) - 1, min(len(starts), MAP_PIECES)).round()
    share = -(-MOST_POINTS // max(len(mapped), 1))
    for number, start in enumerate(starts):
        reader.add(start, min(start + step, rows), share if number in mapped else 0)
    return reader.reading()


class _Reader:
    """The accumulators of `read`."""

    def __init__(self, store: ResultsStore, by: str | None) -> None:
        manifest = store.manifest
        self._arrays, self._rows, self._by = store.arrays, manifest.rows, by
        self._mask_of = store.mask_of
        self._computed = computed = {field.name: field for field in store.computed}
        self._shares = _matrix(computed, _SHARES)
        self._bases = _matrix(computed, _BASES)
        built_in = [name for name in _BUILT_IN_NUMBERS if name in computed]
        own = [f.name for f in store.computed if not f.shape and f.is_number]
        own = [name for name in own if name not in built_in]
        drawn = built_in + own[:OWN_FIELDS]
        self._ranked = RANKED_BY if RANKED_BY in computed else next(iter(own), None)
        others = [f"{f.name} ({f.type_name})" for f in manifest.fields if not f.is_number]
        self._not_drawn = (*own[OWN_FIELDS:], *others)
        self._averaged = [name for name in drawn if name == RANKED_BY or name not in built_in]
        several = [f for f in store.computed if f.shape and f.is_number]
        several = [f for f in several if f.name not in _built_in_fields(store)]
        self._components = [
            ComponentSums(f, f.dims and store.arrays.labels(f.dims[-1]))
            for f in several[:OWN_FIELDS]
        ]
        self._components_not_shown = tuple(field.name for field in several[OWN_FIELDS:])
        self._numbers = {name: Numbers(name, self._description(name)) for name in drawn}
        self._dhatus = self._labels(computed[_SHARES]) if self._shares else ()
        stored = [one for one in store.fields if not (one.shape or one.ragged)]
        self._validities = {field.name for field in stored if field.name.endswith("_valid")}
        self._groups = _candidates(by, store.index, [field.name for field in stored])
        self._overall = Groups("", 1)
        self._dominant = np.zeros(len(self._dhatus), np.int64)
        self._extremes = Extremes(RANKED)
        self._points = MapPoints()
        self._texts = self._sampled = 0

    def add(self, start: int, stop: int, points: int) -> None:
        """Read the rows ``[start, stop)``; draw `points` of their texts on the map."""
        places = np.flatnonzero(self._column("valid", start, stop))
        if not len(places):
            return

        def column(name: str | None) -> npt.NDArray[Any] | None:
            return None if name is None else self._column(name, start, stop)[places]

        chance = np.random.default_rng(start)  # so that all reports sample the same texts
        chosen = self._sample(places, stop - start, chance)
        self._texts += len(places)
        self._sampled += len(chosen)
        averaged = {}
        for name, numbers in self._numbers.items():
            values = self._numbers_at(places, name, start, stop)
            numbers.add(values, chosen)
            if name == self._ranked:
                self._extremes.add(start + places, values)
            if name in self._averaged:
                averaged[name] = values
        for components in self._components:
            here = self._known_places(components.name, start, stop, places)
            components.add(self._arrays[components.name], start, here)
        shares = column(self._shares)
        self._overall.add(np.zeros(len(places), np.int8), None, shares, averaged)
        colours = {}
        if shares is not None:
            strongest = shares.argmax(axis=1)
            self._dominant += np.bincount(strongest, minlength=len(self._dhatus))
            colours[""] = strongest
        for groups in self._groups:
            known = column(_known(groups.column, self._validities))
            values = self._arrays[groups.column].readable(start, stop)[places]
            colours[groups.column] = groups.add(values, known, shares, averaged)
        self._drop_overfull()
        if points and self._bases:
            some = np.sort(chance.permutation(len(places))[:points])
            bases = self._column(self._bases, start, stop)[places[some]]
            self._points.add(bases, {name: codes[some] for name, codes in colours.items()})

    def reading(self) -> Reading:
        """Return the statistics of everything added."""
        found = [numbers.distribution() for numbers in self._numbers.values()]
        several = [groups for groups in self._groups if self._by or groups.values > 1]
        grouping = several[0].grouping() if several and self._texts else None
        return Reading(
            texts=self._texts,
            sampled=self._sampled,
            distributions=tuple(one for one in found if one),
            not_drawn=self._not_drawn,
            components=tuple(one.components() for one in self._components),
            components_not_shown=self._components_not_shown,
            dhatus=self._dhatus,
            overall=self._overall.grouping().groups[0] if self._texts else None,
            dominant=tuple(self._dominant.tolist()),
            grouping=grouping,
            by_was_given=self._by is not None,
            map=self._points.drawn(grouping, self._dhatus),
            ranked_by=self._ranked,
            highest=self._extremes.highest,
            lowest=self._extremes.lowest,
        )

    def _column(self, name: str, start: int, stop: int) -> npt.NDArray[Any]:
        return np.asarray(self._arrays[name][start:stop])

    def _numbers_at(
        self, places: npt.NDArray[np.int64], name: str, start: int, stop: int
    ) -> npt.NDArray[Any]:
        """Return values of a field, NaN where a block that was added later has none."""
        values = self._arrays.numbers(self._computed[name], start, stop)[places]
        known = self._column(self._mask_of(name), start, stop)[places]
        return values if known.all() else np.where(known, values, np.nan)

    def _known_places(
        self, name: str, start: int, stop: int, places: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """Return the places whose value of a field is not missing."""
        field = self._computed[name]
        return places[self._column(field.mask, start, stop)[places]] if field.nullable else places

    def _sample(
        self, places: npt.NDArray[np.int64], rows: int, chance: np.random.Generator
    ) -> npt.NDArray[np.int64]:
        """Return which of the texts at `places`, in a piece of `rows` rows, are in the sample."""
        stretch = -(-self._rows // SAMPLE)
        if stretch == 1:
            return np.arange(len(places))
        firsts = np.arange(0, rows, stretch)
        of_sample = np.isin(places, firsts + chance.integers(0, stretch, len(firsts)))
        return np.flatnonzero(of_sample)

    def _drop_overfull(self) -> None:
        kept = [groups for groups in self._groups if not groups.overfull]
        if self._by and not kept:
            raise UsageError(
                f"{self._by!r} has more than {MOST_VALUES:,} distinct values, too many to group "
                "by; choose another column (--by, by=)"
            )
        self._groups = kept

    def _description(self, name: str) -> str:
        return str(self._arrays[name].attrs.get("description", ""))

    def _labels(self, field: Field) -> tuple[str, ...]:
        """Return the labels of a field's one dimension."""
        (name,) = field.dims or ()
        try:
            return tuple(map(str, np.asarray(self._arrays[name][:]).tolist()))
        except KeyError:  # a user's field without labels
            return tuple(map(str, range(field.shape[0])))


def _built_in_fields(store: ResultsStore) -> set[str]:
    blocks = store.blocks.items()
    built_in = [block for name, block in blocks if name in BUILT_IN and "code" not in block]
    return {field for block in built_in for field in block["fields"]}


def _matrix(computed: Mapping[str, Field], name: str) -> str | None:
    """Return the name if there is such a field with several numbers per text, else None."""
    field = computed.get(name)
    fits = field is not None and len(field.shape) == 1 and field.dtype.startswith("float")
    return name if fits else None


def _known(column: str, validities: Container[str]) -> str | None:
    """Return the name of the array that marks a column's non-null values, if there is one."""
    return f"{column}_valid" if f"{column}_valid" in validities else None


def _candidates(by: str | None, index: CorpusIndex, stored: Sequence[str]) -> list[Groups]:
    """Return the candidates for the grouping: the given column, or the kept ones."""
    if by is None:
        return [Groups(column.array, SHOWN) for column in index.keep]
    name = Column(by, STRING).array
    if name not in stored:
        raise ColumnNotFound(
            f"no array {by!r} with one value per text to group by; choose from: {', '.join(stored)}"
        )
    return [Groups(name, MOST_VALUES)]
