"""Parquet whose texts something else decodes gives the rows that the host reads by itself."""

from __future__ import annotations

import io
import logging

import numpy as np
import parquet_corpora
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paninifs import open_corpus
from paninifs.storage.corpus.reading import read_stretches
from paninifs.storage.errors import ColumnNotFound
from paninifs.storage.formats.parquet import column_file, decoder
from paninifs.storage.formats.parquet.thrift import Binary, decode
from paninifs.storage.formats.parquet.thrift_output import I32, I64, encode
from paninifs.storage.rows import (
    CannotDecode,
    ColumnSelection,
    DecodedRows,
    DecodedText,
    Malformed,
    Rows,
)
from paninifs.storage.text import PackedText


class Decoding:
    """A decoder with pyarrow, in parts of odd sizes; it keeps what it was given."""

    def __init__(self, rows_per_part=37, fails_at=None):
        self.files, self._size, self._fails_at = [], rows_per_part, fails_at

    def __call__(self, file):
        self.files.append(file)
        try:
            table = pq.read_table(io.BytesIO(file.data))
        except (pa.ArrowException, OSError) as error:
            raise CannotDecode(str(error)) from error
        assert table.column_names == ["text"]
        assert len(table) == file.rows
        texts = table["text"].cast(pa.large_binary()).to_pylist()
        for start in range(0, len(texts), self._size):
            if self._fails_at is not None and start >= self._fails_at:
                raise CannotDecode("the rest is left")
            yield decoded(texts[start : start + self._size])


def decoded(texts):
    invalid = {}
    for row, text in enumerate(texts):
        try:
            (text or b"").decode()
        except UnicodeDecodeError:
            invalid[row] = text
    usable = [b"" if row in invalid else text or b"" for row, text in enumerate(texts)]
    null = np.array([text is None for text in texts], bool)
    return DecodedText(PackedText.from_strings(usable), null, invalid)


def rows_of(path, decode=None, text="text", start=0, stop=None):
    """Return the rows of a file one by one, its faults, and how many rows were decoded apart."""
    index = open_corpus(path, text=text, id="id", keep=["n"]).index
    opener = open_corpus(path).opener
    found, faults, apart = [], [], 0
    stretches = index.stretches(start, index.rows if stop is None else stop)
    for _, first, rows in read_stretches(stretches, opener, index.selection, decode):
        assert isinstance(rows, Rows | DecodedRows)
        apart += len(rows) * isinstance(rows, DecodedRows)
        texts = iter(rows.packed(rows.usable).to_bytes())
        columns = [rows.columns[name].to_pylist() for name in ("id", "n")]
        for row, values in enumerate(zip(*columns, strict=True)):
            found.append((first + row, next(texts) if rows.usable[row] else None, *values))
        for fault in rows.faults:
            faults += [
                (row, fault.reason, fault.excerpt)
                for row in range(fault.row, fault.row + fault.rows)
            ]
    return found, faults, apart


BATCHES = {
    "batches of many rows": {},
    "batches of few bytes": {"BATCH_BYTES": 1500},
}


@pytest.fixture(params=BATCHES.values(), ids=BATCHES)
def batches(request, monkeypatch):
    for name, value in request.param.items():
        monkeypatch.setattr(decoder, name, value)


ON_THE_HOST = {"in a struct"}


@pytest.mark.parametrize("name", parquet_corpora.CORPORA)
def test_both_ways_give_the_same_rows_and_faults(name, tmp_path, batches):
    path, text = parquet_corpora.write(tmp_path, name), parquet_corpora.text_column(name)
    rows, faults, _ = rows_of(path, text=text)
    for size in (37, 1000):
        found, found_faults, apart = rows_of(path, Decoding(size), text)
        assert found == rows
        assert found_faults == faults
        assert (apart > 0) == (name not in ON_THE_HOST)


@pytest.mark.parametrize(("start", "stop"), [(0, 149), (1, 151), (70, 320), (149, 151), (600, 680)])
def test_both_ways_give_the_same_part_of_the_rows(start, stop, tmp_path, batches):
    for name in ("plain", "damaged text", "damaged identifiers"):
        path = parquet_corpora.write(tmp_path, name)
        expected = rows_of(path, start=start, stop=stop)[:2]
        assert rows_of(path, Decoding(), start=start, stop=stop)[:2] == expected


@pytest.mark.parametrize("fails_at", [0, 37, 111])
def test_the_host_goes_on_where_the_decoder_stops(fails_at, tmp_path, batches, caplog):
    path = parquet_corpora.write(tmp_path, "plain")
    with caplog.at_level(logging.INFO, "paninifs"):
        found = rows_of(path, Decoding(fails_at=fails_at))
    assert found[:2] == rows_of(path)[:2]
    assert found[2] == fails_at * 4 + min(fails_at, 80)
    assert "row group 1 is decoded on the host: the rest is left" in caplog.text


