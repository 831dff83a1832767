"""Texts decoded on the device: checked, gathered and handed over. Needs no GPU and no cuDF."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from paninifs.graphs.kernels import load
from paninifs.storage.errors import DeviceLost
from paninifs.storage.rows import CannotDecode, ColumnFile
from paninifs.storage.text import PackedText

within_the_fixture = settings(
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

CUTS = b"\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc2\xdf\xe0\xed\xef\xf0\xf4\xf5\xff\0"
pieces = st.sampled_from([bytes([cut]) for cut in CUTS] + [one.encode() for one in "aéā語😀"])
raw_texts = st.one_of(st.binary(max_size=70), st.lists(pieces, max_size=40).map(b"".join))


def is_utf8(text):
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


@pytest.fixture
def device(decoding):
    """The modules of the backend, with a CuPy."""
    import cupy

    from paninifs.graphs.kernels.cuda import device_text, parquet_texts, string_column

    class Device:
        DeviceText = device_text.DeviceText
        asarray = staticmethod(cupy.asarray)
        reads = decoding

        def text(self, texts):
            packed = PackedText.from_strings(texts)
            return device_text.DeviceText(cupy.asarray(packed.data), packed.offsets)

        def states(self, texts, *, before=0, wide=False):
            from pylibcudf_on_host import column_of

            column = column_of(texts, before=before, wide=wide)
            viewed = string_column.StringColumn(column)
            offsets = viewed.text.offsets.astype(np.int64, copy=False)
            return parquet_texts._states(viewed.text.data, offsets, viewed.null_mask).get().tolist()

        def decoded(self, table, *, limit=1 << 20, rows=None, text_bytes=None, codec="snappy"):
            sink = io.BytesIO()
            pq.write_table(table, sink, compression=codec)
            decode = parquet_texts.text_decoder(limit)
            rows = len(table) if rows is None else rows
            return decode(
                ColumnFile(data=sink.getvalue(), rows=rows, codec=codec, text_bytes=text_bytes)
            )

    return Device()


# --- the kernel that checks texts -----------------------------------------------------------------


def test_every_pair_of_bytes_is_judged_as_python_does(device):
    pairs = [bytes([a, b]) for a in range(256) for b in range(0x70, 0xD0)]
    singles = [bytes([a]) for a in range(256)]
    texts = pairs + singles
    assert device.states(texts) == [0 if is_utf8(text) else 2 for text in texts]


@pytest.mark.slow("judges a hundred thousand texts with the kernel compiled for the host")
def test_three_and_four_bytes_are_judged_as_python_does(device):
    edges = (0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xE1)
    threes = [bytes([a, b, c]) for a in range(0xE0, 0xF8) for b in range(256) for c in edges]
    fours = [
        bytes([a, b, c, d])
        for a in range(0xEF, 0xF6)
        for b in range(0x7E, 0xC2)
        for c in edges
        for d in edges
    ]
    texts = threes + fours
    assert device.states(texts) == [0 if is_utf8(text) else 2 for text in texts]


@given(
    st.lists(st.one_of(st.none(), raw_texts), max_size=40),
    st.integers(0, 20),
    st.booleans(),
)
@example(["é".encode()[:1], "é".encode()[1:]], 0, False)
@example([b"x" * 31 + "é".encode(), b"x" * 30 + "語".encode(), None, b""], 9, True)
@within_the_fixture
def test_texts_are_judged_as_python_does_wherever_they_lie(device, texts, before, wide):
    expected = [1 if text is None else 0 if is_utf8(text) else 2 for text in texts]
    assert device.states(texts, before=before, wide=wide) == expected


# --- texts on the device --------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=40), max_size=30), st.data())
@within_the_fixture
def test_texts_on_the_device_are_cut_as_those_on_the_host(device, texts, data):
    there, here = device.text(texts), PackedText.from_strings(texts)
    start = data.draw(st.integers(0, len(texts)))
    stop = data.draw(st.integers(0, len(texts)))
    there, here = there[start:stop], here[start:stop]
    rows = list(here.to_bytes())
    assert (len(there), there.nbytes, there.to_bytes()) == (len(here), here.nbytes, rows)
    drawn = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    mask, pairs = np.array(drawn, bool), list(zip(rows, drawn, strict=True))
    assert there.chosen(mask).to_bytes() == [row for row, kept in pairs if kept]
    assert there.emptied(mask).to_bytes() == [b"" if gone else row for row, gone in pairs]
    every = slice(None, None, 3)
    assert [bytes(one) for one in there.beginnings(every, 7)] == [row[:7] for row in rows[::3]]
    assert [bytes(one) for one in here.beginnings(every, 7)] == [row[:7] for row in rows[::3]]
    assert bytes(there.data)[there.offsets[0] : there.offsets[-1]] == b"".join(rows)


def test_texts_that_follow_one_another_are_joined_where_they_lie(device):
    text = device.text([b"un", b"", b"deux", b"trois"])
    joined = text.joined([text[:1], text[1:3], text[3:]])
    assert joined.there is text.there
    assert joined.to_bytes() == text.to_bytes()
    apart = text.joined([text[2:], text[:2], device.text([b"x"])])
    assert apart.to_bytes() == [b"deux", b"trois", b"un", b"", b"x"]


def test_dropping_empty_texts_copies_nothing(device):
    text = device.text([b"", b"un", b"", b"deux", b""])
    kept = text.chosen(np.array([False, True, False, True, True]))
    assert kept.there is text.there
    assert kept.to_bytes() == [b"un", b"deux", b""]


def test_blocks_get_them_without_a_copy_to_the_host(device, glosses, monkeypatch):
    kernels = load("cuda")
    texts = [one["text"].encode() for one in glosses[:300]]
    expected = load("reference").digest(PackedText.from_strings(texts[3:290])).tolist()
    there = device.text(texts)[3:290]
    monkeypatch.setattr(device.DeviceText, "_copied", None)
    found = kernels.offload(
        {"text": there}, lambda values: {"digest": kernels.digest(values["text"])}
    )
    assert found["digest"].tolist() == expected


# --- the decoder ----------------------------------------------------------------------------------

TEXTS = [b"un", None, b"", "dhātu".encode(), b"nul\0", b"\xff\xfe", b"a\xed\xa0\x80", b"x" * 300]


def table(texts, kind=None):
    return pa.table({"text": pa.array(texts, kind or pa.binary())})


@pytest.mark.parametrize("limit", [1, 300, 1 << 20])
def test_a_column_is_decoded_in_parts(device, limit):
    parts = list(device.decoded(table(TEXTS * 40), limit=limit))
    assert (len(parts) == 1) == (limit == 1 << 20)
    texts = [text for part in parts for text in part.text.to_bytes()]
    assert texts == [text if text and is_utf8(text) else b"" for text in TEXTS * 40]
    nulls = [null for part in parts for null in part.null.tolist()]
    assert nulls == [text is None for text in TEXTS * 40]
    invalid = [part.invalid.get(row) for part in parts for row in range(len(part))]
    assert invalid == [None if text is None or is_utf8(text) else text for text in TEXTS * 40]


def test_parts_are_decoded_once_more_only_if_there_are_several(device):
    list(device.decoded(table(TEXTS * 40)))
    assert len(device.reads) == 1
    list(device.decoded(table(TEXTS * 40), limit=300))
    assert len(device.reads) == 3


@pytest.mark.parametrize("limit", [300, 1 << 20])
@pytest.mark.parametrize(
    "odd",
    [{"rows": 321}, {"rows": 319}, {"text_bytes": 1}, {"codec": "brotli"}],
    ids=lambda odd: next(iter(odd)),
)
def test_what_differs_from_the_footer_is_left_to_the_host(device, limit, odd):
    with pytest.raises(CannotDecode):
        next(device.decoded(table(TEXTS * 40), limit=limit, **odd))


def test_sizes_that_the_writer_states_are_compared(device):
    nbytes = sum(len(text or b"") for text in TEXTS * 40)
    assert len(list(device.decoded(table(TEXTS * 40), text_bytes=nbytes))) == 1


def test_a_long_text_is_left_to_the_host(device, monkeypatch):
    from paninifs.graphs.kernels import long_texts

    monkeypatch.setattr(long_texts, "LONG", 300)
    with pytest.raises(CannotDecode, match="a text of 300 bytes or more"):
        list(device.decoded(table(TEXTS)))
    assert list(device.decoded(table(TEXTS[:-1])))


def test_a_long_text_stays_where_the_host_has_no_kernels(device, monkeypatch):
    from paninifs.graphs.kernels import long_texts

    monkeypatch.setattr(long_texts, "LONG", 300)
    monkeypatch.setattr(long_texts, "host_kernels", lambda: None)
    assert list(device.decoded(table(TEXTS)))


def test_a_lack_of_memory_is_left_to_the_host(device):
    import cupy

    decoded = device.decoded(table([b"x" * 100_000] * 20))
    cupy.device.total = cupy.device.taken + 1_000_000
    with pytest.raises(CannotDecode, match="OutOfMemoryError"):
        next(decoded)


def test_a_lost_device_is_not_left_to_the_host(device, monkeypatch):
    import cupy
    import pylibcudf_on_host

    def lost(_):
        cupy.cuda.runtime.CUDARuntimeError(719)
        raise RuntimeError("CUDA error at: reader_impl.cu:42: 719 cudaErrorLaunchFailure")

    monkeypatch.setattr(pylibcudf_on_host.ChunkedParquetReader, "read_chunk", lost)
    with pytest.raises(DeviceLost, match=r"the host's processor .* failed: CUDA error"):
        next(device.decoded(table(TEXTS)))


def test_the_memory_of_a_part_is_given_back_with_its_texts(device):
    import cupy

    before = cupy.device.taken
    parts = device.decoded(table(TEXTS * 400), limit=3000)
    most = max(cupy.device.taken - before for _ in parts)
    assert 0 < most < 20_000
    assert cupy.device.taken == before


def test_a_device_that_judges_wrongly_is_not_used(decoding, monkeypatch):
    from paninifs.graphs.kernels.cuda import parquet_texts

    monkeypatch.setattr(parquet_texts, "_is_utf8", lambda text: True)
    assert "takes texts for UTF-8" in load("cuda").text_decoder(1 << 20)


def test_without_cudf_the_host_decodes(cuda_on_host, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pylibcudf", None)
    assert load("cuda").text_decoder(1 << 20).startswith("cuDF cannot be used here")
    assert isinstance(load("cpu").text_decoder(1 << 20), str)
    assert isinstance(load("reference").text_decoder(1 << 20), str)
