"""`quarantine`: the rows and files of a store that have no results, as a frame of pandas."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...storage.store.keys import QUARANTINE_KEY, quarantine_key
from ...storage.store.quarantine import SCHEMA, completed
from ...storage.store.reader import ResultsStore
from ...storage.store.shards import done_shards

if TYPE_CHECKING:
    import pandas as pd

_ENTRIES_READ = 65_536


def quarantine(
    results: str | PathLike[str], *, storage_options: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    r"""Return the quarantined rows of a store, finished or not; none is an empty frame.

    Parameters
    ----------
    results : str or path
        The store.
    storage_options : mapping, optional
        Passed to fsspec.

    Returns
    -------
    pandas.DataFrame
        One line per entry: ``row`` of the corpus, ``rows`` (consecutive ones with the same reason),
        ``file``, ``file_row`` (from 0), ``reason``, and ``excerpt``, the start of the faulty bytes.
        ``row`` and ``file_row`` are missing for a file whose rows could not be counted. ``block``
        and ``id`` are known for texts that a block failed for.

    Raises
    ------
    ResultsNotFound
        The store does not exist.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> import paninifs as pf
    >>> folder = Path(mkdtemp())
    >>> _ = (folder / "a.jsonl").write_text('{"text": "un"}\n{"text": null}\n')
    >>> with pf.connect("threads", quiet=True):
    ...     corpus = pf.open_corpus(folder / "a.jsonl")
    ...     run = pf.submit(pf.default_graph(), corpus, folder / "out.zarr", progress=False)
    ...     summary = run.result()
    >>> quarantine(folder / "out.zarr")[["file", "file_row", "reason"]].values.tolist()
    [['a.jsonl', 1, 'null text']]
    """
    import pandas as pd

    batches = list(quarantine_batches(ResultsStore.open(results, storage_options)))
    table = pa.Table.from_batches(batches, SCHEMA)
    frame: pd.DataFrame = table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    return frame


def quarantine_batches(store: ResultsStore) -> Iterator[pa.RecordBatch]:
    """Yield the entries of a store's quarantine, in batches."""
    # Only a complete store has all entries in one object that is up to date.
    done = sorted(store.done.items())
    keys = [quarantine_key(shard) for shard, marker in done if marker.quarantined]
    keys = [QUARANTINE_KEY] if store.summary else keys
    for record in store.stages:
        if not record.is_reduction:
            later = sorted(done_shards(store.target, store.stages.layout(record)).items())
            keys += [quarantine_key(shard, record.name) for shard, m in later if m.quarantined]
    for data in map(store.target.get, keys):
        if data:
            for batch in pq.ParquetFile(io.BytesIO(data)).iter_batches(_ENTRIES_READ):
                yield from completed(pa.Table.from_batches([batch])).to_batches()
