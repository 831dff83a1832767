"""`Corpus`: the files of texts that `open_corpus` found, or what they will be computed from.

Its rows are counted by `index`, cut into shards by `partition`, and read by `reading`. Opening a
corpus is in `open_corpus`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from ..cleaning.steps import NO_CLEANING, Cleaning
from ..errors import ColumnNotFound, CorpusEmpty, UsageError
from ..formats.registry import reader_of
from ..rows import SourceFile
from ..rows.dialect import DEFAULT_DIALECT, Dialect
from .front import FILES, FrontOpener
from .index import CorpusIndex, build_index
from .locations.files_as_html import files_as_html
from .opening import FileOpener
from .tables.frame_source import FrameSource
from .tables.framing import Convert, lazy_frame, table_at, to_pandas
from .tables.split_part import PARENT, START, STOP
from .tables.split_source import SplitSource, require_free_names
from .tables.splitters import splitter_of

if TYPE_CHECKING:
    import dask.dataframe as dd
    import pandas as pd


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
        >>> from paninifs import open_corpus
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
