"""`SplitSource`: the pieces of a corpus's texts, which become the files of another corpus.

How a text is cut is in `splitters`, how a part is computed in `split_part`; how the pieces are kept
is in `engine.staged`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from ...errors import UsageError
from ...messages.names import quoted
from ..index import CorpusIndex
from ..opening import FileOpener
from ..partition import Partition, Sharding
from ..reading import read_stretches
from .framing import FramedCorpus, to_pandas
from .split_part import PARENT, START, STOP, SplitPart
from .splitters import Splitter

if TYPE_CHECKING:
    import pandas as pd


class SplitCorpus(FramedCorpus, Protocol):
    """The part of a corpus's interface that splitting needs."""

    def index_of_front(self, rows: int) -> tuple[CorpusIndex, FileOpener]:
        """Return an index that has the first rows, and an opener of its files."""


@dataclass(frozen=True, repr=False)
class SplitSource:
    """The pieces of a corpus's texts, in their order."""

    corpus: SplitCorpus
    splitter: Splitter

    name = "split of a corpus"

    def __repr__(self) -> str:
        return f"{self.splitter!r} of {self.corpus!r}"

    @property
    def partitions(self) -> int:
        """Number of parts, each of which is staged at once; counts the corpus's rows."""
        return len(self._partitions)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user about how the corpus is read; counts its rows."""
        return self.corpus.index.notes

    @cached_property
    def _partitions(self) -> list[Partition]:
        index = self.corpus.index
        return index.partitions(Sharding().choose(index.rows))

    def part(self, number: int) -> SplitPart:
        """Return one part, with all that a worker needs to compute it."""
        rows = self._partitions[number]
        part = self._part(self.corpus.index, self.corpus.opener, rows.row_start, rows.row_stop)
        if self.corpus.in_memory:  # its bytes are in this process alone
            part.batches = list(read_stretches(part.stretches, part.opener, part.selection))
        return part

    def _part(self, index: CorpusIndex, opener: FileOpener, start: int, stop: int) -> SplitPart:
        id_column = index.id.name if index.id else None
        stretches = index.stretches(start, stop)
        return SplitPart(self.splitter, index.selection, id_column, opener, stretches)

    def head(self, n: int) -> pd.DataFrame:
        """Return the first pieces; no more texts are read than are needed."""
        index, opener = self.corpus.index_of_front(n)
        found = self._first(n, index, opener)
        if len(found) < n:  # texts may have no pieces
            found = self._first(n, self.corpus.index, self.corpus.opener)
        return to_pandas(found.slice(0, n), 0)

    def _first(self, n: int, index: CorpusIndex, opener: FileOpener) -> pa.Table:
        part = self._part(index, opener, 0, index.rows)
        found = [part.schema.empty_table()]
        for table in part.tables(most=max(1, n)):
            found.append(table)
            if sum(map(len, found)) >= n:
                break
        return pa.concat_tables(found)


def require_free_names(text: str, keep: Sequence[str]) -> None:
    """Raise `UsageError` if a column of the corpus has the name of one that pieces have."""
    taken = {PARENT, START, STOP}.intersection([text, *keep])
    if taken:
        raise UsageError(
            f"pieces have columns {PARENT}, {START} and {STOP} of their own, so the corpus must "
            f"not have one called {quoted(min(taken))}"
        )
