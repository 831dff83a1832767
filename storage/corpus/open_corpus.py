"""`open_corpus`: files of texts, opened lazily, and data that lie in memory.

Opening lists files (`listing`) and reads none. Data in memory become a file of their own
(`tables`). What a corpus then does is in `corpus`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..cleaning.steps import NO_CLEANING, Cleaning
from ..errors import UsageError
from ..formats.recognition.transcoding import require_detector
from ..formats.registry import require_format
from ..messages.tracebacks import short_traceback
from ..rows.dialect import AUTO, Dialect
from .corpus import Corpus
from .listing import list_files, written_in
from .locations.arguments import (
    locations_of,
    names_of,
    require_cleaning,
    require_name,
    require_options,
)
from .tables.conversion import columns_in
from .tables.frame_source import frame_source, is_dask_frame, text_column_of
from .tables.given import in_memory

DEFAULT_TEXT = "text"
"""Name of the column of texts, unless another is given."""


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
