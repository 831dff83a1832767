"""`open_corpus` and `Corpus`: files of texts, opened lazily, and data that lie in memory.

Opening lists files (`listing`) and reads none. Their rows are counted by `index`, cut into shards
by `partition`, and read by `reading`. Data in memory become a file of their own (`tables`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from ..cleaning.steps import NO_CLEANING, Cleaning
from ..errors import ColumnNotFound, CorpusEmpty, UsageError
from ..formats.recognition.transcoding import require_detector
from ..formats.registry import reader_of, require_format
from ..messages.tracebacks import short_traceback
from ..rows import SourceFile
from ..rows.dialect import AUTO, DEFAULT_DIALECT, Dialect
from .front import FILES, FrontOpener
from .index import CorpusIndex, build_index
from .listing import list_files, written_in
from .locations.arguments import (
    locations_of,
    names_of,
    require_cleaning,
    require_name,
    require_options,
)
from .locations.files_as_html import files_as_html
from .opening import FileOpener
from .tables.conversion import columns_in
from .tables.frame_source import FrameSource, frame_source, is_dask_frame, text_column_of
from .tables.framing import Convert, lazy_frame, table_at, to_pandas
from .tables.given import in_memory
from .tables.split_part import PARENT, START, STOP
from .tables.split_source import SplitSource, require_free_names
from .tables.splitters import splitter_of

if TYPE_CHECKING:
    import dask.dataframe as dd
    import pandas as pd


DEFAULT_TEXT = "text"
"""Name of the column of texts, unless another is given."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Corpus:
    """Files of texts, in a fixed order, not read yet. Made by `open_corpus`.

    A corpus with a `source` has no files yet. A run computes them first, next to its results; or
    they are the partitions of a frame, which it counts first.
    """

    files: tuple[SourceFile, ...]
    ignored: tuple[str, ...]  # names of files that were found, but whose format is unknown
    text: str
    id: str | None
    keep: tuple[str, ...]
    storage_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    cleaning: Cleaning = NO_CLEANING
    dialect: Dialect = DEFAULT_DIALECT
    exact: bool = False  # whether large files are identified by all their bytes
    notes: tuple[str, ...] = ()  # sentences for the user, about files that are left out
    source: FrameSource | SplitSource | None = None  # what the files will be computed from
    known: CorpusIndex | None = field(default=None, compare=False, repr=False)  # if counted before

    @cached_property
    def index(self) -> CorpusIndex:
        """Rows of every file, counted on first use: from Parquet footers, else record by record.

        Raises
        ------
        ColumnNotFound, CorpusEmpty
        UsageError
            The corpus has no files yet; see `source`.
        """
        self.require_files()
        if self.known is not None:
            index = self.known.moved_to(self.files)
        else:
            index = build_index(self.files, self.opener, self.text, self.id, self.keep)
        return replace(index, cleaning=self.cleaning)

    def counted(self, index: CorpusIndex) -> Corpus:
        """Return this corpus with the files of an index, instead of a source."""
        files = tuple(one.file for one in index.files)
        return replace(self, files=files, source=None, known=index)

    def require_files(self) -> None:
        """Raise `UsageError` if the files of the corpus are yet to be computed."""
        if self.source is not None:
            raise UsageError(
                f"the corpus is {self.source!r}, whose rows are not known before it is computed. "
                "submit does that itself; paninifs.stage(corpus, 'a-new-folder') does it now, and "
                "returns a corpus of files"
            )

    def __len__(self) -> int:
        """Return the number of rows, counted on first use; see `index`."""
        return self.index.rows

    def __bool__(self) -> bool:
        return True  # without counting the rows

    def __repr__(self) -> str:
        columns = {"text": self.text, "id": self.id, "keep": list(self.keep)}
        named = "".join(f", {name}={value!r}" for name, value in columns.items() if value)
        if self.source is not None:
            return f"<Corpus of {self.source!r}{named}>"
        files = f"{len(self.files):,} file{'' if len(self.files) == 1 else 's'}"
        formats = ", ".join(sorted({file.format for file in self.files}))
        return f"<Corpus {self.files[0].url}: {files} ({formats}), {self.nbytes:,} bytes{named}>"

    def _repr_html_(self) -> str:
        return files_as_html(repr(self), self.files)

    def head(self, n: int = 5) -> pd.DataFrame:
        """Return the first rows, like ``frame.head()``, without counting all rows.

        Parameters
        ----------
        n : int
            Maximum number of rows.

        Raises
        ------
        ColumnNotFound, CorpusEmpty
        """
        if not isinstance(n, int) or n < 0:
            raise UsageError(f"n must be a whole number of rows, not {n!r}")
        if self.source is not None:
            return self.source.head(n)
        index, opener = self.index_of_front(n)
        stretches = index.stretches(0, min(n, index.rows))
        return to_pandas(table_at(stretches, opener, index.selection).slice(0, n), 0)

    def index_of_front(self, rows: int) -> tuple[CorpusIndex, FileOpener]:
        """Return an index that has the first rows, and an opener of its files."""
        if self.known is None and "index" not in vars(self):
            opener = FrontOpener(self.storage_options)
            with suppress(ColumnNotFound, CorpusEmpty):  # there may be more behind
                index = build_index(self.files[:FILES], opener, self.text, self.id, self.keep)
                if index.rows >= rows:
                    return replace(index, cleaning=self.cleaning), opener
        return self.index, self.opener

    @cached_property
    def frame(self) -> dd.DataFrame:
        """The corpus as a lazy `dask.dataframe`, one dask partition per partition of the plan.

        Texts are Arrow-backed, the index is the row number in the corpus, and quarantined rows have
        a null text. The partitions are those of a run of the default graph. Making the frame counts
        the rows (see `index`) but reads no text, unless the corpus lies in memory.
        """
        if isinstance(self.source, FrameSource):
            frame: dd.DataFrame = self.source.frame
            return frame
        return self.frame_of(to_pandas)

    def frame_of(self, convert: Convert) -> dd.DataFrame:
        """Return a lazy frame whose partitions are made by `convert`; those of `frame` are pandas.

        Parameters
        ----------
        convert : callable
            Makes a frame from an Arrow table of a partition's rows and the number of the first one,
            at which the frame's index starts. Called on the workers, and once here with an empty
            table.
            It is pickled with every task, so it must be defined at the top level of a module.
        """
        return lazy_frame(self, convert)

    def split(
        self,
        how: Literal["sentence", "paragraph"] | Callable[[str], Iterable[Any]] | None = None,
        *,
        chars: int | None = None,
    ) -> Corpus:
        """Return the corpus of pieces of these texts: sentences, paragraphs or others.

        A run computes the pieces first, once, next to its results, as it does with frames that it
        stages; see `submit`. Pieces are cut from cleaned texts; duplicates, if marked, are found
        among pieces.

        Parameters
        ----------
        how : str or callable, optional
            "sentence": by rules after Unicode's annex 29, for all scripts; see
            `storage.corpus.tables.sentences`. "paragraph": what empty lines separate. Or a function
            of a text that returns parts of it, in their order, or spans ``(start, stop)``, which
            may overlap; if its code changes, existing pieces are refused.
        chars : int, optional
            Maximum characters of a piece, which ends at white space if there is any.

        Returns
        -------
        Corpus
            Its kept columns are ``parent``, the id of the text that a piece is from, or its row
            number if the corpus has no ids; ``start`` and ``stop``, the span of the piece in
            characters (code points), counted from 0; and the kept columns of this corpus. Pieces
            have no white space at their ends, and a text of white space has no pieces. A
            quarantined text becomes one piece without a text.

        Raises
        ------
        UsageError
            The arguments do not describe a way to split, the corpus has a column of one of these
            names, or it has no files yet: `stage` it first.

        Examples
        --------
        >>> corpus = open_corpus({"text": ["It rains. Stay here.", "Yes."], "id": ["a", "b"]})
        >>> corpus.split("sentence").head().text.tolist()
        ['It rains.', 'Stay here.', 'Yes.']
        >>> corpus.split(chars=8).head()[["parent", "start", "stop"]].values.tolist()
        [['a', 0, 2], ['a', 3, 9], ['a', 10, 14], ['a', 15, 20], ['b', 0, 4]]
        """
        splitter = splitter_of(how, chars)
        self.require_files()
        require_free_names(self.text, self.keep)
        return replace(
            self,
            files=(),
            ignored=(),
            id=None,
            keep=(PARENT, START, STOP, *self.keep),
            cleaning=Cleaning(duplicates=self.cleaning.duplicates),
            source=SplitSource(self, splitter),
        )

    @property
    def in_memory(self) -> bool:
        """Whether the texts lie in the memory of this process."""
        return any(file.in_memory for file in self.files)

    @property
    def opener(self) -> FileOpener:
        """Opener of the files, with the storage options given to `open_corpus`."""
        return FileOpener(self.storage_options, exact=self.exact)

    @property
    def may_need_encoding(self) -> bool:
        """Whether there are text files, and no encoding was given for them."""
        return self.dialect.encoding is None and any(
            "encoding" in reader_of(file).options for file in self.files
        )

    @property
    def nbytes(self) -> int:
        """Bytes of all files, as stored."""
        return sum(file.size for file in self.files)


