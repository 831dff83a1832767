"""A worker's memory stays bounded as the corpus grows."""

from __future__ import annotations

from pathlib import Path

import pytest
from distributed import Client

import paninifs as pf

MIB = 1 << 20


def peak_bytes():
    """Not getrusage's: that starts from the peak of the process that this one was forked from."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def peak_of_a_run(glosses, megabytes, kind, tmp_path):
    """Run a corpus of so many megabytes on a fresh worker; return how much its peak grew."""
    text = " ".join(row["text"] for row in glosses)[:4000]
    path = tmp_path / f"{megabytes}.{kind}"
    rows = megabytes * 250
    if kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {"text": [f"{row} {text}" for row in range(rows)]}
        pq.write_table(pa.table(columns), path, row_group_size=rows)
    else:
        path.write_text("".join(f"{row} {text}\n" for row in range(rows)))
    with Client(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0") as client:
        options = {"client": client, "progress": False, "shard_rows": 4096}
        warm = tmp_path / "warm.txt"
        warm.write_text("warm\n")
        pf.submit(pf.default_graph(), pf.open_corpus(warm), tmp_path / "w", **options).result()
        before = max(client.run(peak_bytes).values())
        store = tmp_path / f"{megabytes}.zarr"
        pf.submit(pf.default_graph(), pf.open_corpus(path), store, **options).result()
        return max(client.run(peak_bytes).values()) - before


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["txt", "parquet"])
def test_worker_memory_does_not_grow_with_the_corpus(kind, glosses, tmp_path):
    small = peak_of_a_run(glosses, 40, kind, tmp_path / "a")
    large = peak_of_a_run(glosses, 200, kind, tmp_path / "b")
    assert large < small + 40 * MIB, (small / MIB, large / MIB)
    assert large < 120 * MIB, large / MIB


@pytest.fixture(autouse=True)
def folders(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