@pytest.mark.parametrize("keep", [[], ["n"]], ids=["text alone", "with a column"])
def test_both_ways_give_the_same_batches(keep, tmp_path, batches):
    corpus = open_corpus(parquet_corpora.write(tmp_path, "plain"), keep=keep)
    index = corpus.index
    selection = ColumnSelection("text", index.selection.others if keep else ())

    def sizes(decode):
        stretches = index.stretches(0, index.rows)
        found = read_stretches(stretches, corpus.opener, selection, decode)
        return [(row, len(rows)) for _, row, rows in found]

    assert sizes(Decoding(1000)) == sizes(None)


def test_only_the_text_column_is_handed_over(tmp_path):
    path = parquet_corpora.write(tmp_path, "checksums")
    rows_of(path, decoding := Decoding())
    assert [file.rows for file in decoding.files] == [150] * 4 + [80]
    assert {file.codec for file in decoding.files} == {"snappy"}
    nbytes = sum(len(text or b"") for text in parquet_corpora.TEXTS) * 40
    assert sum(file.text_bytes for file in decoding.files) == nbytes
    assert sum(len(file.data) for file in decoding.files) < path.stat().st_size


def test_a_row_group_is_not_handed_over_for_few_rows(tmp_path):
    path = parquet_corpora.write(tmp_path, "plain")
    rows_of(path, decoding := Decoding(), start=100, stop=310)
    assert [file.rows for file in decoding.files] == [150]


def test_pages_with_a_wrong_checksum_are_not_handed_over(tmp_path):
    path = parquet_corpora.write(tmp_path, "damaged text, not compressed")
    found, faults, apart = rows_of(path, decoding := Decoding())
    assert len(decoding.files) == 4
    assert 0 < len(found) - apart <= 150
    assert any("CRC" in reason for _, reason, _ in faults)


def test_pages_that_do_not_add_up_are_not_handed_over():
    data = parquet_corpora.CORPORA["plain"]()
    start, stop = parquet_corpora.pages_of(data, "text", 0)
    pages = data[start:stop]
    assert column_file._checked(pages, 150).values == 150
    for odd, rows in ((pages, 151), (pages[:-1], 150), (pages[1:], 150), (pages * 2, 150)):
        with pytest.raises(Malformed):
            column_file._checked(odd, rows)


@pytest.mark.slow("reads many damaged files twice")
@given(
    st.sampled_from(["plain", "dictionary", "delta strings", "checksums", "pages of version 2"]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), min_size=1, max_size=4),
)
@settings(
    deadline=None,
    database=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_both_ways_give_the_same_of_a_damaged_file(tmp_path, name, flips):
    data = bytearray(parquet_corpora.CORPORA[name]())
    pages = parquet_corpora.pages_of(bytes(data), "n", 4)[1]  # all columns lie before
    for where, bits in flips:
        data[4 + int(where * (pages - 5))] ^= bits
    path = tmp_path / "corpus.parquet"
    path.write_bytes(data)
    assert rows_of(path, Decoding())[:2] == rows_of(path)[:2]


def test_a_column_too_large_for_memory_is_not_handed_over(tmp_path, monkeypatch):
    path = parquet_corpora.write(tmp_path, "plain")
    monkeypatch.setattr(column_file, "MAX_BYTES", 100)
    assert rows_of(path, decoding := Decoding())[:2] == rows_of(path)[:2]
    assert not decoding.files


def test_a_missing_text_column_is_the_same_error(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes(parquet_corpora.without_text())
    for decoding in (None, Decoding()):
        with pytest.raises(ColumnNotFound, match="text"):
            rows_of(path, decoding)


def test_a_text_that_is_kept_too_is_read_by_the_host(tmp_path):
    path = parquet_corpora.write(tmp_path, "string")
    corpus = open_corpus(path, text="text", keep=["text"])
    index = corpus.index
    decoding = Decoding()
    for _, _, rows in read_stretches(
        index.stretches(0, index.rows), corpus.opener, index.selection, decoding
    ):
        assert isinstance(rows, Rows)
    assert not decoding.files


# --- Thrift ---------------------------------------------------------------------------------------

values = st.recursive(
    st.integers(-(2**31), 2**31 - 1).map(I32)
    | st.integers(-(2**63), 2**63 - 1).map(I64)
    | st.binary(max_size=200),
    lambda inner: (
        st.lists(inner.filter(lambda one: isinstance(one, I32)), max_size=20)
        | st.dictionaries(st.integers(1, 15), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.integers(1, 15), values, max_size=6))
@settings(
    deadline=None,
    database=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.filter_too_much],  # most values are not integers
)
def test_what_is_encoded_is_decoded(fields):
    data = encode(fields)

    def plain(value):
        if isinstance(value, I32 | I64):
            return value.value
        if isinstance(value, list):
            return [plain(one) for one in value]
        if isinstance(value, Binary):
            return data[value.start : value.stop]
        if isinstance(value, dict):
            return {number: plain(one) for number, one in value.items()}
        return value

    every = {number: everything(3) for number in range(1, 16)}
    assert plain(decode(data, every)) == plain(fields)


def everything(depth):
    return {number: everything(depth - 1) for number in range(1, 16)} if depth else None
