"""Fields, blocks and graphs: declarations, refusals, and the validation of what blocks return."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import paninifs
from paninifs import Field, Graph, MapBlock, PackedText, default_graph, map_block
from paninifs.graphs.fusion import fuse
from paninifs.graphs.inventories import DHATUS, PRIMES
from paninifs.storage.errors import BackendUnavailable, BlockError, GraphError

# --- Field ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "two words", "a-b", "1st", "_hidden", "a.b", "a/b"])
def test_a_field_name_that_is_no_plain_identifier_is_refused(name: str) -> None:
    with pytest.raises(GraphError, match="is not a valid field name"):
        Field(name, "float32")


@pytest.mark.parametrize("dtype", ["flaot32", "text", "int31", "no such thing"])
def test_a_dtype_that_numpy_does_not_know_is_refused_by_name(dtype: str) -> None:
    with pytest.raises(GraphError, match=f"'x': '{dtype}' is not a NumPy dtype") as caught:
        Field("x", dtype)
    assert isinstance(caught.value.__cause__, TypeError)


@pytest.mark.parametrize("dtype", ["complex64", "datetime64[D]", "timedelta64[s]", "U", "S", "O"])
def test_a_dtype_that_cannot_be_stored_is_refused(dtype: str) -> None:
    with pytest.raises(GraphError, match=r"'x'.*cannot be stored"):
        Field("x", dtype)


def test_a_structured_dtype_is_refused() -> None:
    with pytest.raises(GraphError, match=r"'x'.*cannot be stored"):
        Field("x", "i4,f4")


def test_a_float_wider_than_64_bits_is_refused() -> None:
    if np.dtype("longdouble").itemsize == 8:
        pytest.skip("a long double is a double here")
    with pytest.raises(GraphError, match="cannot be stored"):
        Field("x", "longdouble")


@pytest.mark.parametrize("dtype", ["str", "object", "U", "S", "text", "utf8", str, None])
def test_a_dtype_of_text_is_refused_with_the_right_one(dtype: Any) -> None:
    with pytest.raises(GraphError, match=r"'x'.*use 'string'"):
        Field("x", dtype)


def test_types_of_python_are_dtypes() -> None:
    assert [Field("x", kind).dtype for kind in (int, float, bool)] == ["int64", "float64", "bool"]


@pytest.mark.parametrize("shape", [(None,), (2.5,), "3", (3, None), ("a",)])
def test_a_length_that_varies_is_refused(shape: Any) -> None:
    with pytest.raises(GraphError, match=r"'x': shape .* of whole numbers; .*varying length"):
        Field("x", "int8", shape)


def test_one_length_and_one_dim_need_no_tuple() -> None:
    field = Field("x", "int8", np.int64(3), dims="letter")
    assert (field.shape, field.dims) == ((3,), ("letter",))


@pytest.mark.parametrize(
    "labels", [(None, 1), (object(), 1), ((1, 2), (3, 4)), (b"a", b"b"), ("a", "\ud800")]
)
def test_labels_that_cannot_be_stored_are_refused(labels: Any) -> None:
    with pytest.raises(GraphError, match="'x': the labels of dimension 'a' must be all strings"):
        Field("x", "int8", (2,), ("a",), labels={"a": labels})


@pytest.mark.parametrize("shape", [(0,), (-1,), (3, 0)])
def test_a_length_that_is_not_positive_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(GraphError, match="'x': every length in shape"):
        Field("x", "int8", shape)


@pytest.mark.parametrize(
    ("shape", "dims"),
    [
        ((2,), ("a", "b")),
        ((2, 3), ("a",)),
        ((), ("a",)),
        ((2, 3), ("a", "a")),
        ((2,), ("text",)),
        ((2,), ("x",)),
    ],
    ids=["too many", "too few", "of a scalar", "twice", "text", "the field's own name"],
)
def test_dims_that_do_not_name_each_axis_once_are_refused(
    shape: tuple[int, ...], dims: tuple[str, ...]
) -> None:
    with pytest.raises(GraphError, match=r"'x': dims .* must name each axis"):
        Field("x", "int8", shape, dims)


def test_repeated_labels_are_refused() -> None:
    with pytest.raises(GraphError, match="labels of dimension 'a' are repeated"):
        Field("x", "int8", (2,), ("a",), labels={"a": ("z", "z")})


def test_a_plain_function_is_no_block() -> None:
    def tokens(text: PackedText) -> None:
        """Do nothing."""

    with pytest.raises(GraphError, match=r"tokens is not a block; decorate it with @pf\.map_block"):
        default_graph() + tokens


@pytest.mark.parametrize(
    "labels", [{"a": ("one",)}, {"a": ("one", "two", "three")}, {"b": ("one", "two")}, {"a": ()}]
)
def test_labels_that_do_not_fit_their_dimension_are_refused(labels: dict[str, Any]) -> None:
    with pytest.raises(GraphError, match=r"'x': \d labels for dimension"):
        Field("x", "int8", (2,), ("a",), labels=labels)


def test_a_field_that_fits_is_kept_as_declared() -> None:
    field = Field("x", "f4", (2, 3), ("a", "b"), labels={"b": (1, 2, 3)})
    assert (field.dtype, field.shape, field.dims) == ("float32", (2, 3), ("a", "b"))
    assert (field.row_bytes, field.fill, field.array_dtype) == (24, 0.0, np.dtype("float32"))
    assert field.describe() == {
        "name": "x",
        "dtype": "float32",
        "shape": [2, 3],
        "dims": ["a", "b"],
        "compress": True,
    }


def test_axes_without_names_are_given_some() -> None:
    assert Field("x", "int8", (2, 3)).dims == ("x_axis0", "x_axis1")
    assert Field("x", "int8").dims == ()


@pytest.mark.parametrize(
    ("dtype", "fill", "row_bytes"),
    [("bool", False, 1), ("uint8", 0, 1), ("int64", 0, 8), ("float16", 0.0, 2), ("string", "", 32)],
)
def test_every_kind_of_field_has_its_fill_value_and_size(
    dtype: str, fill: Any, row_bytes: int
) -> None:
    field = Field("x", dtype)
    assert (type(field.fill), field.fill, field.row_bytes) == (type(fill), fill, row_bytes)
    assert np.full(2, field.fill, field.array_dtype).dtype == field.array_dtype


def test_a_field_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Field("x", "int8").name = "y"  # type: ignore[misc]


# --- making a block -------------------------------------------------------------------------------

X = Field("x", "int32")
Y = Field("y", "float32", (2,))
S = Field("s", "string")


def block(*fields: Field, name: str = "mine", inputs: tuple[str, ...] = ("text",)) -> MapBlock:
    return MapBlock(name=name, inputs=inputs, fields=fields, function=lambda *_: None)


def test_a_block_s_inputs_are_its_function_s_parameters_by_name() -> None:
    @map_block(fields=[X])
    def mixed(dhatu, text, prime_base):
        return None

    assert mixed.inputs == ("dhatu", "text", "prime_base")
    assert (mixed.name, mixed.fields) == ("mixed", (X,))


def test_a_parameter_with_a_default_is_no_input() -> None:
    @map_block(fields=[X])
    def scaled(text, factor=3):
        return np.full(len(text), factor, np.int32)

    assert scaled.inputs == ("text",)
    assert scaled.bind("cpu")(PackedText.from_strings(["a"])).tolist() == [3]


def test_a_block_takes_the_name_it_is_given() -> None:
    assert map_block(fields=[X], name="other")(lambda text: None).name == "other"


def test_version_and_exactness_are_kept() -> None:
    made = map_block(fields=[X], version="2", exact=False)(lambda text: None)
    assert (made.version, made.exact) == ("2", False)
    assert map_block(fields=[X])(lambda text: None).exact


def _starred(*text):
    return None


def _keywords(**text):
    return None


def _keyword_only(*, text):
    return None


@pytest.mark.parametrize("function", [_starred, _keywords, _keyword_only])
def test_a_parameter_that_is_not_plain_is_refused(function: Callable[..., Any]) -> None:
    with pytest.raises(GraphError, match=f"'{function.__name__}': use plain parameters only"):
        map_block(fields=[X])(function)


@pytest.mark.parametrize("function", [lambda: None, lambda text=None: None])
def test_a_block_without_inputs_is_refused(function: Callable[..., Any]) -> None:
    with pytest.raises(GraphError, match="'<lambda>' has no inputs"):
        map_block(fields=[X])(function)


def test_a_block_without_fields_is_refused() -> None:
    with pytest.raises(GraphError, match="'<lambda>' declares no fields"):
        map_block(fields=[])(lambda text: None)


def test_a_user_s_block_is_called_like_its_function() -> None:
    @map_block(fields=[X])
    def length(text):
        return np.diff(text.offsets).astype(np.int32)

    text = PackedText.from_strings(["a", "dhātu"])
    assert length(text).tolist() == [1, 6]
    assert length.bind("reference")(text).tolist() == [1, 6]


def test_a_decorator_without_brackets_says_what_is_missing() -> None:
    with pytest.raises(GraphError, match=r"@map_block\(fields=\[Field\('length', 'int32'\)\]\)"):

        @map_block
        def length(text):
            return None


def test_a_function_may_be_given_with_its_fields() -> None:
    made = map_block(lambda text: None, fields=X, name="mine")
    assert (made.name, made.fields) == ("mine", (X,))


@pytest.mark.parametrize("fields", [["x"], [X, "y"], "x", [("x", "int32")]])
def test_a_field_that_is_not_a_field_is_refused(fields: Any) -> None:
    with pytest.raises(GraphError, match=r"fields must be Fields, such as Field\('n', 'int32'\)"):
        map_block(fields=fields)(lambda text: None)


def test_a_block_of_a_nameless_function_needs_a_name() -> None:
    with pytest.raises(GraphError, match="has no name; give the block one: name="):
        map_block(fields=X)(functools.partial(print, 1))


def test_an_async_function_is_refused() -> None:
    async def later(text):
        return None

    with pytest.raises(GraphError, match="'later': an async function cannot be a block"):
        map_block(fields=X)(later)


# --- trying a block -------------------------------------------------------------------------------


@map_block(fields=[X])
def n_words(text):
    return np.array([len(one.split()) for one in text.to_strings()], "int32")


@pytest.mark.parametrize(
    "texts",
    [
        ["a", "b c"],
        ("a", b"b c"),
        np.array(["a", "b c"]),
        pd.Series(["a", "b c"]),
        pa.array(["a", "b c"]),
        PackedText.from_strings(["a", "b c"]),
        iter(["a", "b c"]),
    ],
    ids=["list", "tuple", "NumPy", "pandas", "Arrow", "packed", "iterator"],
)
def test_a_block_is_tried_on_texts_of_any_kind(texts: Any) -> None:
    assert n_words(texts).tolist() == [1, 2]


def test_an_input_may_be_given_by_name() -> None:
    assert n_words(text=["a", "b c"]).tolist() == [1, 2]


@pytest.mark.parametrize("texts", ["a b", b"a", 3, None, [1], ["a", None]])
def test_what_is_not_texts_is_a_type_error(texts: Any) -> None:
    with pytest.raises(TypeError, match="block 'n_words'"):
        n_words(texts)


def test_trying_a_block_checks_what_it_returns() -> None:
    wide = map_block(fields=X, name="wide")(lambda text: np.zeros(len(text)))
    with pytest.raises(BlockError, match=r"block 'wide' .*returned float64"):
        wide(["a"])
    short = map_block(fields=X, name="short")(lambda text: np.zeros(1, "int32"))
    with pytest.raises(BlockError, match=r"block 'short' .*returned shape \(1,\)"):
        short(["a", "b"])


def test_a_block_of_fields_is_tried_on_lists_or_arrays() -> None:
    double = map_block(fields=X, name="double")(lambda n: 2 * n.astype("int32"))
    assert double([1, 2]).tolist() == [2, 4]
    assert double(np.array([1, 2])).tolist() == [2, 4]


def test_several_fields_are_returned_as_the_function_does() -> None:
    values = np.zeros(2, "int32"), np.zeros((2, 2), "float32")
    pair = map_block(fields=[X, Y], name="pair")(lambda text: values)
    assert [one.shape for one in pair(["a", "b"])] == [(2,), (2, 2)]
    named = map_block(fields=[X, Y], name="named")(lambda text: {"y": values[1], "x": values[0]})
    assert {name: one.shape for name, one in named(["a", "b"]).items()} == {"x": (2,), "y": (2, 2)}


def test_params_and_defaults_are_given_as_in_a_run() -> None:
    made = MapBlock("b", ("text",), (X,), {"n": 3}, lambda text, n: np.full(len(text), n, "int32"))
    assert made(["a"]).tolist() == [3]
    assert made(["a"], n=4).tolist() == [4]


def test_an_error_of_the_function_is_raised_as_it_is() -> None:
    def fails(text):
        raise ZeroDivisionError("this text")

    with pytest.raises(ZeroDivisionError, match="this text"):
        map_block(fields=X)(fails)(["a"])


def test_a_built_in_block_runs_through_its_backend_only() -> None:
    digest = paninifs.digest()
    with pytest.raises(TypeError, match="'digest' is built in"):
        digest(PackedText.from_strings(["a"]))
    for backend in ("reference", "cpu"):
        assert digest.bind(backend)(PackedText.from_strings(["a"])).shape == (1, 32)
    with pytest.raises(BackendUnavailable, match="unknown backend 'abacus'"):
        digest.bind("abacus")


# --- what a block returns -------------------------------------------------------------------------

GOOD_X = np.array([1, 2, 3], np.int32)
GOOD_Y = np.zeros((3, 2), np.float32)


def assert_view_of(view: np.ndarray, array: np.ndarray) -> None:
    """The memory that the block returned, read-only for later blocks."""
    assert np.shares_memory(view, array)
    np.testing.assert_array_equal(view, array)
    assert array.flags.writeable
    assert not view.flags.writeable


def test_one_field_is_returned_uncopied_and_read_only() -> None:
    outputs = block(X).outputs(GOOD_X, 3)
    assert list(outputs) == ["x"]
    assert_view_of(outputs["x"], GOOD_X)


@pytest.mark.parametrize("kind", [tuple, list])
def test_several_fields_are_returned_in_their_order(kind: type) -> None:
    outputs = block(X, Y).outputs(kind([GOOD_X, GOOD_Y]), 3)
    assert_view_of(outputs["x"], GOOD_X)
    assert_view_of(outputs["y"], GOOD_Y)


def test_fields_are_returned_by_name_in_any_order() -> None:
    outputs = block(X, Y).outputs({"y": GOOD_Y, "x": GOOD_X}, 3)
    assert list(outputs) == ["x", "y"]
    assert_view_of(outputs["x"], GOOD_X)
    assert_view_of(outputs["y"], GOOD_Y)
    assert_view_of(block(X).outputs({"x": GOOD_X}, 3)["x"], GOOD_X)


def test_a_pandas_column_counts_as_an_array() -> None:
    array = block(X).outputs(pd.Series(GOOD_X), 3)["x"]
    assert type(array) is np.ndarray
    assert array.tolist() == [1, 2, 3]


WRONG = {
    "dtype": (GOOD_X.astype(np.int64), "returned int64 for 'x', which is declared int32"),
    "byte order": (GOOD_X.astype(">i4"), "returned >i4 for 'x'"),
    "too short": (GOOD_X[:2], r"returned shape \(2,\) for 'x'; 3 texts"),
    "too long": (np.zeros(4, np.int32), r"returned shape \(4,\) for 'x'"),
    "shape": (np.zeros((3, 1), np.int32), r"returned shape \(3, 1\) for 'x'"),
    "scalar": (np.int32(1), r"returned shape \(\) for 'x'"),
    "number": (1, "returned int for 'x', not an array"),
    "list": ([1, 2, 3], "returned list for 'x', not an array"),
    "none": (None, "returned NoneType for 'x', not an array"),
    "tuple of one": ((GOOD_X,), "returned tuple for 'x', not an array"),
    "missing": ({}, r"returned \[\]"),
    "other name": ({"z": GOOD_X}, r"returned \['z'\]"),
    "one too many": ({"x": GOOD_X, "z": GOOD_X}, r"returned \['x', 'z'\]"),
    "wrong in mapping": ({"x": GOOD_X[:1]}, r"returned shape \(1,\) for 'x'"),
}


@pytest.mark.parametrize(("returned", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_return_is_a_block_error_naming_block_and_field(
    returned: Any, message: str
) -> None:
    with pytest.raises(BlockError, match=rf"block 'mine' \(fields: x\) {message}"):
        block(X).outputs(returned, 3)


WRONG_OF_TWO = {
    "one array": (GOOD_X, "returned ndarray"),
    "too few": ((GOOD_X,), "returned tuple"),
    "too many": ((GOOD_X, GOOD_Y, GOOD_X), "returned tuple"),
    "swapped": ((GOOD_Y, GOOD_X), "returned float32 for 'x'"),
    "missing": ({"x": GOOD_X}, r"returned \['x'\]"),
    "trailing shape": ((GOOD_X, GOOD_Y[:, :1]), r"returned shape \(3, 1\) for 'y'"),
    "flat": ((GOOD_X, GOOD_Y.ravel()), r"returned shape \(6,\) for 'y'"),
    "text": ("xy", "returned str for 'x', not an array"),
}


@pytest.mark.parametrize(("returned", "message"), WRONG_OF_TWO.values(), ids=WRONG_OF_TWO)
def test_a_wrong_return_of_several_fields_names_the_block(returned: Any, message: str) -> None:
    with pytest.raises(BlockError, match=rf"block 'mine' \(fields: x, y\) {message}"):
        block(X, Y).outputs(returned, 3)


@pytest.mark.parametrize(
    "values",
    [
        np.array(["a", "", "ब"]),
        np.array(["a", "", "ब"], object),
        np.array(["a", "", "ब"], np.dtypes.StringDType()),
        pd.Series(["a", "", "ब"], dtype=object),
    ],
    ids=["fixed width", "objects", "variable width", "pandas"],
)
def test_string_fields_take_every_kind_of_string_array(values: Any) -> None:
    array = block(S).outputs(values, 3)["s"]
    assert array.dtype == object
    assert array.tolist() == ["a", "", "ब"]
    assert {type(one) for one in array} == {str}


@pytest.mark.parametrize(
    "values",
    [np.array([b"a"]), np.array([1]), np.array([["a"]]), np.array(["a", "b"]), ["a"]],
    ids=["bytes", "numbers", "two axes", "too long", "list"],
)
def test_a_wrong_string_array_is_a_block_error_naming_the_block(values: Any) -> None:
    with pytest.raises(BlockError, match=r"block 'mine' \(fields: s\) returned"):
        block(S).outputs(values, 1)


@pytest.mark.parametrize("value", [None, 1, b"a", float("nan")])
def test_a_non_string_in_a_string_field_is_a_block_error(value: Any) -> None:
    values = np.array(["a", value], object)
    with pytest.raises(BlockError, match=r"block 'mine'.*'s'"):
        block(S).outputs(values, 2)


# --- Graph ----------------------------------------------------------------------------------------


def test_the_default_graph_s_blocks_and_fields_are_in_order() -> None:
    graph = default_graph()
    assert [one.name for one in graph.blocks] == ["digest", "dhatu", "prime_base", "ambiguity"]
    assert [(one.name, one.dtype, one.shape) for one in graph.fields] == [
        ("digest", "uint8", (32,)),
        ("dhatu", "float32", (9,)),
        ("prime_base", "float32", (10,)),
        ("variance", "float32", ()),
        ("entropy", "float32", ()),
        ("ambiguity", "float32", ()),
        ("ambiguity_normalised", "float32", ()),
    ]
    assert graph.row_bytes == 32 + 36 + 40 + 16
    assert graph.label == "digest+dhatu+prime_base+ambiguity"


def test_the_names_of_dhatus_and_primes_are_coordinates() -> None:
    fields = {one.name: one for one in default_graph().fields}
    assert fields["dhatu"].labels == {fields["dhatu"].dims[0]: DHATUS}
    assert fields["prime_base"].labels == {"prime": PRIMES}


def test_what_the_blocks_declare_is_what_the_backends_return() -> None:
    text = PackedText.from_strings(["a", "b", "c"])
    for graph in (default_graph(), default_graph(dhatus=["a", "b"], primes=[3, 2, 5])):
        for backend in ("reference", "cpu"):
            values: dict[str, Any] = {"text": text}
            for one in graph.blocks:
                returned = one.bind(backend)(*(values[n] for n in one.inputs), **one.params)
                values |= one.outputs(returned, 3)
            assert set(values) == {"text", *(field.name for field in graph.fields)}


def test_a_graph_describes_itself_in_json() -> None:
    described = default_graph().describe()
    assert list(described) == ["digest", "dhatu", "prime_base", "ambiguity"]
    assert json.loads(json.dumps(described))["prime_base"]["params"]["primes"] == list(PRIMES)


def test_a_block_before_the_one_that_makes_its_input_is_refused() -> None:
    first, second = block(X, name="first"), block(Y, name="second", inputs=("x",))
    assert Graph((first, second)).fields == (X, Y)
    with pytest.raises(GraphError, match=r"'second' needs 'x', which block 'first' after it comp"):
        Graph((second, first))
    with pytest.raises(GraphError, match=r"'first' needs 'x', which itself computes"):
        Graph(block(X, name="first", inputs=("x",)))


def test_an_unknown_input_is_refused_with_what_there_is() -> None:
    graph = default_graph() + block(X, inputs=("text", "dhatus"))
    assert graph.inputs == ("text", "dhatus")  # perhaps a column of the corpus
    with pytest.raises(GraphError, match=r"'mine' needs 'dhatus'; .*dhatu, .*text"):
        graph.require_columns(["lang"])


def test_a_block_may_not_need_its_own_field() -> None:
    with pytest.raises(GraphError, match="'mine' needs 'x'"):
        Graph((block(X, inputs=("x",)),))


def test_two_blocks_of_one_name_are_refused() -> None:
    with pytest.raises(GraphError, match="two blocks are named 'mine'"):
        Graph((block(X), block(Y)))


def test_a_field_made_twice_is_refused() -> None:
    with pytest.raises(GraphError, match="'other' computes 'x', which already exists"):
        Graph((block(X), block(X, name="other")))
    with pytest.raises(GraphError, match="'mine' computes 'x', which already exists"):
        Graph((block(X, X),))


def test_a_field_called_text_is_refused() -> None:
    with pytest.raises(GraphError, match="'mine' computes 'text', which already exists"):
        Graph((block(Field("text", "int8")),))


def test_adding_a_block_leaves_the_graph_as_it_was() -> None:
    graph = default_graph()
    longer = graph + block(X)
    assert [one.name for one in longer.blocks][-1] == "mine"
    assert len(longer.blocks) == len(graph.blocks) + 1 == 5
    assert longer.fields == (*graph.fields, X)


def test_adding_a_graph_adds_its_blocks_behind() -> None:
    joined = Graph((paninifs.digest(),)) + Graph((paninifs.dhatu(), block(X)))
    assert [one.name for one in joined.blocks] == ["digest", "dhatu", "mine"]


def test_a_sum_is_checked_like_any_graph() -> None:
    with pytest.raises(GraphError, match="two blocks are named 'digest'"):
        default_graph() + Graph((paninifs.digest(),))
    with pytest.raises(GraphError, match="'prime_base' needs 'dhatu', which block 'dhatu' after"):
        Graph() + paninifs.prime_base(9) + paninifs.dhatu()


def test_blocks_add_up_to_a_graph() -> None:
    first, second, third = (block(Field(name, "int8"), name=name) for name in "abc")
    assert [one.name for one in first + second] == ["a", "b"]
    assert [one.name for one in first + (second + third)] == ["a", "b", "c"]
    assert [one.name for one in paninifs.digest() + paninifs.dhatu()] == ["digest", "dhatu"]
    with pytest.raises(TypeError):
        first + 1


def test_a_graph_may_be_made_of_one_block_or_of_any_sequence() -> None:
    first, second = block(X, name="first"), block(Y, name="second")
    assert Graph(first) == Graph((first,)) == Graph([first])
    assert Graph(iter([first, second])) == Graph((first, second)) == Graph(Graph((first, second)))


@pytest.mark.parametrize("blocks", [5, "ab", [lambda text: None], [X], None])
def test_a_graph_of_anything_but_blocks_is_refused(blocks: Any) -> None:
    with pytest.raises(GraphError, match=r"consists of blocks, not of .*@map_block"):
        Graph(blocks)


def test_a_graph_is_counted_and_iterated() -> None:
    graph = default_graph()
    assert len(graph) == 4
    assert list(graph) == [*graph.blocks]


def test_a_close_name_is_offered_for_an_unknown_input() -> None:
    with pytest.raises(GraphError, match=r"'mine' needs 'texts'.*Did you mean 'text'"):
        Graph(block(X, inputs=("texts",))).require_columns([])


def test_a_column_of_the_corpus_is_an_input_if_it_is_kept() -> None:
    graph = Graph(block(X, inputs=("lang", "lang_valid", "id", "length")))
    graph.require_columns(["lang"])
    with pytest.raises(GraphError, match=r"needs 'lang'.*keep it: .*keep=\['lang'\]"):
        graph.require_columns([])


CLASHES: dict[str, tuple[Field, Field, str]] = {
    "length": (
        Field("a", "int8", (2,), ("letter",)),
        Field("b", "int8", (3,), ("letter",)),
        (
            "dimension 'letter' has length 2 in field 'a' of block 'one' and length 3 in "
            "field 'b' of block 'two'"
        ),
    ),
    "labels": (
        Field("a", "int8", (2,), ("letter",), labels={"letter": ("x", "y")}),
        Field("b", "int8", (2,), ("letter",), labels={"letter": ("y", "x")}),
        (
            "dimension 'letter' has other labels in field 'a' of block 'one' than in field 'b' of "
            "block 'two'"
        ),
    ),
    "a later field's name": (
        Field("a", "int8", (2,), ("b",)),
        Field("b", "int8"),
        "a dimension of field 'a' of block 'one' has the name of a field of block 'two': 'b'",
    ),
    "an earlier field's name": (
        Field("a", "int8"),
        Field("b", "int8", (2,), ("a",)),
        "a dimension of field 'b' of block 'two' has the name of a field of block 'one': 'a'",
    ),
    "the name of the ids": (
        Field("a", "int8"),
        Field("b", "int8", (2,), ("id",)),
        "a dimension of field 'b' of block 'two' has the name of an array",
    ),
}


@pytest.mark.parametrize(("one", "two", "message"), CLASHES.values(), ids=CLASHES)
def test_a_dimension_of_two_meanings_is_refused(one: Field, two: Field, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        Graph((block(one, name="one"), block(two, name="two")))


def test_a_built_in_dimension_keeps_its_labels() -> None:
    other = Field("mine", "int8", (9,), ("dhatu_name",), labels={"dhatu_name": sorted(DHATUS)})
    with pytest.raises(GraphError, match=r"'dhatu_name' has other labels .*'dhatu'.*'mine'"):
        default_graph() + block(other)
    short = Field("mine", "int8", (3,), ("dhatu_name",))
    with pytest.raises(GraphError, match=r"'dhatu_name' has length 9 .*length 3"):
        default_graph() + block(short)


def test_a_dimension_may_be_shared() -> None:
    names = {"dhatu_name": DHATUS}
    for labels in ({}, names):
        field = Field("mine", "int8", (9,), ("dhatu_name",), labels=labels)
        assert (default_graph() + block(field)).fields[-1] == field


@pytest.mark.parametrize("name", ["id", "valid"])
def test_a_field_named_like_an_array_of_every_store_is_refused(name: str) -> None:
    with pytest.raises(GraphError, match=f"'mine' computes '{name}', but the results always"):
        Graph(block(Field(name, "int8")))


def test_blocks_and_graphs_show_themselves() -> None:
    field = Field("x", "float32", (2, 3), description="a <b>")
    shown = block(field, name="mine")
    assert repr(shown) == "<MapBlock mine(text) -> x float32[2, 3]>"
    assert "<td>mine</td><td>text</td><td>x</td><td>float32[2, 3]</td><td>a &lt;b&gt;</td>" in (
        shown._repr_html_()
    )
    graph = default_graph() + shown
    assert repr(graph) == "<Graph digest → dhatu → prime_base → ambiguity → mine>"
    assert graph._repr_html_().count("<tr>") == 1 + len(graph.fields)


@pytest.mark.parametrize("other", [1, "digest", None, X])
def test_adding_anything_else_is_a_type_error(other: Any) -> None:
    with pytest.raises(TypeError):
        default_graph() + other


# --- inventories ----------------------------------------------------------------------------------


@pytest.mark.parametrize("primes", [(2, 4), (1, 2), (0, 2), (-3, 2), (2, 9), (2, 15), (2, 961)])
def test_a_number_that_is_no_prime_is_refused_by_name(primes: tuple[int, ...]) -> None:
    (culprit,) = set(primes) - {2}
    with pytest.raises(GraphError, match=rf"^primes must be prime numbers, but {culprit} is"):
        default_graph(primes=primes)


@pytest.mark.parametrize("culprit", [2.0, "3", True, None, 3.5])
def test_a_prime_that_is_no_integer_is_refused_by_name(culprit: Any) -> None:
    with pytest.raises(GraphError, match=f"primes must be prime numbers, but {culprit!r} is"):
        default_graph(primes=[5, culprit])


@pytest.mark.parametrize("primes", [(2, 3, 2), (5, 5)])
def test_a_repeated_prime_is_refused(primes: tuple[int, ...]) -> None:
    with pytest.raises(GraphError, match="primes must be two or more distinct numbers"):
        default_graph(primes=primes)


@pytest.mark.parametrize("primes", [(), (2,)])
def test_fewer_than_two_primes_are_refused(primes: tuple[int, ...]) -> None:
    with pytest.raises(GraphError, match="two or more distinct"):
        default_graph(primes=primes)


def test_a_prime_that_could_overflow_float32_is_refused() -> None:
    # (277^8)^2 / 4 is below the largest float32; with 281, the next prime, it is not.
    assert (277**8) ** 2 / 4 < float(np.finfo(np.float32).max) < (281**8) ** 2 / 4
    default_graph(primes=(2, 277))
    with pytest.raises(GraphError, match=r"the prime 281 .* overflow float32"):
        default_graph(primes=(2, 281, 5))


def test_more_dhatus_lower_the_largest_prime() -> None:
    names = [f"d{k}" for k in range(24)]
    with pytest.raises(GraphError, match="with 24 dhātus, powers of the prime 17 "):
        default_graph(dhatus=names)
    default_graph(dhatus=names, primes=(2, 3, 5, 7))


def test_numpy_integers_will_do_as_primes() -> None:
    block = default_graph(primes=np.array([2, 3])).blocks[2]
    assert [type(p) for p in block.params["primes"]] == [int, int]


@pytest.mark.parametrize("dhatus", ["RELATE", ""])
def test_a_string_instead_of_a_list_of_dhatus_is_refused(dhatus: str) -> None:
    with pytest.raises(GraphError, match="a sequence of non-empty strings"):
        default_graph(dhatus=dhatus)


@pytest.mark.parametrize("dhatus", [["A", 1], [b"A"], ["A", ""], ["A", None]])
def test_a_dhatu_that_is_no_name_is_refused(dhatus: list[Any]) -> None:
    with pytest.raises(GraphError, match="dhatus must be a sequence of non-empty strings"):
        default_graph(dhatus=dhatus)


def test_a_repeated_dhatu_is_refused() -> None:
    with pytest.raises(GraphError, match="dhatus must be one or more distinct names"):
        default_graph(dhatus=["A", "B", "A"])


def test_no_dhatus_are_refused() -> None:
    with pytest.raises(GraphError, match="one or more distinct names"):
        default_graph(dhatus=[])


def test_a_dhatu_that_is_not_unicode_is_refused() -> None:
    with pytest.raises(GraphError, match="dhatus"):
        default_graph(dhatus=["A", "\ud800"])


# --- fusing ---------------------------------------------------------------------------------------


def test_the_default_graph_is_fused_beside_user_blocks():
    @map_block(fields=[Field("twice", "float32")])
    def twice(entropy):
        return entropy * np.float32(2)

    graph = default_graph(dhatus=("A", "B"), primes=(2, 3)) + twice
    fused = fuse(graph)
    assert [block.name for block in fused.blocks] == ["default_graph", "twice"]
    assert fused.fields == graph.fields
    assert dict(fused.blocks[0].params) == {"dhatus": ("A", "B"), "primes": (2, 3)}


@pytest.mark.parametrize("left", ["digest", "dhatu", "prime_base", "ambiguity"])
def test_a_graph_that_lacks_a_default_block_is_left_as_it_is(left):
    blocks = [block for block in default_graph().blocks if left not in (block.name, *block.inputs)]
    graph = Graph(tuple(blocks))
    assert fuse(graph) is graph


def test_bases_and_ambiguity_of_different_primes_are_not_fused():
    blocks = [*default_graph(primes=(2, 3)).blocks[:3], default_graph(primes=(5, 7)).blocks[3]]
    graph = Graph(tuple(blocks))
    assert fuse(graph) is graph


def test_a_user_block_with_a_default_name_is_not_fused():
    @map_block(fields=[Field("mine", "int32")], name="digest")
    def mine(text):
        return np.zeros(len(text), np.int32)

    graph = Graph((mine, *default_graph().blocks[1:]))
    assert fuse(graph) is graph
