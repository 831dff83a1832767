"""Baseline: DuckDB reads and hashes on every core, NumPy does the statistics, zarr writes.

    python duckdb_script.py CORPUS.parquet|CORPUS.jsonl STORE.zarr [THREADS]

DuckDB streams Arrow batches in the order of the file; a pool of threads turns each run of
`CHUNK_ROWS` rows into arrays (NumPy lets go of the GIL) and writes it while DuckDB hashes on.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import Future, ThreadPoolExecutor

import arrays
import duckdb
import numpy as np
import pyarrow as pa


def run(corpus: str, store: str, threads: int) -> int:
    """Compute every array of the corpus; return the number of rows."""
    con = duckdb.connect()
    con.execute(f"SET threads = {threads}")
    source = (
        f"read_parquet('{corpus}')"
        if corpus.endswith(".parquet")
        else f"read_json('{corpus}', format = 'newline_delimited', "
        "columns = {id: 'VARCHAR', text: 'VARCHAR'})"
    )
    [(rows, id_type)] = con.sql(f"SELECT count(*), max(typeof(id)) FROM {source}").fetchall()
    group = arrays.create(store, rows, "int64" if id_type == "BIGINT" else "string")
    hashes = ", ".join(f"sha256('{d}::' || text) AS {d}" for d in arrays.DHATUS)
    reader = con.sql(f"SELECT id, sha256(text) AS digest, {hashes} FROM {source}").to_arrow_reader(
        arrays.CHUNK_ROWS
    )
    start = 0
    with ThreadPoolExecutor(threads) as pool:
        writes: list[Future[None]] = []
        for batches in _chunks(reader):
            writes.append(pool.submit(_write, group, start, batches))
            start += sum(len(batch) for batch in batches)
            if len(writes) > 2 * threads:
                writes.pop(0).result()
        for write in writes:
            write.result()
    return start


def _chunks(reader: pa.RecordBatchReader):
    """Regroup batches of any size into runs of CHUNK_ROWS rows, copying nothing."""
    held, count = [], 0
    for batch in reader:
        at = 0
        while at < len(batch):
            part = batch.slice(at, arrays.CHUNK_ROWS - count)
            held.append(part)
            count += len(part)
            at += len(part)
            if count == arrays.CHUNK_ROWS:
                yield held
                held, count = [], 0
    if held:
        yield held


def _write(group, start: int, batches: list[pa.RecordBatch]) -> None:
    table = pa.Table.from_batches(batches).combine_chunks()
    weights = np.stack(
        [arrays.weight_from_hex(_digits(table[d].chunk(0))) for d in arrays.DHATUS], axis=1
    )
    values = arrays.statistics(weights)
    values["digest"] = arrays.from_hex(_digits(table["digest"].chunk(0)))
    values["id"] = table["id"].to_numpy()
    values["valid"] = np.ones(len(table), bool)
    for name, value in values.items():
        group[name][start : start + len(table)] = value


def _digits(column: pa.Array) -> np.ndarray:
    start = column.buffers()[1] and int(
        np.frombuffer(column.buffers()[1], np.int32, 1, 4 * column.offset)[0]
    )
    flat = np.frombuffer(column.buffers()[2], np.uint8, 64 * len(column), start)
    return flat.reshape(-1, 64)


if __name__ == "__main__":
    print(run(sys.argv[1], sys.argv[2], int(sys.argv[3]) if sys.argv[3:] else os.cpu_count()))