@short_traceback
def open_corpus(
    urls: Any = None,
    *,
    texts: Any = None,
    text: str = DEFAULT_TEXT,
    id: str | None = None,
    keep: Sequence[str] = (),
    format: str | None = None,
    delimiter: str | None = None,
    quote: str | None = '"',
    escape: str | None = None,
    encoding: str | None = None,
    clean: Cleaning | None = None,
    storage_options: Mapping[str, Any] | None = None,
    exact: bool = False,
) -> Corpus:
    r"""Open a corpus: lazily from files, or data that lie in memory.

    Data in memory must take at most 64 MiB as Parquet. They travel with a run, and its store keeps
    their digest: to resume the run, verify it or look at its texts in another session, give the
    same data again. Larger data become files with `stage`.

    Parameters
    ----------
    urls : str, path or list, or data in memory
        Anything that fsspec reads: one URL, a glob, a directory, or a list of them. A directory
        stands for all files in and below it with a known ending (.parquet .jsonl .csv .tsv .txt,
        the last four also .gz .zst .bz2), in the order of their names.

        Or a table: a DataFrame of pandas, polars or cuDF, a LazyFrame of polars, a Table or
        RecordBatch of Arrow, a relation of DuckDB, a Hugging Face ``Dataset``, a dict of columns,
        or a list of dicts. Or a series of texts: a Series of pandas, polars or cuDF, an index, an
        Arrow array. Only the columns that `text`, `id` and `keep` name are read.

        Or a DataFrame or Series of dask or dask-cuDF, such as `Corpus.frame` with rows filtered:
        a run reads it partition by partition, or stages it first; see `submit`.

        A list of strings is a list of locations. It is taken for texts if at least one is evidently
        a text (it has a line break, more than 200 characters, or more than three words and no
        slash), none of them exists as a file, and none could be a location; `notes` says so.
    texts : list of str, optional
        The texts themselves, in place of `urls`. None is a missing text.
    text : str
        The column, or JSON key, that holds the text. Plain text files need none.
    id : str, optional
        The column that identifies a text. By default the column ``id`` if there is one, else the
        row number.
    keep : sequence of str
        Further columns to store with the results.
    format : str, optional
        "parquet", "jsonl", "csv", "tsv", "text" (one row per line) or "document" (one row per
        file). By default, each file's ending decides. With a format, a directory stands for the
        files whose endings belong to this format (.md to "text" and "document"; .html, .xml, .tex
        and .rst to "document"). Files that are named, or matched by a glob, are read in this format
        whatever their endings.
    delimiter : str, optional
        The character between the values of CSV or TSV, such as ";". By default a comma in CSV and
        a tab in TSV.
    quote : str, optional
        The character around values of CSV or TSV that contain delimiters or line breaks. None:
        quotes are ordinary characters and every line is a record, as in most corpora of TSV.
    escape : str, optional
        The character before a delimiter, quote or line break of CSV or TSV that belongs to a
        value. By default there is none, and quotes within quoted values are doubled.
    encoding : str, optional
        The encoding of all text files, such as "latin-1", "cp1252" or "utf-16": any text encoding
        of Python. By default UTF-8. With "auto" it is detected for each file, when the rows are
        counted, and stored with the results; this needs the extra ``encoding``. Rows with bytes
        that cannot be decoded are quarantined. A file that is not UTF-8 is read by a single task.
    clean : Cleaning, optional
        How each text is cleaned before it is hashed. By default, texts stay as they are.
    storage_options : mapping, optional
        Passed to fsspec.
    exact : bool
        Whether a changed file is always noticed when a run resumes. By default, a file of more than
        1 MiB is compared by its size and by 16 blocks of it, and a change between them that keeps
        the size is not noticed. Exactly comparing takes another read of every large file.

    Raises
    ------
    CorpusNotFound
        No file was found, or none of a known format.
    ColumnNotFound, CorpusEmpty
        Data in memory lack the column, or have no rows. Files are checked when they are read.
    UsageError
        A file is named twice, the format or the encoding is unknown, an option concerns none of
        the files, or data in memory are too large.
    BackendUnavailable
        The encoding is "auto", and the package that detects it is missing.
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
    >>> file = file.with_suffix(".csv")
    >>> _ = file.write_bytes("id;text\nx;déjà".encode("cp1252"))
    >>> corpus = open_corpus(file, delimiter=";", encoding="cp1252")
    >>> corpus.frame.compute().text.tolist()
    ['déjà']
    >>> open_corpus(texts=["un", "deux"]).head().text.tolist()
    ['un', 'deux']
    >>> corpus = open_corpus({"quote": ["un", "deux"], "lang": ["fr", "fr"]}, text="quote")
    >>> len(corpus), corpus.files[0].name
    (2, 'in-memory')
    """
    require_name("text", text)
    if id is not None:
        require_name("id", id)
    kept = names_of(keep)
    require_options(storage_options, format)
    if is_dask_frame(urls):
        if format is not None or texts is not None:
            raise UsageError("format= and texts= do not apply to a dask frame; leave them out")
        return _of_frame(urls, text, id, kept, clean)
    options = dict(storage_options or {})
    require_cleaning(clean)
    if format is not None:
        require_format(format)
    dialect = Dialect(delimiter=delimiter, quote=quote, escape=escape, encoding=encoding)
    if dialect.encoding == AUTO:
        require_detector()
    found = in_memory(urls, texts, format, text=text, id=id, keep=kept)
    if found is None:
        found = list_files(locations_of(urls), format, options)
    return Corpus(
        files=written_in(dialect, found.files),
        ignored=found.ignored,
        notes=found.notes,
        text=text,
        id=id,
        keep=kept,
        storage_options=options,
        cleaning=clean or NO_CLEANING,
        dialect=dialect,
        exact=exact,
    )


def _of_frame(
    frame: Any, text: str, id: str | None, keep: tuple[str, ...], clean: Cleaning | None
) -> Corpus:
    """Return a dask frame as a corpus that is yet to be computed."""
    require_cleaning(clean)
    if not hasattr(frame, "columns"):
        frame = frame.to_frame(text)
    elif text == DEFAULT_TEXT and text not in frame.columns:
        text = text_column_of(frame, text)
    return Corpus(
        files=(),
        ignored=(),
        text=text,
        id=id,
        keep=keep,
        cleaning=clean or NO_CLEANING,
        source=frame_source(frame, text, id, keep),
    )


def opened(value: Any) -> Any:
    """Return a frame or table as a corpus, with the columns ``text`` and ``id``; others as given.

    >>> len(opened({"text": ["un"]})), opened("a.txt")
    (1, 'a.txt')
    """
    if is_dask_frame(value) or columns_in(value, "text") is not None:
        return open_corpus(value)
    return value
