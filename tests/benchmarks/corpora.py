"""Corpora for the benchmarks: any number of texts of any length, the same every time.

A text is a window of a long stream of words from the repository's own sample of WordNet glosses and
French prompts, so it has their letters, accents and compressibility. Nothing here is timed.
"""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from paninifs.storage.text import PackedText

if TYPE_CHECKING:
    import pyarrow as pa  # a machine with a GPU may lack it, and needs `texts` alone

DATA = Path(__file__).parents[1] / "data"
STREAM_BYTES = 8 << 20
GROUP_ROWS = 131_072
GROUP_BYTES = 128 << 20


@cache
def _stream() -> tuple[np.ndarray, np.ndarray]:
    """The stream's bytes, and for every position the start of the character that it lies in."""
    with gzip.open(DATA / "wordnet-2000.jsonl.gz", "rt") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    with (DATA / "panini-prompts.jsonl").open() as lines:
        texts += [json.loads(line)["text"] for line in lines]
    words = np.array(" ".join(texts).split())
    rng = np.random.default_rng(0)
    joined = " ".join(rng.choice(words, STREAM_BYTES // 6)).encode()
    stream = np.frombuffer(joined, np.uint8)
    starts = np.where((stream & 0xC0) != 0x80, np.arange(len(stream)), 0)
    return stream, np.maximum.accumulate(starts)


def texts(count: int, mean_bytes: int, seed: int = 0) -> PackedText:
    """`count` texts whose lengths vary by a quarter around the mean, cut between characters."""
    stream, starts = _stream()
    rng = np.random.default_rng((seed, mean_bytes))
    lengths = np.maximum(4, rng.normal(mean_bytes, mean_bytes / 4, count)).astype(np.int64)
    first = starts[rng.integers(0, len(stream) - lengths.max(), count)]
    lengths = starts[first + lengths] - first
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    if mean_bytes > 2000:
        data = np.concatenate([stream[a : a + n] for a, n in zip(first, lengths, strict=True)])
    else:
        data = stream[np.repeat(first - offsets[:-1], lengths) + np.arange(offsets[-1])]
    return PackedText(data, offsets)


def parquet(path: Path, count: int, mean_bytes: int, compression: str = "snappy") -> Path:
    """Write a Parquet corpus of int64 ids and texts, row groups of one size."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = min(GROUP_ROWS, max(1024, GROUP_BYTES // mean_bytes // 1024 * 1024))
    schema = pa.schema([("id", pa.int64()), ("text", pa.large_string())])
    with pq.ParquetWriter(path, schema, compression=compression) as writer:
        for group, start in enumerate(range(0, count, rows)):
            part = texts(min(rows, count - start), mean_bytes, seed=group)
            ids = pa.array(np.arange(start, start + len(part)))
            writer.write_table(pa.table([ids, arrow(part)], schema=schema), row_group_size=rows)
    return path


def jsonl(path: Path, source: Path) -> Path:
    """Write a Parquet corpus again as JSON Lines, ids as strings."""
    import pyarrow.parquet as pq

    with path.open("w") as out:
        for batch in pq.ParquetFile(source).iter_batches():
            ids, lines = batch["id"].to_pylist(), batch["text"].to_pylist()
            out.writelines(
                json.dumps({"id": str(i), "text": text}, ensure_ascii=False) + "\n"
                for i, text in zip(ids, lines, strict=True)
            )
    return path


def arrow(text: PackedText) -> pa.Array:
    """The same texts as Arrow, copying nothing."""
    import pyarrow as pa

    buffers = [None, pa.py_buffer(text.offsets), pa.py_buffer(text.data)]
    return pa.Array.from_buffers(pa.large_string(), len(text), buffers)
