"""What `open_corpus` may be given. For anything else: what it is, and which way works today."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from typing import Any

from ...errors import CorpusNotFound, UsageError
from ...messages.names import quoted, storable

Location = str | PathLike[str]

_STAGE = "corpus = paninifs.stage({}, 'a-new-folder', text='text')"
_PATHS = "(or, if it holds paths, open_corpus(list(series)))"
_THEN = "then open_corpus('texts.parquet')"
_AS_FRAME = "pandas.DataFrame({'text': texts}).to_parquet('texts.parquet')"

_WAYS = {
    ("pandas", "DataFrame"): _STAGE.format("df"),
    ("pandas", "Series"): _STAGE.format("series.to_frame('text')") + f" {_PATHS}",
    ("pandas", "Index"): _STAGE.format("index.to_frame(name='text')"),
    ("dask", "DataFrame"): "corpus = paninifs.stage(frame, 'a-new-folder')",
    ("dask", "Series"): "corpus = paninifs.stage(series.to_frame('text'), 'a-new-folder')",
    ("dask", "Bag"): "corpus = paninifs.stage(bag.to_dataframe(), 'a-new-folder')",
    ("polars", "DataFrame"): f"df.write_parquet('texts.parquet'), {_THEN}",
    ("polars", "LazyFrame"): f"lazy.sink_parquet('texts.parquet'), {_THEN}",
    ("polars", "Series"): (
        f"series.to_frame('text').write_parquet('texts.parquet'), {_THEN} {_PATHS}"
    ),
    ("pyarrow", "Table"): f"pyarrow.parquet.write_table(table, 'texts.parquet'), {_THEN}",
    ("datasets", "DatasetDict"): f"datasets['train'].to_parquet('texts.parquet'), {_THEN}",
    ("datasets", "Dataset"): f"dataset.to_parquet('texts.parquet'), {_THEN}",
    ("datasets", "IterableDataset"): (
        f"datasets.Dataset.from_list(list(dataset)).to_parquet('texts.parquet'), {_THEN}"
    ),
    ("duckdb", "DuckDBPyRelation"): f"relation.write_parquet('texts.parquet'), {_THEN}",
    ("cudf", "DataFrame"): f"df.to_parquet('texts.parquet'), {_THEN}",
}
"""How objects of other packages become a corpus, by package and name of their class."""

_OTHERWISE = f"write the texts to a file, for example {_AS_FRAME}, {_THEN}"

_TEXT_CHARACTERS = 200
"""Characters from which a string that is no path is probably a text."""


def locations_of(urls: Any) -> list[Location]:
    """Return the locations in the first argument of `open_corpus`.

    Raises
    ------
    UsageError
        It is not a string, a path or a list of them. The error says what it is, and how to make a
        corpus of it.
    CorpusNotFound
        The list is empty.
    """
    if isinstance(urls, str | PathLike):
        return [urls]
    way = _way(urls)
    if way is not None or not isinstance(urls, Iterable) or isinstance(urls, bytes | bytearray):
        raise UsageError(f"open_corpus needs files, not {_article(urls)}; {way or _OTHERWISE}")
    given: list[Location] = []
    for one in urls:  # not at once: it may be a generator without end
        if not isinstance(one, str | PathLike):
            raise UsageError(
                f"open_corpus needs a list of files, but item {len(given)} is {_article(one)}; "
                f"{_way(one) or _OTHERWISE}"
            )
        given.append(one)
    if not given:
        raise CorpusNotFound("no corpus was named; give at least one file, folder or URL")
    return given


def _way(value: Any) -> str | None:
    """Return how an object becomes a corpus; None if it may be a list of files, or is unknown."""
    if isinstance(value, bytes | bytearray):
        return "a path in bytes becomes one with os.fsdecode(path)"
    if hasattr(value, "read"):
        name = getattr(value, "name", None)
        return f"open_corpus({name!r})" if isinstance(name, str) else _OTHERWISE
    for one in type(value).__mro__:
        way = _WAYS.get((one.__module__.partition(".")[0], one.__name__))
        if way:
            return way
    if isinstance(value, Mapping):
        return f"pandas.DataFrame(data).to_parquet('texts.parquet'), {_THEN}"
    if hasattr(value, "to_frame") or hasattr(value, "__dataframe__"):
        return _OTHERWISE
    return None


def _article(value: Any) -> str:
    """Return what a value is: itself, if it is short, or else the name of its type.

    >>> _article(None), _article(7), _article({})
    ('None', '7', 'a dict')
    """
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    name = type(value).__name__
    package = type(value).__module__.partition(".")[0]
    label = name if package in ("builtins", "io", "_io") else f"{package} {name}"
    return f"an {label}" if label[0] in "aeiouAEIOU" else f"a {label}"


def about_texts(url: str) -> str:
    """Return advice if a string that is no file looks like a text; else nothing.

    >>> about_texts("glosses/*.txt")
    ''
    """
    words = len(url.split()) > 3 and "/" not in url
    if "\n" in url or len(url) > _TEXT_CHARACTERS or words:
        return f"texts themselves must be in a file: {_AS_FRAME}, {_THEN}"
    return ""


def require_name(argument: str, name: Any) -> None:
    """Raise `UsageError` unless a value can be the name of a column.

    >>> require_name("text", ["quote"])
    Traceback (most recent call last):
        ...
    paninifs.storage.errors.UsageError: text must be the name of a column (text='quote'), not a list
    """
    if not isinstance(name, str):
        first = next(iter(name), None) if isinstance(name, list | tuple) else None
        example = first if isinstance(first, str) else argument
        raise UsageError(
            f"{argument} must be the name of a column ({argument}={example!r}), "
            f"not {_article(name)}"
        )
    if name != storable(name):
        raise UsageError(f"{argument}={quoted(name)} is not the name of a column: it is not UTF-8")


def names_of(keep: Any) -> tuple[str, ...]:
    """Return the names of the kept columns.

    Raises
    ------
    UsageError
        They are not a list of names.
    """
    if isinstance(keep, str):
        raise UsageError(f"keep must be a list of columns, not a string: keep=[{keep!r}]")
    if not isinstance(keep, Iterable) or isinstance(keep, Mapping):
        raise UsageError(f"keep must be a list of columns (keep=['lang']), not {_article(keep)}")
    names = tuple(keep)
    for name in names:
        if not isinstance(name, str):
            raise UsageError(f"keep must be a list of names of columns, not of {_article(name)}")
        require_name("keep", name)
    return names


def require_options(options: Any, format: Any) -> None:
    """Raise `UsageError` unless these can be options of fsspec and a format."""
    if options is not None and not isinstance(options, Mapping):
        raise UsageError(f"storage_options must be a dict for fsspec, not {_article(options)}")
    if format is not None and not isinstance(format, str):
        raise UsageError(f"format must be a string, such as 'jsonl', not {_article(format)}")
