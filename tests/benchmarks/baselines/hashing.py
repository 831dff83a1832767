"""Baselines for the kernel: the nine dhātu weights of texts, one thread, by other means.

Each takes the texts in the form that suits it best (made before the clock starts) and returns
weights [n, 9].
"""

from __future__ import annotations

import hashlib

import duckdb
import numpy as np
import polars as pl
import polars_hash  # noqa: F401 (adds .chash to expressions)
import pyarrow as pa

from .arrays import DHATUS, from_hashes, weight_from_hex


def hashlib_plain(texts: list[bytes]) -> np.ndarray:
    """Nine whole hashes a text."""
    prefixes = [name.encode() + b"::" for name in DHATUS]
    hashes = b"".join(
        hashlib.sha256(prefix + text).digest() for text in texts for prefix in prefixes
    )
    return from_hashes(np.frombuffer(hashes, np.uint8).reshape(len(texts), 9, 32))


def hashlib_copy(texts: list[bytes]) -> np.ndarray:
    """Nine hashes a text, each going on from a copy of its prefix's state."""
    states = [hashlib.sha256(name.encode() + b"::").copy for name in DHATUS]
    hashes = bytearray()
    for text in texts:
        for copy in states:
            state = copy()
            state.update(text)
            hashes += state.digest()
    return from_hashes(np.frombuffer(hashes, np.uint8).reshape(len(texts), 9, 32))


def duckdb_sql(texts: pa.Table) -> np.ndarray:
    """One query with nine hashes, one thread; NumPy adds up the digits."""
    con = duckdb.connect()
    con.execute("SET threads = 1")
    con.register("texts", texts)
    hashes = ", ".join(f"sha256('{d}::' || text) AS {d}" for d in DHATUS)
    table = con.sql(f"SELECT {hashes} FROM texts").to_arrow_table().combine_chunks()
    return _weights([table[name].chunk(0) for name in DHATUS])


def polars_expressions(texts: pl.DataFrame) -> np.ndarray:
    """Nine polars-hash expressions, one at a time (so one thread); NumPy adds up the digits."""
    columns = []
    for name in DHATUS:
        prefixed = pl.concat_str([pl.lit(f"{name}::"), pl.col("text")])
        columns.append(texts.select(prefixed.chash.sha2_256()).to_series().to_arrow())
    return _weights([column.cast(pa.large_string()) for column in columns])


def _weights(columns: list[pa.Array]) -> np.ndarray:
    digits = [np.frombuffer(column.buffers()[2], np.uint8).reshape(-1, 64) for column in columns]
    return np.stack([weight_from_hex(one[: len(columns[0])]) for one in digits], axis=1)
