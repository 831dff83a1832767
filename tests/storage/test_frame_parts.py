"""Partitions of dask frames as files of a corpus: digested, read without a copy, and told apart."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from paninifs.storage.corpus.opening import FileOpener
from paninifs.storage.corpus.reading import read_stretch
from paninifs.storage.corpus.tables.frame_parts import (
    brought,
    frame_file,
    frame_rows,
    number_of,
    require_same_frame,
)
from paninifs.storage.errors import CorpusChanged
from paninifs.storage.formats.registry import outline
from paninifs.storage.rows import Column, ColumnSelection, Lengths, RowSpan, Stretch, Unit

TOKEN = "0123456789abcdef"


class OnDevice:
    """A frame as cuDF's: it goes to the host as Arrow, with its index."""

    def __init__(self, frame):
        self._frame = frame
        self.columns = frame.columns

    def to_arrow(self):
        return pa.Table.from_pandas(self._frame, preserve_index=True)


def texts(kind=None):
    values = [f"dhātu {n}" for n in range(50)] + [None]
    index = range(7, 58)
    return pd.DataFrame({"text": pd.array(values, kind), "n": range(51)}, index=index)


def read(part, start, stop, *, known=None):
    rows = frame_rows(part)
    file = known or frame_file(TOKEN, 3, rows)
    (file,) = brought([file], lambda number: rows)
    selection = ColumnSelection("text", (Column("n", "int64"),))
    stretch = Stretch(1000, file, RowSpan(start, stop, 0, 0))
    return list(read_stretch(stretch, FileOpener(), selection))


@pytest.mark.parametrize("kind", [object, "string[pyarrow]", pd.ArrowDtype(pa.large_string())])
def test_the_digest_depends_on_values_alone(kind):
    rows = frame_rows(texts(kind))
    other = frame_rows(OnDevice(texts(kind)))
    halves = frame_rows(pd.concat([texts(kind).iloc[:20], texts("string[pyarrow]").iloc[20:]]))
    assert rows.digest == other.digest == halves.digest == frame_rows(texts()).digest
    assert rows.nbytes == other.nbytes
    assert rows.digest != frame_rows(texts(kind).iloc[:-1]).digest
    assert rows.digest != frame_rows(texts(kind).assign(n=0)).digest


@pytest.mark.parametrize("unit", ["s", "ns"])
def test_times_and_categories_are_digested(unit):
    days = pd.Series(pd.date_range("2020", periods=3)).astype(f"datetime64[{unit}]")
    frame = pd.DataFrame({"text": ["a", "b", "c"], "at": days})
    frame["lang"] = pd.Categorical(["sa", "pi", None])
    same = frame.assign(lang=["sa", "pi", None])
    assert frame_rows(frame).digest == frame_rows(same).digest
    assert frame_rows(frame).digest != frame_rows(frame.assign(at=days.iloc[::-1].values)).digest


def test_a_partition_is_a_file():
    file = frame_file(TOKEN, 12, frame_rows(texts()))
    assert (file.url, file.name) == ("frame:01234567/partition-00012", "partition-00012")
    assert (file.version, file.in_frame, number_of(file)) == (TOKEN, True, 12)
    assert file.size == frame_rows(texts()).nbytes
    assert type(file).from_json(file.to_json()) == file
    counted = outline(file, FileOpener())
    assert counted.units == (Unit(51, 0),)
    assert counted.columns == {"text": "string", "n": "int64"}
    assert counted.lengths == {"text": Lengths(10 * 8 + 40 * 9, 9, 10)}


def test_text_in_arrows_layout_is_not_copied():
    part = texts("string[pyarrow]")
    (chunk,) = (
        pa.array(part.text).chunks
        if hasattr(pa.array(part.text), "chunks")
        else [pa.array(part.text)]
    )
    (rows,) = read(part, 10, 40)
    assert [rows.start, len(rows)] == [10, 30]
    assert rows.text.to_pylist()[0] == "dhātu 10"
    assert rows.columns["n"].to_pylist() == list(range(10, 40))
    assert rows.text.buffers()[2].address == chunk.buffers()[2].address


def test_a_null_text_is_a_fault_at_its_row():
    (rows,) = read(texts(object), 40, 51)
    assert [(fault.row, fault.reason) for fault in rows.faults] == [(50, "null text")]


def test_batches_are_bounded():
    part = pd.DataFrame({"text": ["x" * (1 << 20)] * 40, "n": range(40)})
    batches = read(part, 0, 40)
    assert [batch.start for batch in batches] == list(np.cumsum([0, *map(len, batches)])[:-1])
    assert max(batch.text.nbytes for batch in batches) <= 9 << 20


def test_other_rows_are_refused():
    file = frame_file(TOKEN, 3, frame_rows(texts()))
    for other in (texts().iloc[:-1], texts().assign(n=1), texts().iloc[::-1]):
        with pytest.raises(CorpusChanged, match=r"partition-00003: partition 3 .*stage=True"):
            read(other, 0, 10, known=file)


def test_rows_do_not_travel_with_their_file():
    file = frame_file(TOKEN, 3, frame_rows(texts()))
    sent = pickle.loads(pickle.dumps(file))
    assert sent == file
    assert sent.content is None
    with pytest.raises(CorpusChanged, match="those of a dask frame, which is not in this process"):
        FileOpener().check(sent)


def test_a_frame_is_known_by_its_token():
    files = [frame_file(TOKEN, 0, frame_rows(texts()))]
    require_same_frame(files, TOKEN, "a store")
    for token, shown in (("f" * 16, "f" * 16), (None, "unknown")):
        with pytest.raises(CorpusChanged, match=f"a store .*was {TOKEN}, and is {shown} now"):
            require_same_frame(files, token, "a store")
