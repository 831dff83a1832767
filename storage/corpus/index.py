"""`CorpusIndex`: how many rows each file has, where decoding can begin, and which columns exist.

The records are counted once per corpus, by `frame` and `submit`, never when a corpus is opened. The
index is plain data and is stored beside the manifest, so that a resumed run does not count again.
Counting the records of one file is in `formats`, estimating the index of a large corpus in
`survey`.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Any

from ..cleaning.steps import NO_CLEANING, Cleaning
from ..errors import ColumnNotFound, CorpusEmpty
from ..formats.registry import reader_of
from ..messages.names import did_you_mean
from ..rows import (
    ANY_TEXT,
    Column,
    ColumnSelection,
    Lengths,
    Outline,
    SourceFile,
    Stretch,
    Unit,
    common_kind,
)
from .column_messages import (
    binary_values,
    doubled_names,
    folder_column,
    no_column,
    require_text,
    several_names,
    text_problem,
    unreadable_values,
)
from .counting import count
from .opening import FileOpener
from .partition import FileRows, Partition, file_spans, plan

_DEFAULT_ID = "id"
_MOST_NOTES = 10


@dataclass(frozen=True)
class FileIndex:
    """One file: its units, and its problem if its rows cannot be used.

    A file with a problem and no units could not even be counted. If a file with a problem has
    units, its rows are counted, and all of them are quarantined.
    """

    file: SourceFile
    units: tuple[Unit, ...]
    problem: str | None = None
    lengths: Lengths | None = None  # of the texts, or of the records that hold them
    note: str | None = None  # what the user should know about reading the file

    @property
    def rows(self) -> int:
        """Rows of the file."""
        return sum(unit.rows for unit in self.units)


@dataclass(frozen=True, kw_only=True)
class CorpusIndex:
    """A whole corpus: its files in order, the columns to read, and how texts are cleaned."""

    files: tuple[FileIndex, ...]
    text: str
    id: Column | None  # None: a text's id is its row number
    keep: tuple[Column, ...]
    cleaning: Cleaning = NO_CLEANING
    remarks: tuple[str, ...] = ()  # which column was left out, or read where several had its name

    @cached_property
    def starts(self) -> list[int]:
        """Number of the first row of each file, followed by the number of rows in the corpus."""
        return [0, *accumulate(file.rows for file in self.files)]

    @property
    def rows(self) -> int:
        """Rows of the corpus, including those of unusable files."""
        return self.starts[-1]

    @property
    def uncounted(self) -> list[FileIndex]:
        """Files whose rows could not be counted."""
        return [file for file in self.files if file.problem and not file.units]

    @property
    def selection(self) -> ColumnSelection:
        """The columns to read: text, id and kept columns."""
        others = dict.fromkeys([*([self.id] if self.id else []), *self.keep])
        return ColumnSelection(self.text, tuple(others), self.cleaning)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user about how the corpus will be read."""
        unread = list(self.remarks)
        unread += [f"{f.file.name} cannot be read: {f.problem}" for f in self.uncounted]
        unread += [
            f"{f.file.name}: {f.problem}; its {f.rows:,} rows are quarantined"
            for f in self.files
            if f.problem and f.units
        ]
        about: dict[str, list[str]] = {}
        for f in self.files:
            if f.note:
                about.setdefault(f.note, []).append(f.file.name)
            if f.file.sequential and f.rows:
                why = "compressed" if f.file.compression else "not UTF-8"
                single = f"{why}, so each file is read by a single task"
                about.setdefault(single, []).append(f.file.name)
        for note, names in about.items():
            unread.append(f"{', '.join(names[:3])}{', ...' if len(names) > 3 else ''}: {note}")
        more = len(unread) - _MOST_NOTES
        if more > 0:
            unread[_MOST_NOTES:] = [f"and {more:,} more notes like these; see the quarantine"]
        return tuple(unread)

    def locate(self, row: int) -> tuple[SourceFile, int]:
        """Return the file that holds a row of the corpus, and the row's number there (from 0)."""
        if not 0 <= row < self.rows:
            raise IndexError(f"row {row} does not exist: the corpus has {self.rows} rows, from 0")
        number = bisect_right(self.starts, row) - 1
        return self.files[number].file, row - self.starts[number]

    @cached_property
    def _file_rows(self) -> list[FileRows]:
        return [
            FileRows(tuple(u.rows for u in f.units), tuple(u.offset for u in f.units))
            for f in self.files
        ]

    def partitions(self, shard_rows: int) -> list[Partition]:
        """Cut the corpus into partitions of whole shards of `shard_rows` rows."""
        return plan(self._file_rows, shard_rows)

    def stretches(self, start: int, stop: int) -> tuple[Stretch, ...]:
        """Return the stretches of files that hold rows ``[start, stop)`` of the corpus."""
        return tuple(
            Stretch(
                self.starts[number] + span.start,
                self.files[number].file,
                span,
                self.files[number].problem,
            )
            for number, span in file_spans(self._file_rows, self.starts, start, stop)
        )

    def moved_to(self, files: Sequence[SourceFile]) -> CorpusIndex:
        """Return the index with the same files at new locations: a corpus may move as a whole."""
        moved = tuple(  # dialects were completed when the files were counted
            replace(f, file=replace(file, dialect=f.file.dialect))
            for f, file in zip(self.files, files, strict=True)
        )
        return replace(self, files=moved)

    @property
    def digest(self) -> str:
        """Digest of the rows, their units, the problems, dialects and the kinds of columns."""
        found = self.to_json()
        found["files"] = [
            [file["units"], file["problem"], *filter(None, [file["file"].get("dialect")])]
            for file in found["files"]
        ]
        found.pop("remarks", None)
        return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return the index as JSON, with units as ``[rows, offset]`` because there may be many."""
        files = [
            {
                "file": f.file.to_json(),
                "units": [[unit.rows, unit.offset] for unit in f.units],
                "problem": f.problem,
                "lengths": asdict(f.lengths) if f.lengths else None,
                **({"note": f.note} if f.note else {}),
            }
            for f in self.files
        ]
        return {
            "files": files,
            "text": self.text,
            "id": asdict(self.id) if self.id else None,
            "keep": [asdict(column) for column in self.keep],
            "cleaning": self.cleaning.describe(),
            **({"remarks": list(self.remarks)} if self.remarks else {}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CorpusIndex:
        """Read what `to_json` wrote."""
        files = [
            FileIndex(
                SourceFile.from_json(f["file"]),
                tuple(Unit(*unit) for unit in f["units"]),
                f["problem"],
                Lengths(**f["lengths"]) if f.get("lengths") else None,
                f.get("note"),
            )
            for f in data["files"]
        ]
        identity = Column(**data["id"]) if data["id"] else None
        keep = tuple(Column(**column) for column in data["keep"])
        cleaning = Cleaning(**data.get("cleaning", {}))  # older stores have no cleaning
        remarks = tuple(data.get("remarks", ()))
        return cls(
            files=tuple(files),
            text=data["text"],
            id=identity,
            keep=keep,
            cleaning=cleaning,
            remarks=remarks,
        )


def build_index(
    files: Sequence[SourceFile],
    opener: FileOpener,
    text: str,
    id: str | None,
    keep: Sequence[str],
) -> CorpusIndex:
    """Count the records of every file, in parallel, and determine the columns.

    Raises
    ------
    ColumnNotFound
        No file has the text column, the named id column or a kept column.
    CorpusEmpty
        No file has any rows.
    """
    files, found = count(files, opener, [text, id or _DEFAULT_ID, *keep])
    return index_of(files, found, text=text, id=id, keep=keep)


def index_of(
    files: Sequence[SourceFile],
    found: Sequence[Outline | str],
    *,
    text: str,
    id: str | None,
    keep: Sequence[str],
) -> CorpusIndex:
    """Return the index of files from what counting each of them has found; see `build_index`."""
    readable = [o for o in found if isinstance(o, Outline) and (o.units or o.columns)]
    require_text(files, found, text)
    indexed = tuple(_file_index(f, o, text) for f, o in zip(files, found, strict=True))
    names = {name for o in readable for name in o.columns} - {ANY_TEXT}
    for name in (*([id] if id else []), *keep):
        if readable and name not in names:
            advice = (
                several_names(name, names)
                or folder_column(name, files, text, id, keep)
                or did_you_mean(name, names)
            )
            raise ColumnNotFound(no_column(name, names) + advice)
    remarks = doubled_names(files, found, (text, id or _DEFAULT_ID, *keep))
    identity = id or (_DEFAULT_ID if _DEFAULT_ID in names else None)
    if id is None and identity and (nested := _nested(readable, identity)):
        identity = None
        remarks.append(
            f"column 'id' holds {nested}, which cannot be stored; a text's id is its row number"
        )
    beside = tuple(dict.fromkeys([*([identity] if identity else []), *keep]))
    remarks += unreadable_values(files, found, beside)
    remarks += binary_values(files, found, beside)
    index = CorpusIndex(
        files=indexed,
        text=text,
        id=Column(identity, _id_kind(readable, identity)) if identity else None,
        keep=tuple(Column(name, _kind(readable, name)) for name in keep),
        remarks=tuple(remarks),
    )
    if not index.rows:
        reasons = "; ".join(f"{f.file.name}: {f.problem or 'no rows'}" for f in indexed[:5])
        raise CorpusEmpty(f"the corpus has no rows in {len(files)} file(s): {reasons}")
    return index


def extend_index(
    index: CorpusIndex, files: Sequence[SourceFile], opener: FileOpener
) -> CorpusIndex:
    """Return the index with further files appended; its columns stay the same.

    If the columns of a file do not fit, its rows are counted and quarantined.
    """
    added = []
    beside = [column.name for column in index.selection.others]
    files, outlines = count(files, opener, [index.text, *beside])
    for file, found in zip(files, outlines, strict=True):
        indexed = _file_index(file, found, index.text)
        if isinstance(found, Outline) and not indexed.problem:
            indexed = replace(indexed, problem=_misfit(found, index))
        added.append(indexed)
    remarks = (
        *index.remarks,
        *doubled_names(files, outlines, [index.text, *beside]),
        *unreadable_values(files, outlines, beside),
        *binary_values(files, outlines, beside),
    )
    return replace(index, files=(*index.files, *added), remarks=remarks)


def _misfit(found: Outline, index: CorpusIndex) -> str | None:
    for column in index.selection.others:
        kind = found.columns.get(column.name, column.kind)
        fits = common_kind((kind, column.kind)) == column.kind
        if not fits or "<" in kind:
            return f"column {column.name!r} holds {kind}, and in the results {column.kind}"
    return None


def _file_index(file: SourceFile, found: Outline | str, text: str) -> FileIndex:
    if isinstance(found, str):
        return FileIndex(file, (), found)
    # Without a schema, the keys may differ from record to record.
    problem = text_problem(found, text) if reader_of(file).has_schema else None
    lengths = found.lengths.get(text) or found.lengths.get(ANY_TEXT)
    counted = replace(file, dialect=found.dialect) if found.dialect else file
    return FileIndex(counted, found.units, problem, lengths, found.note)


def _kind(readable: Sequence[Outline], name: str) -> str:
    """Return the kind to read a column as, given its kinds in all files."""
    if nested := _nested(readable, name):
        raise ColumnNotFound(f"column {name!r} holds {nested}, which cannot be stored")
    return common_kind({o.columns[name] for o in readable if name in o.columns})


def _nested(readable: Sequence[Outline], name: str) -> str | None:
    """Return a kind of the column that cannot be stored: a struct, list or map."""
    kinds = sorted({o.columns[name] for o in readable if name in o.columns})
    return next((kind for kind in kinds if "<" in kind), None)


def _id_kind(readable: Sequence[Outline], name: str) -> str:
    kind = _kind(readable, name)
    return kind if kind == "int64" else "string"
