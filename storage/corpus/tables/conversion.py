"""`columns_in`: the columns of data in memory, whichever package holds them.

Packages are recognized by the names of their classes, so that none is imported. Values that may
name files are left to `locations.arguments`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

import pyarrow as pa

from ...errors import ColumnNotFound, UsageError
from ...messages.names import did_you_mean, listed, quoted

Getter = Callable[[str], Any]
Chooser = Callable[[Sequence[str]], Getter]


@dataclass(frozen=True)
class Columns:
    """The columns of some data: their names, and how chosen ones are read."""

    names: tuple[str, ...]
    choose: Chooser

    def table(self, text: str, id: str | None, keep: Sequence[str]) -> pa.Table:
        """Return the columns that a run reads, as a table.

        Raises
        ------
        ColumnNotFound
            The column does not exist.
        UsageError
            A column cannot be converted to Arrow.
        """
        wanted = [text, *([id] if id else ["id"] if "id" in self.names else []), *keep]
        own = dict.fromkeys(self._own(name, name == text) for name in wanted)
        get = self.choose(tuple(own))
        arrays = {name: _plain(_array(get, name)) for name in own}
        if len({len(array) for array in arrays.values()}) > 1:
            lengths = ", ".join(f"{name} {len(array):,}" for name, array in arrays.items())
            raise UsageError(f"the columns have different numbers of rows: {lengths}")
        return pa.table(arrays)

    def _own(self, name: str, is_text: bool) -> str:
        """Return the column with a name; ``translation.fr`` may be in one of structs."""
        inner = name.partition(".")[0]
        own = name if name in self.names else inner
        if self.names.count(own) == 1:
            return own
        if own in self.names:
            raise UsageError(f"several columns have the name {quoted(own)}; rename all but one")
        which = "; text= names the one that holds the text" if is_text else ""
        raise ColumnNotFound(
            f"no column {quoted(name)}; the data have: {listed(self.names)}"
            f"{did_you_mean(name, self.names)}{which}"
        )


def columns_in(data: Any, text: str) -> Columns | None:
    """Return the columns of data in memory; None if the value is of another kind.

    Parameters
    ----------
    text : str
        Name of the only column, if the data are a series of values without one.
    """
    for one in type(data).__mro__:
        key = one.__module__.partition(".")[0], one.__name__
        if key in _BY_CLASS:
            known = _BY_CLASS[key]
            return known(data, text) if known else None
    if isinstance(data, Mapping) and data and not any(map(_is_single, data.values())):
        return _by_name(data, {str(name): value for name, value in data.items()}.__getitem__)
    if isinstance(data, list | tuple) and data and all(isinstance(one, Mapping) for one in data):
        names = dict.fromkeys(str(name) for one in data for name in one)
        return _by_name(names, lambda name: [one.get(name) for one in data])
    return None


def texts_column(texts: Any, text: str) -> Columns:
    """Return the only column of a list of texts.

    Raises
    ------
    UsageError
        An item is neither a string nor None.
    """
    if isinstance(texts, str | bytes | Mapping) or not isinstance(texts, Iterable):
        raise UsageError("texts must be a list of strings: open_corpus(texts=['...', '...'])")
    found = columns_in(texts, text)
    if found is not None and found.names == (text,):
        return found
    values = list(texts)
    for number, one in enumerate(values):
        if not isinstance(one, str | None):
            raise UsageError(
                f"texts must be a list of strings, but item {number} is of type "
                f"{type(one).__name__}"
            )
    return _by_name([text], lambda _: values)


def _is_single(value: Any) -> bool:
    return isinstance(value, str | bytes) or not hasattr(value, "__len__")


def _names(names: Iterable[Any]) -> tuple[str, ...]:
    return tuple(map(str, names))


def _by_name(names: Iterable[Any], get: Getter) -> Columns:
    return Columns(_names(names), lambda _: get)


def _single(text: str, values: Callable[[], Any]) -> Columns:
    return _by_name([text], lambda _: values())


def _array(get: Getter, name: str) -> pa.Array | pa.ChunkedArray:
    try:
        return _arrow(get(name))
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise UsageError(
            f"column {quoted(name)} cannot be read: {str(error).partition(chr(10))[0]}; its values "
            "must be of one type, such as strings"
        ) from error


def _arrow(values: Any) -> Any:
    """Return values as an Arrow array; strings that are not Unicode as the bytes that they hold."""
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values
    try:
        return pa.array(values, from_pandas=True)
    except UnicodeEncodeError:  # half a surrogate pair: the reader quarantines the row
        return pa.array([_encoded(value) for value in values], pa.large_binary())


def _encoded(value: Any) -> bytes | None:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if value is None or (isinstance(value, float) and isnan(value)):  # as pandas has it
        return None
    raise TypeError(f"a string was expected, and not {type(value).__name__}")


def _plain(array: pa.Array | pa.ChunkedArray) -> pa.ChunkedArray:
    """Return an array without dictionaries and views, which not every version can write."""
    chunks = array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])
    kind = chunks.type
    if pa.types.is_dictionary(kind):
        return _plain(chunks.cast(kind.value_type))
    views = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
    return chunks.cast(views[kind]) if kind in views else chunks


# --- packages -------------------------------------------------------------------------------------


def _frame(data: Any, _: str) -> Columns:
    """Columns of a frame of pandas or cuDF, whose names may be of any type."""
    names = _names(data.columns)

    def get(name: str) -> Any:
        column = data.iloc[:, names.index(name)]
        return column.to_arrow() if hasattr(column, "to_arrow") else column

    return _by_name(names, get)


def _series(data: Any, text: str) -> Columns:
    return _single(text, lambda: data.to_arrow() if hasattr(data, "to_arrow") else data)


def _pandas_index(data: Any, text: str) -> Columns:
    return _single(text, data.to_series)


def _polars(data: Any, _: str) -> Columns:
    return _by_name(data.columns, _of_polars(data))


def _of_polars(frame: Any) -> Getter:
    def get(name: str) -> Any:
        return frame.get_column(name).to_arrow()

    return get


def _polars_lazy(data: Any, _: str) -> Columns:
    def choose(names: Sequence[str]) -> Getter:
        return _of_polars(data.select(list(names)).collect())  # once: the order may vary

    return Columns(_names(data.collect_schema().names()), choose)


def _table(data: Any, _: str) -> Columns:
    return _by_name(data.schema.names, data.column)


def _arrow_array(data: Any, text: str) -> Columns:
    return _single(text, lambda: data)


def _dataset(data: Any, _: str) -> Columns:
    """Columns of a Hugging Face dataset, whose rows may be a selection of its table."""

    def choose(names: Sequence[str]) -> Getter:
        column: Getter = data.select_columns(list(names)).with_format("arrow")[:].column
        return column

    return Columns(_names(data.column_names), choose)


def _relation(data: Any, _: str) -> Columns:
    """Columns of a relation of DuckDB."""

    def choose(names: Sequence[str]) -> Getter:
        quoted_names = (f'"{name.replace(chr(34), chr(34) * 2)}"' for name in names)
        chosen = data.project(", ".join(quoted_names))
        column: Getter = chosen.to_arrow_table().column  # once: the order may vary
        return column

    return Columns(_names(data.columns), choose)


_BY_CLASS: dict[tuple[str, str], Callable[[Any, str], Columns] | None] = {
    ("pandas", "DataFrame"): _frame,
    ("pandas", "Series"): _series,
    ("pandas", "Index"): _pandas_index,
    ("cudf", "DataFrame"): _frame,
    ("cudf", "Series"): _series,
    ("polars", "DataFrame"): _polars,
    ("polars", "LazyFrame"): _polars_lazy,
    ("polars", "Series"): _series,
    ("pyarrow", "Table"): _table,
    ("pyarrow", "RecordBatch"): _table,
    ("pyarrow", "ChunkedArray"): _arrow_array,
    ("pyarrow", "Array"): _arrow_array,
    ("datasets", "Dataset"): _dataset,
    ("datasets", "DatasetDict"): None,  # a dict of datasets, of which one is meant
    ("duckdb", "DuckDBPyRelation"): _relation,
}
"""How the columns of an object are read, by package and name of its class; None: it has none."""
