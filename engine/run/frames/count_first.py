"""`counted_first`: the first stage of a run over a frame, which counts the rows of its partitions.

Rows, kinds of columns, lengths and digests are found where a partition is computed; only they
travel. They become the index of the corpus, whose files the partitions are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dask.delayed import delayed

from ....storage.corpus.index import index_of
from ....storage.corpus.opening import FileOpener
from ....storage.corpus.tables.frame_parts import frame_file, frame_rows
from ....storage.errors import CorpusEmpty, PaniniError, RunFailed
from ....storage.formats.registry import outline
from ....storage.rows import Outline, SourceFile
from ...monitoring.events import Event, Notice
from ...staged.parts import unloadable
from ..dispatch import Dispatch
from ..spec import RunSpec
from .computing import compute_each
from .partitions import FramePartitions


@dataclass(frozen=True)
class CountedPart:
    """A partition that has rows: as a file of the corpus, and what counting it has found."""

    number: int
    file: SourceFile
    outline: Outline
    nbytes: int  # as Arrow, in memory


def count_part(part: Any, token: str, number: int) -> CountedPart | None:
    """Count a partition, on the worker that has it; return None if it has no rows."""
    rows = frame_rows(part)
    if not rows.table.num_rows:
        return None
    file = frame_file(token, number, rows)
    return CountedPart(number, file, outline(file, FileOpener()), rows.table.nbytes)


def counted_first(
    spec: RunSpec, partitions: FramePartitions, dispatch: Dispatch, publish: Callable[[Event], None]
) -> RunSpec:
    """Count the frame of a run on its cluster; return the specification over its partitions.

    Raises
    ------
    CorpusEmpty
        The frame has no rows.
    ColumnNotFound
        A column cannot be stored.
    RunFailed
        The frame cannot be computed.
    """
    source = partitions.source
    counting = _Counting(spec, partitions, dispatch)
    every = range(len(source.parts))
    many = f"{len(every):,} partition{'s' * (len(every) != 1)}"
    publish(Notice(f"counting the rows of the frame, {many}"))
    first = partitions.first_to_hold()
    found = counting.counted(first)
    partitions.choose(sum(one.nbytes for one in found), of=len(first))
    found += counting.counted(every[len(first) :])
    if not found:
        raise CorpusEmpty("the frame has no rows, so there is nothing to run on")
    found.sort(key=lambda one: one.number)
    corpus = spec.corpus
    files = partitions.brought([one.file for one in found])
    outlines = [one.outline for one in found]
    index = index_of(files, outlines, text=corpus.text, id=corpus.id, keep=corpus.keep)
    return spec.over(corpus.counted(index))


class _Counting:
    """Counts partitions on the cluster of a run."""

    def __init__(self, spec: RunSpec, partitions: FramePartitions, dispatch: Dispatch) -> None:
        self._spec, self._partitions, self._dispatch = spec, partitions, dispatch

    def counted(self, numbers: Sequence[int]) -> list[CountedPart]:
        """Return what counting has found for those partitions that have rows, in any order."""
        count: Any = delayed(count_part, pure=False)
        parts = self._partitions.delayed(numbers)
        tasks = [
            count(part, self._partitions.source.token, number)
            for number, part in zip(numbers, parts, strict=True)
        ]
        found: list[CountedPart | None] = []
        try:
            compute_each(self._spec, self._dispatch, tasks, found.append)
        except PaniniError:
            raise
        except Exception as error:
            failed = unloadable(error) or RunFailed(
                f"the frame could not be computed ({type(error).__name__}: {error}); nothing was "
                "written"
            )
            raise failed from error
        return [one for one in found if one is not None]
