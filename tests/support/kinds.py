"""The kinds of fields, one row each, and stores that have them, made without blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from hypothesis import strategies as st

import paninifs as pf
from paninifs import Field
from paninifs.storage.corpus.partition import Sharding
from paninifs.storage.field import STRING
from paninifs.storage.store import lifecycle, shards
from paninifs.storage.store.leases.lease import Lease
from paninifs.storage.store.manifest import facts_of
from paninifs.storage.store.stages.finishing import finish
from paninifs.storage.targets.local import LocalTarget


@dataclass(frozen=True, kw_only=True)
class KindRow:
    """One kind: a field, the values of a text, and how readers see it."""

    field: Field
    one: st.SearchStrategy[Any]  # the value of one text, as it is held in memory
    plain: str  # `dtype.kind` of what a plain `xarray.open_zarr` shows
    opened: str  # the same for `open_results`
    arrow: str  # the type of its column in an export, or of the first of several columns
    tensorstore: bool = True  # whether TensorStore reads it


def _numbers(dtype: str) -> st.SearchStrategy[Any]:
    info = np.dtype(dtype)
    if info.kind == "f":
        return st.floats(width=8 * info.itemsize).map(info.type)
    limits = np.iinfo(info)
    return st.integers(int(limits.min), int(limits.max)).map(info.type)


def _moments(unit: str) -> st.SearchStrategy[Any]:
    return st.integers(-(2**62), 2**62).map(lambda n: np.int64(n).view(f"M8[{unit}]"))


def _row(dtype: str, one: Any, plain: str, arrow: str, **more: Any) -> KindRow:
    names = ("nullable", "ragged", "categories", "shape")
    options = {name: more.pop(name) for name in names if name in more}
    name = "_".join([dtype.replace("[", "_").strip("]"), *sorted({*options} - {"categories"})])
    opened = more.pop("opened", plain)
    field = Field(f"x_{name}", dtype, **options)
    return KindRow(field=field, one=one, plain=plain, opened=opened, arrow=arrow, **more)


def _items(one: st.SearchStrategy[Any], dtype: str) -> st.SearchStrategy[Any]:
    return st.lists(one, max_size=5).map(lambda items: np.array(items, dtype))


_WORDS = ("fr", "en", "sanskrit védique")
_FITTING = st.text(max_size=4).filter(lambda one: not one.endswith("\0"))
_FITTING_BYTES = st.binary(max_size=4).filter(lambda one: not one.endswith(b"\0"))
_SHAPED = st.lists(_numbers("float32"), min_size=3, max_size=3).map(lambda v: np.array(v, "f4"))

KINDS = (
    _row("bool", st.booleans(), "b", "bool"),
    _row("int8", _numbers("int8"), "i", "int8"),
    _row("uint16", _numbers("uint16"), "u", "uint16"),
    _row("int64", _numbers("int64"), "i", "int64"),
    _row("uint64", _numbers("uint64"), "u", "uint64"),
    _row("float16", _numbers("float16"), "f", "float"),
    _row("float32", _numbers("float32"), "f", "float"),
    _row("float64", _numbers("float64"), "f", "double"),
    _row("float32", _SHAPED, "f", "float", shape=(3,)),
    _row("datetime64[s]", _moments("s"), "M", "timestamp[s]", tensorstore=False),
    _row("datetime64[ns]", _moments("ns"), "M", "timestamp[ns]", tensorstore=False),
    _row("string", st.text(max_size=9), "OT", "string", tensorstore=False),
    _row("bytes", st.binary(max_size=9), "O", "binary", tensorstore=False),
    _row("U4", _FITTING, "OT", "string", opened="U", tensorstore=False),
    _row("S4", _FITTING_BYTES, "O", "binary", opened="S", tensorstore=False),
    _row(
        "category",
        st.integers(0, 2),
        "i",
        "dictionary<values=string, indices=int32, ordered=0>",
        opened="O",
        categories=_WORDS,
    ),
    _row("bool", st.booleans(), "b", "bool", nullable=True),
    _row("int32", _numbers("int32"), "i", "int32", nullable=True),
    _row("float16", _numbers("float16"), "f", "float", nullable=True),
    _row("float32", _SHAPED, "f", "float", shape=(3,), nullable=True),
    _row("datetime64[us]", _moments("us"), "M", "timestamp[us]", nullable=True, tensorstore=False),
    _row("string", st.text(max_size=9), "OT", "string", nullable=True, tensorstore=False),
    _row(
        "category",
        st.integers(0, 2),
        "i",
        "dictionary<values=string, indices=int32, ordered=0>",
        opened="O",
        categories=_WORDS,
        nullable=True,
    ),
    _row(
        "int32",
        _items(_numbers("int32"), "int32"),
        "O",
        "large_list<item: int32>",
        ragged=True,
        tensorstore=False,
    ),
    _row(
        "float16",
        _items(_numbers("float16"), "float16"),
        "O",
        "large_list<item: float>",
        ragged=True,
        tensorstore=False,
    ),
    _row(
        "datetime64[s]",
        _items(_moments("s"), "M8[s]"),
        "O",
        "large_list<item: timestamp[s]>",
        ragged=True,
        tensorstore=False,
    ),
    _row(
        "bool",
        _items(st.booleans(), "bool"),
        "O",
        "large_list<item: bool>",
        ragged=True,
        nullable=True,
        tensorstore=False,
    ),
)
"""The conformance table: a new kind needs a row here, and the tests that iterate over it."""

BY_NAME = {row.field.name: row for row in KINDS}


def in_memory(field: Field, values: Sequence[Any]) -> np.ndarray:
    """Return values as an array of the field, as blocks hand it on."""
    array = field.filled(len(values))
    for at, value in enumerate(values):
        array[at] = value
    return array


def drawn(row: KindRow, rows: int, draw: Any) -> dict[str, np.ndarray]:
    """Draw the arrays of a field: values, and with them the mask of a nullable field."""
    values = in_memory(row.field, draw(st.lists(row.one, min_size=rows, max_size=rows)))
    if not row.field.nullable:
        return {row.field.name: values}
    known = np.array(draw(st.lists(st.booleans(), min_size=rows, max_size=rows)), bool)
    values[~known] = row.field.fill
    return {row.field.name: values, row.field.mask: known}


def examples(rows: int, seed: int = 108) -> dict[str, np.ndarray]:
    """Return arrays of every kind, with some values missing; the same for the same seed."""
    random = Random(seed).random  # the same in every version of Python, unlike NumPy's
    arrays = {}
    for row in KINDS:
        field = row.field
        values = in_memory(field, [_example(field, random) for _ in range(rows)])
        if field.nullable:
            arrays[field.mask] = known = np.array([random() > 0.3 for _ in range(rows)])
            values[~known] = field.fill
        arrays[field.name] = values
    return arrays


def _example(field: Field, random: Callable[[], float]) -> Any:
    at = int(4 * random())
    if field.ragged:
        return _scalars(field, random, at)
    if field.categories:
        return at % len(field.categories)
    if field.dtype == STRING or field.dtype.startswith("U"):
        return ["", "a", "é\0x", "धातु"][at]
    if field.array_dtype.kind in "OS":
        return [b"", b"a", b"\0\xff", b"four"][at]
    return _scalars(field, random, 3) if field.shape else _scalars(field, random, 1)[0]


def _scalars(field: Field, random: Callable[[], float], count: int) -> np.ndarray:
    return np.array([int(100 * random()) for _ in range(count)], "i8").astype(field.item_dtype)


class MadeStore:
    """A store of given arrays over a corpus of texts, written as a run writes it.

    Parameters
    ----------
    folder : Path
        Where the corpus and the store are made.
    texts : int
        How many.
    shard_rows : int
    """

    def __init__(self, folder: Path, texts: int, shard_rows: int = 8) -> None:
        self.folder, self.shard_rows = folder, shard_rows
        (folder / "corpus").mkdir(parents=True)
        self.add_texts(0, texts)
        self.url = folder / "out.zarr"
        self.target = LocalTarget(self.url)

    def add_texts(self, start: int, stop: int) -> None:
        """Add a file of texts to the corpus."""
        lines = "".join(f"text {n}\n" for n in range(start, stop))
        (self.folder / "corpus" / f"{start:04d}.txt").write_text(lines)

    def write(
        self,
        fields: Sequence[Field],
        arrays: Mapping[str, np.ndarray],
        existing: Any = "resume",
        shards_written: int | None = None,
    ) -> list[int]:
        """Write the shards that are missing, and finish the store; return those shards."""
        corpus = pf.open_corpus(self.folder / "corpus")
        blocks = {
            "mine": {"code": "of a test", "fields": {f.name: f.describe() for f in fields}},
        }
        with Lease.acquire(self.target) as lease:
            store = lifecycle.begin(
                self.target,
                corpus,
                facts=facts_of(corpus, blocks, 1),
                computed=fields,
                sharding=Sharding(rows=self.shard_rows),
                ticket=lease.ticket,
                existing=existing,
            )
            rows = store.layout.rows
            whole = {**arrays, "id": np.arange(rows), "valid": np.ones(rows, bool)}
            missing = [n for n in range(store.layout.shards) if n not in store.done]
            for shard in missing[:shards_written]:
                start, stop = store.layout.bounds(shard)
                contents = shards.ShardContents(
                    shard=shard,
                    arrays={name: values[start:stop] for name, values in whole.items()},
                    quarantined=[],
                    text_bytes=1,
                )
                shards.commit_shards(self.target, store.layout, [contents])
            if shards_written is None:
                finish(store, lease.ticket)
                store = replace(store, done=shards.done_shards(self.target, store.layout))
            self.store = store
            return missing[:shards_written]
