"""`open_corpus`: from URLs to a list of files, and the lazy corpus that they are.

Opening lists files and reads none. What is in them is found by `index`, how they are read by
`readers`, how they are cut by `partition`.
"""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from os import PathLike, fspath
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from .cleaning import NO_CLEANING, Cleaning
from .compression import SUFFIXES as COMPRESSED
from .errors import CorpusNotFound, UsageError
from .filesystem import files_below, files_matching, filesystem_of, forget_listings, settled
from .index import CorpusIndex, build_index
from .partition import Sharding
from .patience import patiently
from .readers import READERS, SUFFIXES, format_of, read_as, require_format
from .redaction import scrubbed, shown
from .refusal import refusals
from .rows import ARROW_KINDS, Rows, SourceFile, Stretch, Wanted
from .source import FileOpener, stamp_of
from .stretches import read_stretches

if TYPE_CHECKING:
    import dask.dataframe as dd
    import pandas as pd

_NO_FILES = (
    (stat.S_ISFIFO, "a named pipe, and no file"),
    (stat.S_ISSOCK, "a socket, and no file"),
    (stat.S_ISCHR, "a device, and no file"),
    (stat.S_ISBLK, "a device, and no file"),
    (stat.S_ISLNK, "a link that leads to no file (one to a folder is not followed)"),
)
"""What opening would wait for, or read, for ever; and how to tell."""

_IN_A_STORE = "/_run/manifest.json"

Location = str | PathLike[str]


@dataclass(frozen=True)
class Corpus:
    """Files of texts, in a fixed order, not read yet. Made by `open_corpus`."""

    files: tuple[SourceFile, ...]
    ignored: tuple[str, ...]
    text: str
    id: str | None
    keep: tuple[str, ...]
    storage_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    cleaning: Cleaning = NO_CLEANING

    @cached_property
    def index(self) -> CorpusIndex:
        """Rows of every file, counted at the first use: Parquet footers, else the records.

        Raises
        ------
        ColumnNotFound, CorpusEmpty
        """
        index = build_index(self.files, self.opener, self.text, self.id, self.keep)
        return replace(index, cleaning=self.cleaning)

    @cached_property
    def frame(self) -> dd.DataFrame:
        """The corpus as a lazy `dask.dataframe`, one dask partition a partition of the plan.

        Text is Arrow-backed, the index is the row of the corpus, quarantined rows have a null
        text. Cut as for the default graph. Counts the rows (see `index`), reads no text.
        """
        return self.frame_of(_to_pandas)

    def frame_of(self, convert: Callable[[pa.Table, int], Any]) -> dd.DataFrame:
        """Return the lazy frame whose partitions `convert` makes; `frame` is that of pandas.

        Parameters
        ----------
        convert : callable
            Makes a frame of a partition's rows, given as an Arrow table, and the number of their
            first row, from which its index counts. Called on the workers, and once here without
            rows. It travels with every task, so it is a function of a module.
        """
        import dask
        import dask.dataframe as dd

        index = self.index
        partitions = index.partitions(Sharding().choose(index.rows))
        divisions = (*(p.row_start for p in partitions), index.rows - 1)
        with dask.config.set({"dataframe.convert-string": False}):
            frame: dd.DataFrame = dd.from_map(
                _ReadFrame(self.opener, index.wanted, convert),
                [index.stretches(p.row_start, p.row_stop) for p in partitions],
                meta=convert(_schema(index.wanted).empty_table(), 0),
                divisions=divisions,
                label="corpus",
                enforce_metadata=False,
            )
        return frame

    @property
    def opener(self) -> FileOpener:
        """Opens the files with the storage options that the corpus was opened with."""
        return FileOpener(dict(self.storage_options))

    @property
    def nbytes(self) -> int:
        """Bytes of the files as they are stored."""
        return sum(file.size for file in self.files)


