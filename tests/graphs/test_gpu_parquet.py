"""Texts of Parquet decoded on a device. Kernels need CuPy and pyarrow, decoding cuDF as well."""

from __future__ import annotations

import pytest

pytest.importorskip("pyarrow", reason="needs pyarrow")

import numpy as np
import parquet_corpora

import paninifs as pf
from paninifs.graphs.kernels import load
from paninifs.storage.rows import DecodedRows
from paninifs.storage.text import PackedText

pytestmark = pytest.mark.gpu

UNCHECKED_DAMAGE = {name for name in parquet_corpora.CORPORA if name.startswith("damaged text")} - {
    "damaged text, checksums",
    "damaged text, not compressed",
}
"""Corpora whose damage only decoding shows, and to libcudf perhaps in other texts."""


def is_utf8(text):
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


# --- the kernels, without cuDF --------------------------------------------------------------------


def on_device(texts):
    import cupy

    from paninifs.graphs.kernels.cuda.device_text import DeviceText

    packed = PackedText.from_strings(texts)
    return DeviceText(cupy.asarray(packed.data), packed.offsets)


def test_texts_are_judged_as_python_does():
    import cupy

    from paninifs.graphs.kernels.cuda import parquet_texts

    edges = (0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xE1)
    texts = [bytes([a, b]) for a in range(256) for b in range(256)]
    texts += [bytes([a, b, c]) for a in range(0xE0, 0xF8) for b in range(256) for c in edges]
    texts += [
        bytes([a, b, c, d])
        for a in range(0xEF, 0xF6)
        for b in range(0x7E, 0xC2)
        for c in edges
        for d in edges
    ]
    texts += [b"x" * n + tail for n in range(70) for tail in (b"", b"\xc3", "é".encode(), b"\xa9")]
    there = on_device(texts)
    states = parquet_texts._states(there.there, cupy.asarray(there.offsets), None).get()
    assert states.tolist() == [0 if is_utf8(text) else 2 for text in texts]
    known = np.arange(len(texts)) % 3 > 0
    bits = cupy.asarray(np.packbits(known, bitorder="little"))
    mask = parquet_texts.NullMask(bits, 0)
    masked = parquet_texts._states(there.there, cupy.asarray(there.offsets), mask).get()
    assert masked.tolist() == np.where(known, states, 1).tolist()


def test_texts_on_the_device_are_chosen_and_copied():
    texts = [b"", b"un", b"dh\xc4\x81tu", b"", b"x" * 100, b"deux"] * 500
    there = on_device(texts)
    mask = np.arange(len(texts)) % 7 > 1
    pairs = list(zip(texts, mask.tolist(), strict=True))
    assert there.to_bytes() == texts
    assert there.chosen(mask).to_bytes() == [text for text, kept in pairs if kept]
    assert there.emptied(mask).to_bytes() == [b"" if gone else text for text, gone in pairs]
    assert there.joined([there[3:], there[:3]]).to_bytes() == texts[3:] + texts[:3]


def test_blocks_take_texts_where_they_are():
    kernels, texts = load("cuda"), [b"un", b"", b"deux" * 40, b"x" * 200] * 300
    made = kernels.offload(
        {"text": on_device(texts)[5:]}, lambda values: {"digest": kernels.digest(values["text"])}
    )
    expected = load("reference").digest(PackedText.from_strings(texts[5:]))
    assert made["digest"].tolist() == expected.tolist()


# --- with cuDF ------------------------------------------------------------------------------------


@pytest.fixture
def decoder(monkeypatch):
    """Return a function that returns the decoder for a limit; the test is skipped without one."""
    pytest.importorskip("pylibcudf", reason="needs RAPIDS: the extra cuda12 or cuda13")
    from paninifs.graphs.kernels.cuda import parquet_texts

    monkeypatch.setattr(parquet_texts, "SMALLEST", 0)

    def made(limit):
        found = load("cuda").text_decoder(limit)
        assert not isinstance(found, str), found
        return found

    return made


def rows_of(path, text, decode=None):
    from paninifs.storage.corpus.reading import read_stretches

    corpus = pf.open_corpus(path, text=text, id="id", keep=["n"])
    index, found, faults, apart = corpus.index, [], [], 0
    stretches = index.stretches(0, index.rows)
    for _, first, rows in read_stretches(stretches, corpus.opener, index.selection, decode):
        apart += len(rows) * isinstance(rows, DecodedRows)
        texts = iter(rows.packed(rows.usable).to_bytes())
        columns = [rows.columns[name].to_pylist() for name in ("id", "n")]
        for row, values in enumerate(zip(*columns, strict=True)):
            found.append((first + row, next(texts) if rows.usable[row] else None, *values))
        for fault in rows.faults:
            faults += [(row, fault.reason) for row in range(fault.row, fault.row + fault.rows)]
    return found, faults, apart


@pytest.mark.parametrize("limit", [1000, 64 << 20])
@pytest.mark.parametrize("name", sorted(parquet_corpora.CORPORA.keys() - UNCHECKED_DAMAGE))
def test_the_device_gives_the_rows_and_faults_of_the_host(name, limit, decoder, tmp_path):
    path, text = parquet_corpora.write(tmp_path, name), parquet_corpora.text_column(name)
    rows, faults, _ = rows_of(path, text)
    found, found_faults, apart = rows_of(path, text, decoder(limit))
    assert found == rows
    assert found_faults == faults
    # What libcudf can decompress depends on how it was built.
    assert (apart > 0) == (name != "in a struct") or name in ("brotli", "lz4")


@pytest.mark.parametrize("name", sorted(UNCHECKED_DAMAGE))
def test_damage_does_not_lose_the_device(name, decoder, tmp_path):
    path = parquet_corpora.write(tmp_path, name)
    rows, _, _ = rows_of(path, "text")
    found, _, _ = rows_of(path, "text", decoder(64 << 20))
    assert len(found) == len(rows)
    load("cuda").prepare()
    assert on_device([b"un", b"deux"]).to_bytes() == [b"un", b"deux"]
