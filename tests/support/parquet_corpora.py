"""Parquet files with whatever is odd or wrong about a text column, by name: see `CORPORA`.

Each is written by a function of a path. All but the damaged ones hold `TEXTS` again and again, so
that they have several row groups, batches and pages.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

TEXTS = (
    b"un",
    None,
    b"",
    "dhātu".encode(),
    b"nul\0 within",
    b"\xff\xfe",  # no beginning of a character
    b"overlong \xc0\xaf",
    b"overlong \xe0\x80\x80",
    b"overlong \xf0\x80\x80\x80",
    b"surrogate \xed\xa0\x80",
    b"too large \xf4\x90\x80\x80",
    b"too large \xf5\x80\x80\x80",
    b"cut off \xe2\x82",
    b"alone \x80",
    b"too many \xc3\xa9\xa9",
    "語".encode() * 200,
    b"le mot",
)
ROWS = 40 * len(TEXTS)


def columns(texts=TEXTS, kind=None):
    """Return a table of texts, with identifiers and a number that is missing now and then."""
    several = list(texts) * (ROWS // len(texts))
    return pa.table(
        {
            "text": pa.array(several, kind or pa.binary()),
            "id": [f"r{row}" for row in range(len(several))],
            "n": [None if row % 7 == 0 else row for row in range(len(several))],
        }
    )


def valid(texts=TEXTS):
    """Return the texts that are UTF-8, as strings, and those that are null."""
    known = []
    for text in texts:
        try:
            known.append(None if text is None else text.decode())
        except UnicodeDecodeError:
            continue
    return known


def written(table, **options) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **{"row_group_size": 150, "data_page_size": 700, **options})
    return sink.getvalue()


def plainly(table=None, **options):
    return lambda: written(columns() if table is None else table(), **options)


def encoded(encoding, **options):
    return plainly(use_dictionary=False, column_encoding={"text": encoding}, **options)


def required():
    texts = [text for text in TEXTS if text is not None]
    table = columns(texts)
    fields = [pa.field("text", pa.binary(), nullable=False), *list(table.schema)[1:]]
    return written(table.cast(pa.schema(fields)))


def dictionaries():
    table = columns(valid(), pa.string())
    return written(table.set_column(0, "text", table["text"].dictionary_encode()))


def in_a_struct():
    table = columns()
    inner = pa.StructArray.from_arrays(
        [table["text"].combine_chunks()], ["text"], mask=pa.array([False] * table.num_rows)
    )
    return written(pa.table({"of": inner, "id": table["id"], "n": table["n"]}))


def doubled():
    table = columns()
    return written(table.append_column("text", table["id"]))


def long_text():
    table = columns(["mot", "y" * 300_000, None, "phrase"], pa.large_string())
    return written(table.slice(0, 320))


def all_null():
    return written(columns([None], pa.string()))


def all_empty():
    return written(columns([""], pa.string()))


def nothing():
    return written(columns().slice(0, 0))


def pages_of(data: bytes, name: str, group: int) -> tuple[int, int]:
    """Return where the pages of a column start and stop in a file."""
    metadata = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(group)
    found = next(
        metadata.column(at)
        for at in range(metadata.num_columns)
        if metadata.column(at).path_in_schema == name
    )
    start = found.dictionary_page_offset or found.data_page_offset
    return start, start + found.total_compressed_size


def damaged(name, *, group=1, at=0.5, length=40, **options):
    """Return what writes a file in which some bytes of a column are others."""

    def write():
        data = bytearray(written(columns(), **options))
        start, stop = pages_of(bytes(data), name, group)
        begin = start + int(at * (stop - start))
        noise = np.random.default_rng(7).integers(0, 256, min(length, stop - begin), np.uint8)
        data[begin : begin + len(noise)] = noise.tobytes()
        return bytes(data)

    return write


def damaged_twice():
    data = bytearray(written(columns(), write_page_checksum=True))
    for name, at in (("n", 0.3), ("text", 0.8)):
        start, stop = pages_of(bytes(data), name, 1)
        data[start + int(at * (stop - start))] ^= 255
    return bytes(data)


def without_text():
    return written(columns().rename_columns(["other", "id", "n"]))


CORPORA: dict[str, Callable[[], bytes]] = {
    "plain": plainly(use_dictionary=False),
    "dictionary": plainly(),
    "dictionary that is given up": plainly(dictionary_pagesize_limit=200),
    "delta lengths": encoded("DELTA_LENGTH_BYTE_ARRAY"),
    "delta strings": encoded("DELTA_BYTE_ARRAY"),
    "pages of version 2": plainly(data_page_version="2.0", compression="zstd"),
    "not compressed": plainly(compression="none"),
    "gzip": plainly(compression="gzip"),
    "lz4": plainly(compression="lz4"),
    "brotli": plainly(compression="brotli"),
    "checksums": plainly(write_page_checksum=True),
    "string": plainly(lambda: columns(valid(), pa.string())),
    "large string": plainly(lambda: columns(valid(), pa.large_string())),
    "string view": plainly(lambda: columns(valid(), pa.string_view())),
    "large binary": plainly(lambda: columns(kind=pa.large_binary())),
    "required": required,
    "dictionary type": dictionaries,
    "in a struct": in_a_struct,
    "two columns called text": doubled,
    "a long text": long_text,
    "nulls alone": all_null,
    "empty texts alone": all_empty,
    "one row group": plainly(row_group_size=ROWS),
    "row groups of one row": plainly(lambda: columns().slice(0, 60), row_group_size=1),
    "damaged text": damaged("text", use_dictionary=False),
    "damaged text, checksums": damaged("text", write_page_checksum=True),
    "damaged text, zstd": damaged("text", compression="zstd"),
    "damaged text, its first page": damaged("text", at=0.0),
    "damaged text, its last page": damaged("text", at=0.97),
    "damaged text, not compressed": damaged("text", compression="none", write_page_checksum=True),
    "damaged identifiers": damaged("id", use_dictionary=False),
    "damaged numbers": damaged("n", write_page_checksum=True, group=2),
    "damaged numbers, the first page": damaged("n", group=0, at=0.0, length=4000),
    "damaged text and numbers": damaged_twice,
}
"""Files, by what is odd about them."""


def write(folder: Path, name: str) -> Path:
    """Write a file, and return its path."""
    path = folder / "corpus.parquet"
    path.write_bytes(CORPORA[name]())
    return path


def text_column(name: str) -> str:
    """Return the name of the text column of a corpus."""
    return "of.text" if name == "in a struct" else "text"