def open_corpus(
    urls: Location | Sequence[Location],
    *,
    text: str = "text",
    id: str | None = None,
    keep: Sequence[str] = (),
    format: str | None = None,
    clean: Cleaning | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Corpus:
    """Open a corpus: one URL, a glob, a directory, or a list of them. Lazy.

    Parameters
    ----------
    urls : str, path or list
        Anything that fsspec reads. A directory stands for all files in and below it whose
        ending is known (.parquet .jsonl .csv .tsv .txt, the last four also .gz .zst .bz2), in
        the order of their names.
    text : str
        The column, or JSON key, that holds the text. Plain text files need none.
    id : str, optional
        The column that identifies a text; when left out the column ``id`` where there is one,
        else the row number.
    keep : sequence of str
        Further columns to store beside the results.
    format : str, optional
        "parquet", "jsonl", "csv", "tsv", "text" (a line is a row) or "document" (a file is); when
        left out, each file's ending says it. A directory then stands for the files whose endings
        belong to the format (.md to both of the last two, .html .xml .tex .rst to the last);
        files that are named, or matched by a glob, are read so whatever their endings are.
    clean : Cleaning, optional
        What is done to each text before it is hashed; nothing when left out.
    storage_options : mapping, optional
        Passed to fsspec.

    Raises
    ------
    CorpusNotFound
        Nothing is there, or nothing of a known format.
    UsageError
        A file is named twice, or there is no such format.
    StorageRefused
        A folder may not be listed.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> file = Path(mkdtemp(), "a.jsonl")
    >>> _ = file.write_text('{"id": "x", "text": "un"}')
    >>> corpus = open_corpus(file)
    >>> corpus.frame.compute().text.tolist()
    ['un']
    """
    options = dict(storage_options or {})
    given = [urls] if isinstance(urls, str | PathLike) else list(urls)
    if isinstance(keep, str):
        raise UsageError(f"keep must be a list of columns: keep=[{keep!r}]")
    if not isinstance(clean, Cleaning | None):
        raise UsageError(f"clean is a Cleaning, as Cleaning(unicode='NFC'), not {clean!r}")
    if not given:
        raise CorpusNotFound("no corpus was named")
    if format is not None:
        require_format(format)
    found: list[dict[str, Any]] = []
    ignored: list[str] = []
    for url in [fspath(one) for one in given]:
        for info in _list(url, options):
            known = _format(info, format)
            if known:
                found.append({**info, "known": known})
            else:
                ignored.append(info["name"])
    if not found:
        raise CorpusNotFound(_nothing(given, ignored, format))
    _refuse_twice(found)
    root = _common_folder([info["name"] for info in found])
    files = tuple(_source(info, root) for info in found)
    return Corpus(files, tuple(ignored), text, id, tuple(keep), options, clean or NO_CLEANING)


def _list(url: str, options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what the filesystem says of every file that a URL stands for, sorted by name."""
    fs, path = filesystem_of(url, options)
    # Of a chained URL (zip://*.txt::gs://bucket/a.zip) each file keeps what stands behind.
    head, _, behind = url.partition("::")
    tail = f"::{behind}" if behind and "://" in head else ""
    with refusals(f"listing {scrubbed(shown(url))}"):
        in_folder, infos = patiently(f"listing {url}", lambda: _found(fs, path))
    if not infos:
        raise CorpusNotFound(f"no such file, and nothing that it matches: {scrubbed(shown(url))}")
    for name in sorted(infos):
        # The web's names are whole URLs; what is called by one must not be called by its password.
        called = shown(name) if "://" in name else name
        url = fs.unstrip_protocol(name) + tail
        yield {**infos[name], "name": called, "url": url, "in_folder": in_folder}


def _refuse_twice(found: Sequence[Mapping[str, Any]]) -> None:
    """Raise `UsageError` where two files could not be told apart by what is kept of their URLs."""
    given: dict[str, set[str]] = {}
    times: Counter[str] = Counter()
    for info in found:
        given.setdefault(shown(info["url"]), set()).add(info["url"])
        times[shown(info["url"])] += 1
    twice = sorted(url for url, count in times.items() if count > 1)
    if not twice:
        return
    advice = ""
    if any(len(given[url]) > 1 for url in twice):
        advice = (
            "; behind a ? (or before an @) there may be a key, so that is written nowhere, and no "
            "two files can differ by it alone: download them, or serve them under other names"
        )
    raise UsageError(f"named twice: {', '.join(twice[:5])}{advice}")


def _format(info: Mapping[str, Any], format: str | None) -> tuple[str, str | None] | None:
    """Return the format and compression to read a file in, or None to leave it out."""
    if format is None or info["in_folder"]:
        return format_of(info["name"], within=format)
    return read_as(info["name"], format)


def _found(fs: Any, path: str) -> tuple[bool, dict[str, dict[str, Any]]]:
    """Return whether a path is a folder, and the files that it stands for."""
    forget_listings(fs)
    try:  # fsspec's own isdir and exists take a failing disk for a no
        with settled(fs):
            here = fs.info(path)
    except (FileNotFoundError, NotADirectoryError):
        one = "://" in path and "?" in path  # of the web: there a question has no wildcard
        return False, {} if one else files_matching(fs, path)
    if here["type"] != "directory":
        return False, {path: here}
    found = files_below(fs, path)
    # A results store in or below the folder is no corpus, though it may hold a Parquet file.
    stores = tuple(n.removesuffix(_IN_A_STORE) + "/" for n in found if n.endswith(_IN_A_STORE))
    visible = {n: i for n, i in found.items() if not _hidden(n, path) and not n.startswith(stores)}
    return True, visible


def _hidden(name: str, folder: str) -> bool:
    inner = PurePosixPath(name.removeprefix(folder)).parts
    return any(part.startswith((".", "_")) for part in inner)


def _nothing(given: Sequence[Location], ignored: Sequence[str], format: str | None) -> str:
    known = SUFFIXES if format is None else (*READERS[format].endings, *READERS[format].further)
    files = ", ".join(PurePosixPath(name).name for name in ignored[:5])
    where = ", ".join(scrubbed(shown(fspath(one))) for one in given)
    whose = "known endings are" if format is None else f"the endings of {format} are"
    return (
        f"no corpus file in {where}: found {files}; {whose} {' '.join(known)} "
        f"(and {' '.join(COMPRESSED)})"
    )


def _common_folder(names: Sequence[str]) -> PurePosixPath:
    parents = [PurePosixPath(name).parent.parts for name in names]
    shortest = min(parents, key=len)
    depth = 0
    while depth < len(shortest) and len({parts[depth] for parts in parents}) == 1:
        depth += 1
    return PurePosixPath(*shortest[:depth])


def _source(info: Mapping[str, Any], root: PurePosixPath) -> SourceFile:
    name = _printable(str(PurePosixPath(info["name"]).relative_to(root)))
    if info["size"] is None:  # a web server may not; then it may also not give a part of a file
        raise UsageError(
            f"{shown(info['url'])}: the server does not say how long it is; download it first"
        )
    url, stamp = shown(info["url"]), stamp_of(dict(info))
    signed = info["url"] if info["url"] != url else None
    format, compression = info["known"]
    return SourceFile(
        _printable(url), name, info["size"], stamp, format, compression, _problem(info), signed
    )


def _problem(info: Mapping[str, Any]) -> str | None:
    """Return why a file cannot be opened, where its name or its kind says so."""
    name = info["name"]
    if name != _printable(name):
        return "its name is not UTF-8; rename it"
    if "::" in name:
        return "its name holds '::', which joins URLs; rename it"
    if info["type"] != "other":
        return None
    kind = next((what for test, what in _NO_FILES if test(info.get("mode", 0))), "no file")
    return f"it is {kind}"


def _printable(name: str) -> str:
    r"""Return a name that can be written down: what is not UTF-8 in it is escaped.

    >>> _printable("a\udcff.txt"), _printable("ā.txt")
    ('a\\udcff.txt', 'ā.txt')
    """
    return name.encode("utf-8", "backslashreplace").decode()


class _ReadFrame:
    """Reads one partition as a frame, on whichever worker dask chooses."""

    def __init__(
        self, opener: FileOpener, wanted: Wanted, convert: Callable[[pa.Table, int], Any]
    ) -> None:
        self._opener, self._wanted, self._convert = opener, wanted, convert

    def __call__(self, stretches: Sequence[Stretch]) -> Any:
        batches = [rows for *_, rows in read_stretches(stretches, self._opener, self._wanted)]
        return self._convert(_to_table(batches, self._wanted), stretches[0].row)


def _schema(wanted: Wanted) -> pa.Schema:
    others = {column.name: ARROW_KINDS[column.kind] for column in wanted.others}
    return pa.schema({wanted.text: pa.large_string(), **others})


def _to_table(batches: Sequence[Rows], wanted: Wanted) -> pa.Table:
    """Lay batches behind one another as Arrow chunks, copying no text."""
    schema = _schema(wanted)
    columns = {wanted.text: [batch.text for batch in batches]}
    for other in wanted.others:
        columns[other.name] = [batch.columns[other.name] for batch in batches]
    arrays = [
        pa.chunked_array(
            [chunk if chunk.type == field.type else chunk.cast(field.type) for chunk in chunks],
            field.type,
        )
        for field, chunks in zip(schema, columns.values(), strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _to_pandas(table: pa.Table, start: int) -> pd.DataFrame:
    import pandas as pd

    rows = pd.RangeIndex(start, start + len(table))
    columns = {
        name: pd.Series(pd.arrays.ArrowExtensionArray(column), index=rows)
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
    return pd.DataFrame(columns, index=rows)
