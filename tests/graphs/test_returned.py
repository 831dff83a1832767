"""What blocks return: arrays of other libraries are accepted, and advice in errors works."""

from __future__ import annotations

import enum
import re
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from paninifs import Field, MapBlock
from paninifs.storage.errors import BlockError


def outputs(field: Field, returned: Any, rows: int = 3) -> Any:
    block = MapBlock("mine", ("text",), (field,), function=lambda *_: None)
    return block.outputs(returned, rows)[field.name]


class Colour(enum.StrEnum):
    RED = "red"


class Mixed(str, enum.Enum):  # noqa: UP042 (as older code has it)
    BLUE = "blue"


NUMBERS: dict[str, Any] = {
    "a pandas column": pd.Series([1, 2, 3], dtype="int32"),
    "a nullable column": pd.Series([1, 2, 3], dtype="Int32"),
    "a pandas index": pd.Index(np.array([1, 2, 3], "int32")),
    "an Arrow array": pa.array([1, 2, 3], pa.int32()),
    "a chunked Arrow array": pa.chunked_array([[1, 2], [3]], pa.int32()),
    "a masked array without a mask": np.ma.MaskedArray(np.array([1, 2, 3], "int32")),
    "a subclass": np.array([1, 2, 3], "int32").view(np.recarray),
}


@pytest.mark.parametrize("returned", NUMBERS.values(), ids=NUMBERS)
def test_arrays_of_numbers_of_other_libraries_are_taken(returned: Any) -> None:
    array = outputs(Field("n", "int32"), returned)
    assert type(array) is np.ndarray
    assert array.dtype == np.int32
    assert array.tolist() == [1, 2, 3]


STRINGS: dict[str, Any] = {
    "a pandas column": pd.Series(["a", "b", "c"]),
    "a pandas string column": pd.Series(["a", "b", "c"], dtype="string"),
    "categories": pd.Series(["a", "b", "c"], dtype="category"),
    "an Arrow array": pa.array(["a", "b", "c"]),
    "a chunked Arrow array": pa.chunked_array([["a"], ["b", "c"]]),
    "NumPy's strings as objects": np.array([np.str_("a"), np.str_("b"), "c"], object),
}


@pytest.mark.parametrize("returned", STRINGS.values(), ids=STRINGS)
def test_arrays_of_strings_of_other_libraries_are_taken(returned: Any) -> None:
    array = outputs(Field("s", "string"), returned)
    assert array.tolist() == ["a", "b", "c"]
    assert {*map(type, array)} == {str}


def test_members_of_an_enum_of_strings_are_their_values() -> None:
    array = outputs(Field("s", "string"), np.array([Colour.RED, Mixed.BLUE, "x"], object))
    assert array.tolist() == ["red", "blue", "x"]
    assert {*map(type, array)} == {str}


def test_strings_of_several_axes_keep_their_shape() -> None:
    values = np.array([["a", np.str_("b")], ["c", "d"]], object)
    assert outputs(Field("s", "string", (2,)), values, 2).tolist() == [["a", "b"], ["c", "d"]]


# A field, what is returned for three texts, and the error.
REFUSED: dict[str, tuple[str, Any, str]] = {
    "a list of strings": ("string", ["a", "b", "c"], r"wrap it: np.array(..., 'object')"),
    "bytes": ("string", np.array([b"a", b"b", b"c"]), "np.char.decode(..., 'utf-8')"),
    "bytes as objects": ("string", np.array(["a", b"b", "c"], object), "b'b' for 'x' at row 1"),
    "numbers for strings": ("string", np.array([1, 2, 3]), ".astype(str)"),
    "a missing string": ("string", pa.array(["a", None, "c"]), "no missing values: use ''"),
    "NaN among strings": ("string", pd.Series(["a", np.nan, "c"], dtype=object), "at row 1"),
    "a lone surrogate": ("string", np.array(["a", "b", "\ud800"], object), "row 2, which has a"),
    "nothing": ("int32", None, "NoneType for 'x', not an array; does the function end with a"),
    "a generator": ("int32", (n for n in "abc"), "np.array(list(...), 'int32')"),
    "a number": ("int32", 3, "one value per text: np.array([...], 'int32')"),
    "a string": ("string", "abc", "one value per text: np.array([...], 'object')"),
    "a set": ("int32", {1, 2, 3}, "a set has no order"),
    "masked values": (
        "int32",
        np.ma.MaskedArray(np.array([1, 2, 3], "int32"), [0, 1, 0]),
        "the first at row 1; fields have no missing values, so fill them: .filled(...)",
    ),
    "NaN for an integer": ("int32", np.array([1, np.nan, 3]), "cannot be nan, as at row 1"),
    "a null for an integer": ("int32", pa.array([1, None, 3], pa.int32()), "cannot be nan"),
    "a missing integer": ("int32", pd.Series([1, None, 3], dtype="Int32"), "at row 1"),
    "too large a number": ("int8", np.array([1, 2, 300]), "300 does not fit; declare a wider"),
    "a negative number": ("uint8", np.array([1, -2, 3]), "-2 does not fit"),
    "fractions": ("int32", np.array([1, 2.5, 3]), "np.rint(...).astype('int32')"),
    "objects": ("int32", np.array([1, 2, 3], object), "object for 'x', which is declared int32; "),
    "None in an array": ("float32", np.array([1, None, 3], object), "None at row 1, and fields"),
    "lists of any length": (
        "int32",
        np.array([[1], [1, 2], []], object),
        "values of different lengths must be filled up",
    ),
    "numbers as strings": ("int32", np.array(["1", "2", "3"]), "convert each text to a number"),
    "dates": ("int64", np.array(["2020"] * 3, "M8[D]"), "return numbers of that dtype"),
}


@pytest.mark.parametrize(("dtype", "returned", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_stored_is_refused_with_advice(
    dtype: str, returned: Any, message: str
) -> None:
    with pytest.raises(BlockError, match=re.escape(message)) as caught:
        outputs(Field("x", dtype), returned)
    assert str(caught.value).startswith("block 'mine' (fields: x) returned ")
    assert len(str(caught.value)) < 250


def test_a_long_value_is_abridged_in_the_error() -> None:
    values = np.array(["a", ["word"] * 100_000, "c"], object)
    with pytest.raises(BlockError) as caught:
        outputs(Field("x", "string"), values)
    assert len(str(caught.value)) < 250


ADVICE: dict[str, tuple[str, Any, Any]] = {
    "objects": ("int32", np.array([1, 2, 3], object), lambda v: v.astype("int32")),
    "wider": ("int32", np.array([1, 2, 3]), lambda v: v.astype("int32")),
    "list": ("int32", [1, 2, 3], lambda v: np.array(v, "int32")),
    "strings": ("string", ["a", "b", "c"], lambda v: np.array(v, "object")),
    "bytes": ("string", np.array([b"a"] * 3), lambda v: np.char.decode(v, "utf-8")),
    "numbers": ("string", np.array([1, 2, 3]), lambda v: v.astype(str)),
    "masked": ("int32", np.ma.MaskedArray([1, 2, 3], [0, 1, 0], "int32"), lambda v: v.filled(0)),
    "fractions": ("int32", np.array([1, 2.5, 3]), lambda v: np.rint(v).astype("int32")),
}


@pytest.mark.parametrize(("dtype", "returned", "mend"), ADVICE.values(), ids=ADVICE)
def test_the_advice_works(dtype: str, returned: Any, mend: Any) -> None:
    field = Field("x", dtype)
    with pytest.raises(BlockError):
        outputs(field, returned)
    assert len(outputs(field, mend(returned))) == 3
