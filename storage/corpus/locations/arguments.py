"""The arguments of `open_corpus`. For any other, an error says what it is and what works instead.

Data that lie in memory are converted in `tables.conversion`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike, path
from typing import Any

from ...cleaning.steps import Cleaning
from ...errors import CorpusNotFound, UsageError
from ...formats.registry import format_of
from ...messages.names import quoted, storable

Location = str | PathLike[str]

_STAGE = "corpus = paninifs.stage({}, 'a-new-folder', text='text')"
_THEN = "then open_corpus('texts.parquet')"
_AS_TEXTS = "open_corpus(texts=['...', '...'])"
TEXTS_BY_NAME = f"texts themselves are given by name: {_AS_TEXTS}"

_WAYS = {
    ("pandas", "DataFrame"): _STAGE.format("df"),
    ("pandas", "Series"): _STAGE.format("series.to_frame('text')"),
    ("pandas", "Index"): _STAGE.format("index.to_frame(name='text')"),
    ("dask", "Bag"): "open_corpus(bag.to_dataframe())",
    ("polars", "DataFrame"): f"df.write_parquet('texts.parquet'), {_THEN}",
    ("polars", "LazyFrame"): f"lazy.sink_parquet('texts.parquet'), {_THEN}",
    ("polars", "Series"): f"series.to_frame('text').write_parquet('texts.parquet'), {_THEN}",
    ("pyarrow", "Table"): f"pyarrow.parquet.write_table(table, 'texts.parquet'), {_THEN}",
    ("datasets", "DatasetDict"): "open_corpus(datasets['train'])",
    ("datasets", "Dataset"): f"dataset.to_parquet('texts.parquet'), {_THEN}",
    ("datasets", "IterableDataset"): (
        "open_corpus(datasets.Dataset.from_list(list(dataset.take(100_000))))"
    ),
    ("duckdb", "DuckDBPyRelation"): f"relation.write_parquet('texts.parquet'), {_THEN}",
    ("cudf", "DataFrame"): f"df.to_parquet('texts.parquet'), {_THEN}",
}
"""How objects of other packages become files, by package and name of their class: those that are no
data in memory, and those that are too large for it."""

_OTHERWISE = f"{_AS_TEXTS} takes texts themselves, open_corpus({{'text': [...]}}) columns"

_TEXT_CHARACTERS = 200
"""Length in characters above which a string that is not a path is probably a text."""


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
        raise UsageError(
            f"open_corpus needs files or data, not {_article(urls)}; {way or _OTHERWISE}"
        )
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
        return "a dict of columns has a list of values in each: open_corpus({'text': [...]})"
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


def instead_of_memory(data: Any) -> str:
    """Return how data that are too large to lie in memory become a corpus of files."""
    made = "data" if isinstance(data, Mapping) else "{'text': texts}"
    in_a_file = f"pandas.DataFrame({made}).to_parquet('texts.parquet'), {_THEN}"
    return in_a_file if isinstance(data, Mapping) else _way(data) or in_a_file


def about_texts(url: str) -> str:
    """Return advice if a string that is not a file looks like a text; else nothing.

    >>> about_texts("glosses/*.txt")
    ''
    """
    return TEXTS_BY_NAME if _is_text(url) else ""


def _is_text(url: str) -> bool:
    """Return whether a string is evidently a text and not the name of a file."""
    words = len(url.split()) > 3 and "/" not in url
    return "\n" in url or len(url) > _TEXT_CHARACTERS or words


def are_texts(given: Any) -> bool:
    """Return whether a list of strings holds texts, and no names of files.

    It does if at least one item is evidently a text (a line break, more than 200 characters, or
    more than three words without a slash), no item names anything that exists, and none could be a
    name: it has the ending of a corpus file, or a slash or an asterisk and no white space.

    >>> are_texts(["The cat sleeps on the bed.", "It rains."]), are_texts(["It rains.", "a.txt"])
    (True, False)
    """
    if isinstance(given, str) or not isinstance(given, list | tuple):
        return False
    if not all(isinstance(one, str) for one in given) or not any(map(_is_text, given)):
        return False
    return not any(_may_be_name(one) or _exists(one) for one in given)


def _may_be_name(text: str) -> bool:
    if "\n" in text:
        return False
    single = len(text.split()) == 1 and any(sign in text for sign in "/\\*")
    return single or (len(text) <= _TEXT_CHARACTERS and format_of(text.strip()) is not None)


def _exists(text: str) -> bool:
    try:
        return path.lexists(text)
    except ValueError:  # it holds a null character
        return False


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


def require_cleaning(clean: Any) -> None:
    """Raise `UsageError` unless this is a `Cleaning` or None."""
    if not isinstance(clean, Cleaning | None):
        raise UsageError(
            f"clean must be a Cleaning, such as Cleaning(unicode='NFC'), not {clean!r}"
        )
