"""Baseline: a pool of processes, hashlib with shared prefixes, NumPy for the statistics.

    python hashlib_script.py CORPUS.parquet|CORPUS.jsonl STORE.zarr [PROCESSES]

A process reads, hashes and writes one chunk of the store at a time: a row group of the Parquet file
(all of one size), or `CHUNK_ROWS` lines, whose places are found first.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path

import arrays
import numpy as np
import pyarrow.parquet as pq
import zarr

BLOCK_BYTES = 16 << 20


def run(corpus: str, store: str, processes: int) -> int:
    """Compute every array of the corpus; return the number of rows."""
    if corpus.endswith(".parquet"):
        file = pq.ParquetFile(corpus)
        rows, id_type = file.metadata.num_rows, str(file.schema_arrow.field("id").type)
        chunk_rows = file.metadata.row_group(0).num_rows
        pieces, work = list(range(file.num_row_groups)), partial(_row_group, corpus, store)
    else:
        rows, pieces = _line_pieces(corpus)
        id_type, chunk_rows, work = "string", arrays.CHUNK_ROWS, partial(_lines, corpus, store)
    arrays.create(store, rows, id_type, chunk_rows)
    starts = range(0, rows, chunk_rows)
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        pool.starmap(work, zip(starts, pieces, strict=True), chunksize=1)
    return rows


def _row_group(corpus: str, store: str, start: int, group: int) -> None:
    table = pq.ParquetFile(corpus).read_row_group(group, ["id", "text"], use_threads=False)
    ids = table["id"].to_numpy()
    _write(store, start, ids, table["text"].cast("binary").to_pylist())


def _lines(corpus: str, store: str, start: int, piece: tuple[int, int]) -> None:
    with Path(corpus).open("rb") as file:
        file.seek(piece[0])
        lines = file.read(piece[1] - piece[0]).splitlines()
    records = [json.loads(line) for line in lines]
    ids = np.array([str(record["id"]) for record in records], object)
    _write(store, start, ids, [record["text"].encode() for record in records])


def _write(store: str, start: int, ids: np.ndarray, texts: list[bytes]) -> None:
    states = [hashlib.sha256(name.encode() + b"::").copy for name in arrays.DHATUS]
    plain = hashlib.sha256
    digests, hashes = bytearray(), bytearray()
    for text in texts:
        digests += plain(text).digest()
        for copy in states:
            state = copy()
            state.update(text)
            hashes += state.digest()
    weights = arrays.from_hashes(np.frombuffer(hashes, np.uint8).reshape(len(texts), 9, 32))
    values = arrays.statistics(weights)
    values["digest"] = np.frombuffer(digests, np.uint8).reshape(len(texts), 32)
    values["id"], values["valid"] = ids, np.ones(len(texts), bool)
    group = zarr.open_group(store, mode="r+")
    for name, value in values.items():
        group[name][start : start + len(texts)] = value


def _line_pieces(corpus: str) -> tuple[int, list[tuple[int, int]]]:
    """Rows of the file, and where every run of CHUNK_ROWS lines begins and ends."""
    size, rows, at, cuts = Path(corpus).stat().st_size, 0, 0, [0]
    with Path(corpus).open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            ends = np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n"))
            inner = ends[-(rows + 1) % arrays.CHUNK_ROWS :: arrays.CHUNK_ROWS]
            cuts += (at + inner + 1).tolist()
            rows += len(ends)
            at += len(block)
    if cuts[-1] != size:
        cuts.append(size)
    return rows, list(pairwise(cuts))


if __name__ == "__main__":
    print(run(sys.argv[1], sys.argv[2], int(sys.argv[3]) if sys.argv[3:] else os.cpu_count()))
