"""What blocks return for each kind of field: missing values, lists, categories, dates, bytes."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import BY_NAME, drawn

from paninifs import Field
from paninifs.graphs.user_functions.returned import UnfitError, array_of, arrays_of

ARROW = pd.arrays.ArrowExtensionArray
ROME = dt.timezone(dt.timedelta(hours=2))


def naive(*parts: int) -> dt.datetime:
    return dt.datetime(*parts)  # noqa: DTZ001 (without a time zone)


def python(array: np.ndarray) -> list:
    return [one.tolist() if isinstance(one, np.ndarray) else one for one in array.tolist()]


# --- missing values -------------------------------------------------------------------------------

MISSING: dict[str, tuple[Field, Any]] = {
    "a list": (Field("x", "int32"), [1, None, 3]),
    "a tuple": (Field("x", "int32"), (1, None, 3)),
    "objects": (Field("x", "int32"), np.array([1, None, 3], object)),
    "NaN among objects": (Field("x", "int32"), np.array([1, np.nan, 3], object)),
    "NA among objects": (Field("x", "int32"), np.array([1, pd.NA, 3], object)),
    "masked": (Field("x", "int32"), np.ma.MaskedArray(np.array([1, 9, 3], "int32"), [0, 1, 0])),
    "nullable": (Field("x", "int32"), pd.array([1, None, 3], "Int32")),
    "a nullable column": (Field("x", "int32"), pd.Series([1, None, 3], dtype="Int32")),
    "pandas's floats": (Field("x", "int32"), pd.Series([1, None, 3])),
    "an Arrow column": (Field("x", "int32"), pd.Series(ARROW(pa.array([1, None, 3], pa.int32())))),
    "Arrow": (Field("x", "int32"), pa.array([1, None, 3], pa.int32())),
    "chunked Arrow": (Field("x", "int32"), pa.chunked_array([[1, None], [3]], pa.int32())),
    "Polars": (Field("x", "int32"), pl.Series([1, None, 3], dtype=pl.Int32)),
}


@pytest.mark.parametrize(("field", "returned"), MISSING.values(), ids=MISSING)
def test_missing_numbers_are_masked(field: Field, returned: Any) -> None:
    nullable = Field("x", field.dtype, nullable=True)
    found = arrays_of(nullable, returned, 3)
    assert {name: one.dtype for name, one in found.items()} == {"x": "int32", "x_valid": "bool"}
    assert found["x"].tolist() == [1, 0, 3]
    assert found["x_valid"].tolist() == [True, False, True]
    assert not any(one.flags.writeable for one in found.values())
    with pytest.raises(UnfitError):
        array_of(field, returned, 3)


DATES = [naive(2020, 5, 1), None, naive(1500, 1, 1)]
OTHERS: dict[str, tuple[Field, Any, list]] = {
    "floats": (Field("x", "float16", nullable=True), [1, None, 0.5], [1.0, 0.0, 0.5]),
    "booleans": (Field("x", "bool", nullable=True), [True, None, False], [True, False, False]),
    "nullable booleans": (
        Field("x", "bool", nullable=True),
        pd.array([True, None, False], "boolean"),
        [True, False, False],
    ),
    "vectors": (
        Field("x", "float32", (2,), nullable=True),
        [np.ones(2, "f4"), None, [3, 4]],
        [[1, 1], [0, 0], [3, 4]],
    ),
    "masked vectors": (
        Field("x", "int8", (2,), nullable=True),
        np.ma.MaskedArray(np.ones((3, 2), "i1"), [[0, 0], [1, 1], [0, 0]]),
        [[1, 1], [0, 0], [1, 1]],
    ),
    "strings": (Field("x", "string", nullable=True), ["a", None, ""], ["a", "", ""]),
    "strings of pandas": (
        Field("x", "string", nullable=True),
        pd.Series(["a", None, ""], dtype="string"),
        ["a", "", ""],
    ),
    "strings of Arrow": (
        Field("x", "string", nullable=True),
        pa.array(["a", None, ""]),
        ["a", "", ""],
    ),
    "short strings": (Field("x", "U2", nullable=True), ["a", None, "bc"], ["a", "", "bc"]),
    "bytes": (Field("x", "bytes", nullable=True), [b"a\0", None, b""], [b"a\0", b"", b""]),
    "bytes of Polars": (
        Field("x", "bytes", nullable=True),
        pl.Series([b"a", None, b""]),
        [b"a", b"", b""],
    ),
    "dates": (Field("x", "datetime64[s]", nullable=True), DATES, DATES),
    "dates of NumPy": (
        Field("x", "datetime64[s]", nullable=True),
        np.array(DATES, "M8[D]"),
        DATES,
    ),
    "dates of Arrow": (
        Field("x", "datetime64[s]", nullable=True),
        pa.array(DATES, pa.timestamp("us")),
        DATES,
    ),
    "dates of Polars": (Field("x", "datetime64[s]", nullable=True), pl.Series(DATES), DATES),
    "categories": (
        Field("x", "category", categories=("b", "a"), nullable=True),
        ["a", None, "b"],
        [1, -1, 0],
    ),
    "a Categorical": (
        Field("x", "category", categories=("b", "a"), nullable=True),
        pd.Categorical(["a", None, "b"]),
        [1, -1, 0],
    ),
    "a column of categories": (
        Field("x", "category", categories=("b", "a"), nullable=True),
        pd.Series(["a", None, "b"], dtype="category"),
        [1, -1, 0],
    ),
    "a dictionary of Arrow": (
        Field("x", "category", categories=("b", "a"), nullable=True),
        pa.array(["a", None, "b"]).dictionary_encode(),
        [1, -1, 0],
    ),
    "codes": (
        Field("x", "category", categories=("b", "a"), nullable=True),
        np.array([1, -1, 0]),
        [1, -1, 0],
    ),
    "lists": (
        Field("x", "int32", ragged=True, nullable=True),
        [[1, 2], None, []],
        [[1, 2], [], []],
    ),
    "lists of Arrow": (
        Field("x", "int32", ragged=True, nullable=True),
        pa.array([[1, 2], None, []], pa.list_(pa.int32())),
        [[1, 2], [], []],
    ),
    "lists of Polars": (
        Field("x", "int32", ragged=True, nullable=True),
        pl.Series([[1, 2], None, []], dtype=pl.List(pl.Int32)),
        [[1, 2], [], []],
    ),
}


@pytest.mark.parametrize(("field", "returned", "wanted"), OTHERS.values(), ids=OTHERS)
def test_missing_values_of_every_kind_are_masked(field: Field, returned: Any, wanted: list) -> None:
    found = arrays_of(field, returned, 3)
    assert python(found["x"]) == wanted
    assert found["x"].dtype == field.array_dtype
    assert found["x_valid"].tolist() == [True, False, True]


def test_nan_in_an_array_of_floats_is_a_number() -> None:
    found = arrays_of(Field("x", "float32", nullable=True), np.array([np.nan, 1], "f4"), 2)
    assert found["x_valid"].all()
    found = arrays_of(Field("x", "float32", nullable=True), pd.Series([None, 1], dtype="f4"), 2)
    assert found["x_valid"].tolist() == [False, True]


def test_masked_strings_may_be_shorter_than_a_category() -> None:
    field = Field("x", "category", categories=("a word", "b"), nullable=True)
    found = arrays_of(field, np.ma.MaskedArray(np.array(["b", "?"]), [0, 1]), 2)
    assert found["x"].tolist() == [1, -1]


def test_what_lies_under_a_mask_is_always_the_fill() -> None:
    field = Field("x", "string", nullable=True)
    found = arrays_of(field, np.ma.MaskedArray(np.array(["a", "secret"]), [0, 1]), 2)
    assert found["x"].tolist() == ["a", ""]


@pytest.mark.parametrize("name", BY_NAME)
@settings(max_examples=10, deadline=None)
@given(data=st.data(), rows=st.integers(1, 9))
def test_what_is_held_in_memory_may_be_returned(name: str, data: Any, rows: int) -> None:
    field = BY_NAME[name].field
    arrays = drawn(BY_NAME[name], rows, data.draw)
    values = arrays[name]
    if field.nullable:
        returned = np.ma.MaskedArray(values, np.zeros(values.shape, bool))
        returned[~arrays[field.mask]] = np.ma.masked
        if field.ragged:
            returned = [
                one if known else None
                for one, known in zip(values, arrays[field.mask], strict=True)
            ]
    else:
        returned = values
    found = arrays_of(field, returned, rows)
    assert not field.kind.unequal(found[name], values).any()
    if field.nullable:
        assert np.array_equal(found[field.mask], arrays[field.mask])


# --- lists, dates and bytes -----------------------------------------------------------------------

ACCEPTED: dict[str, tuple[Field, Any, list]] = {
    "lists of arrays": (
        Field("x", "int32", ragged=True),
        [np.array([1, 2], "i4"), np.array([]), []],
        [[1, 2], [], []],
    ),
    "lists of one length": (
        Field("x", "int32", ragged=True),
        [np.arange(2, dtype="i4")] * 3,
        [[0, 1]] * 3,
    ),
    "two axes": (
        Field("x", "int32", ragged=True),
        np.arange(6, dtype="i4").reshape(3, 2),
        [[0, 1], [2, 3], [4, 5]],
    ),
    "values and offsets": (
        Field("x", "int32", ragged=True),
        (np.arange(4, dtype="i4"), np.array([0, 1, 1, 4])),
        [[0], [], [1, 2, 3]],
    ),
    "a slice of Arrow": (
        Field("x", "int32", ragged=True),
        pa.array([[9], [1, 2], [], [3]], pa.large_list(pa.int32()))[1:],
        [[1, 2], [], [3]],
    ),
    "fixed lists of Arrow": (
        Field("x", "int32", ragged=True),
        pa.array([[1], [2], [3]], pa.list_(pa.int32(), 1)),
        [[1], [2], [3]],
    ),
    "half floats": (Field("x", "float16", ragged=True), [[0.5], [], [1]], [[0.5], [], [1.0]]),
    "lists of dates": (
        Field("x", "datetime64[s]", ragged=True),
        [[dt.date(2020, 1, 1)], [], []],
        [[naive(2020, 1, 1)], [], []],
    ),
    "dates with a zone": (
        Field("x", "datetime64[s]"),
        [dt.datetime(2020, 1, 1, 2, tzinfo=ROME)] * 3,
        [naive(2020, 1, 1)] * 3,
    ),
    "a column with a zone": (
        Field("x", "datetime64[s]"),
        pd.Series(pd.to_datetime(["2020-01-01"] * 3)).dt.tz_localize("Europe/Paris"),
        [naive(2019, 12, 31, 23)] * 3,
    ),
    "Arrow with a zone": (
        Field("x", "datetime64[s]"),
        pa.array([dt.datetime(2020, 1, 1, tzinfo=ROME)] * 3, pa.timestamp("us", "Europe/Rome")),
        [naive(2019, 12, 31, 22)] * 3,
    ),
    "dates of several precisions": (
        Field("x", "datetime64[us]"),
        [pd.Timestamp(2020, 1, 1), dt.date(1, 1, 1), np.datetime64("2021", "Y")],
        [naive(2020, 1, 1), naive(1, 1, 1), naive(2021, 1, 1)],
    ),
    "bytearrays": (
        Field("x", "bytes"),
        np.array([bytearray(b"a"), b"", b"\0"], object),
        [b"a", b"", b"\0"],
    ),
    "Arrow's bytes": (Field("x", "bytes"), pa.array([b"a", b"", b"\0"]), [b"a", b"", b"\0"]),
    "short bytes": (Field("x", "S2"), np.array([b"a", b"", b"bc"]), [b"a", b"", b"bc"]),
    "wider strings that fit": (Field("x", "U2"), np.array(["a", "", "bc"], "U9"), ["a", "", "bc"]),
    "chunked categories": (
        Field("x", "category", categories=("a", "b")),
        pa.chunked_array([pa.array(["a", "b", "a"]).dictionary_encode()]),
        [0, 1, 0],
    ),
}


@pytest.mark.parametrize(("field", "returned", "wanted"), ACCEPTED.values(), ids=ACCEPTED)
def test_other_forms_are_accepted(field: Field, returned: Any, wanted: list) -> None:
    array = array_of(field, returned, 3)
    assert array.dtype == field.array_dtype
    assert array.shape == (3,)
    assert python(array) == wanted


INT_LISTS = Field("x", "int32", ragged=True)
SECONDS = Field("x", "datetime64[s]")
LANGUAGES = Field("x", "category", categories=("a", "b"))

REFUSED: dict[str, tuple[Field, Any, str]] = {
    "a missing list": (
        INT_LISTS,
        [[1], None, []],
        "use [], or declare the field with nullable=True",
    ),
    "a null list": (INT_LISTS, pa.array([[1], None, []], pa.list_(pa.int32())), "nullable=True"),
    "a missing item": (INT_LISTS, [[1, None], [], []], "items of a list cannot be missing"),
    "a null item": (
        INT_LISTS,
        pa.array([[None], [], []], pa.list_(pa.int32())),
        "items of a list cannot be missing",
    ),
    "fractions": (INT_LISTS, [[1.5], [], []], "declare a float, or round"),
    "too large an item": (INT_LISTS, [[2**40], [], []], "does not fit; declare a wider dtype"),
    "other arrays": (INT_LISTS, [np.arange(2), [], []], "convert it: .astype('int32')"),
    "nested lists": (INT_LISTS, [[[1]], [], []], "one axis"),
    "numbers": (INT_LISTS, [1, 2, 3], "return a list or array per text"),
    "a string": (INT_LISTS, ["ab", [], []], "return a list or array per text"),
    "too few lists": (INT_LISTS, [[1], [2]], "returned 2 lists for 'x'; 3 texts need 3"),
    "too few offsets": (INT_LISTS, (np.arange(3, dtype="i4"), [0, 3]), "4 offsets"),
    "offsets that descend": (INT_LISTS, (np.arange(3, dtype="i4"), [0, 2, 1, 3]), "not ascend"),
    "a tuple of lists": (INT_LISTS, ([1], [2], [3]), "return a list with one list per text"),
    "nothing": (INT_LISTS, None, "does the function end with a return?"),
    "a generator": (INT_LISTS, ([n] for n in range(3)), "np.array(list(...)"),
    "a word": (LANGUAGES, ["a", "c", "b"], "'c' for 'x' at row 1, which is not one of its cat"),
    "a code": (LANGUAGES, np.array([0, 2, 1]), "the code 2 for 'x' at row 1"),
    "no category": (LANGUAGES, ["a", None, "b"], "nullable=True"),
    "numbers as categories": (LANGUAGES, np.array([0.0, 1, 1]), "return strings"),
    "no date": (SECONDS, np.array(["2020", "NaT", "2021"], "M8[D]"), "nullable=True"),
    "strings as dates": (SECONDS, ["2020-01-01"] * 3, "datetime.fromisoformat(...)"),
    "numbers as dates": (SECONDS, np.arange(3), "convert it: np.array(..., 'datetime64[s]')"),
    "a fraction of a second": (
        SECONDS,
        np.array(["2020", "2020-01-01T00:00:00.5", "2021"], "M8[ms]"),
        "at row 1, whose fraction datetime64[s] cannot hold",
    ),
    "a date out of range": (
        Field("x", "datetime64[ns]"),
        np.array(["2020", "1500", "2021"], "M8[D]"),
        "at row 1, which is out of the range of datetime64[ns]; declare a coarser",
    ),
    "zones and none": (
        SECONDS,
        [dt.datetime(2020, 1, 1, tzinfo=ROME), *[naive(2020, 1, 1)] * 2],
        "with and without a time zone",
    ),
    "NumPy's bytes": (Field("x", "bytes"), np.array([b"a", b"b", b"c"]), "drops zero bytes"),
    "strings as bytes": (Field("x", "bytes"), np.array(["a", "b", "c"], object), ".encode()"),
    "missing bytes": (Field("x", "bytes"), np.array([b"a", None, b"c"], object), "nullable=True"),
    "too long a string": (Field("x", "U2"), np.array(["a", "abc", ""]), "declare it 'string'"),
    "too long bytes": (Field("x", "S2"), np.array([b"a", b"abc", b""]), "declare it 'bytes'"),
    "a zero at the end": (Field("x", "U2"), np.array(["a", "a\0", ""], object), "drops the zero"),
    "a missing string": (Field("x", "string"), pa.array(["a", None, ""]), "nullable=True"),
    "a missing number": (Field("x", "int8"), pa.array([1, None, 3], pa.int8()), "nullable=True"),
    "a missing float": (Field("x", "float32"), np.array([1, None, 3], object), "nullable=True"),
    "a masked number": (
        Field("x", "int8"),
        np.ma.MaskedArray([1, 2, 3], [0, 1, 0]),
        "nullable=True",
    ),
    "lists for numbers": (Field("x", "int8"), np.array([[1], [1, 2], []], object), "ragged=True"),
    "a row masked in part": (
        Field("x", "int8", (2,), nullable=True),
        np.ma.MaskedArray(np.ones((3, 2), "i1"), [[0, 0], [1, 0], [0, 0]]),
        "some are masked at row 1",
    ),
    "too few with one missing": (Field("x", "int8", nullable=True), [1, None], "shape (2,)"),
    "a wrong number": (Field("x", "int8", nullable=True), [1, None, 300], "300 does not fit"),
}


@pytest.mark.documented("block-kind")
@pytest.mark.parametrize(("field", "returned", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_stored_is_refused_with_advice(
    field: Field, returned: Any, message: str
) -> None:
    with pytest.raises(UnfitError) as caught:
        arrays_of(field, returned, 3)
    assert message in str(caught.value)


@pytest.mark.parametrize("values", [np.zeros(2, "M8[s]"), np.zeros(2, "S3"), np.zeros(2, "U3")])
def test_what_a_gpu_does_not_know_stays_on_the_host(cuda_on_host: None, values: Any) -> None:
    from paninifs.graphs.kernels.cuda import cuda_backend

    assert cuda_backend.asarray(values) is values
