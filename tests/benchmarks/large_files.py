"""Files larger than memory, end to end: ``make large-files``, ``make large-files GIGABYTES=0.2``.

    python large_files.py [--gigabytes 2] [--memory 1GiB] [--folder DIR] [--out DIR]

Two things are to be seen: the seconds grow with the file (the CPU's do, whatever else the machine
is busy with), and the worker's memory does not. Writes DIR/large-files.json. Files and stores go to
a temporary folder (three times the gigabytes; --folder says where); a worker's peak is read from
/proc, so it takes Linux.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import corpora
from measure import Table, as_json, machine

import paninifs as pf

BLOCK_ROWS = 2048
REAL_BYTES, NOISE_BYTES = 1000, 3000  # of a text: words, and letters that no gzip makes few of
NOISE_STREAM = 6 << 20
FORMATS = {"gzip JSON Lines": "jsonl.gz", "JSON Lines": "jsonl", "Parquet, a row group": "parquet"}

Records = list[tuple[str, str]]


def blocks() -> Iterator[Records]:
    """Yield ids and texts without end: real words, and as much noise that the file stays large."""
    rng = random.Random(0)
    noise = base64.b64encode(rng.randbytes(NOISE_STREAM)).decode()
    number = 0
    while True:
        records = []
        for text in corpora.texts(BLOCK_ROWS, REAL_BYTES, seed=number).to_strings():
            at = rng.randrange(len(noise) - NOISE_BYTES)
            records.append((str(number), f"{text} {noise[at : at + NOISE_BYTES]}"))
            number += 1
        yield records


def write_jsonl(path: Path, size: int) -> int:
    """Write records until the file has `size` bytes, or its gzip has; return the rows."""
    rows = 0
    with path.open("wb") as stored:
        packed = path.suffix == ".gz"
        out = gzip.GzipFile(fileobj=stored, mode="wb", compresslevel=1) if packed else stored
        for records in blocks():
            out.writelines(
                json.dumps({"id": id, "text": text}, ensure_ascii=False).encode() + b"\n"
                for id, text in records
            )
            rows += len(records)
            if stored.tell() >= size:
                break
        if packed:
            out.close()
    return rows


def write_parquet(path: Path, size: int) -> int:
    """Write `size` bytes of text as one row group; return its rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("id", pa.string()), ("text", pa.string())])
    parts: list[pa.RecordBatch] = []
    for records in blocks():
        ids, texts = zip(*records, strict=True)
        parts.append(pa.record_batch([pa.array(ids), pa.array(texts)], schema=schema))
        if sum(part.nbytes for part in parts) >= size:
            break
    table = pa.Table.from_batches(parts)
    pq.write_table(table, path, row_group_size=len(table), use_dictionary=False)
    assert pq.read_metadata(path).num_row_groups == 1
    return len(table)


def standing() -> tuple[int, int, float]:
    """Process, peak of its memory in bytes (getrusage tells a parent's), CPU seconds."""
    status = Path("/proc/self/status").read_text()
    return os.getpid(), int(status.split("VmHWM:")[1].split()[0]) * 1024, time.process_time()


def measured(path: Path, rows: int, memory: str, folder: Path) -> dict[str, object]:
    """Run a file on a fresh worker with a memory limit; return what it took."""
    warm = folder / "warm.txt"
    warm.write_text("warm\n")
    graph = pf.default_graph()
    with pf.connect(workers=1, threads=1, memory=memory, quiet=True) as client:
        options = {"client": client, "progress": False, "fresh": True}
        pf.submit(graph, pf.open_corpus(warm), folder / "warm.zarr", **options).result()
        ((worker, before, cpu),) = client.run(standing).values()
        began, own_cpu = time.perf_counter(), time.process_time()
        summary = pf.submit(graph, pf.open_corpus(path), folder / "out.zarr", **options).result()
        seconds = time.perf_counter() - began
        own_cpu = time.process_time() - own_cpu
        ((same, peak, cpu_after),) = client.run(standing).values()
    shutil.rmtree(folder / "out.zarr")
    assert worker == same, "the worker was started again on the way"
    assert (summary.done, summary.quarantined) == (rows, 0)
    return {
        "file (MB)": path.stat().st_size / 1e6,
        "text (MB)": summary.text_bytes / 1e6,
        "texts": rows,
        "seconds": seconds,
        "CPU seconds": own_cpu + cpu_after - cpu,
        "text, MB per second": summary.text_bytes / 1e6 / seconds,
        "worker's peak (MB)": peak / 1e6,
        "of it before (MB)": before / 1e6,
    }


def run(gigabytes: float, memory: str, folder: Path) -> Table:
    """Run every format at half the size and at the whole."""
    table = Table(
        "Files larger than memory",
        f"One worker, one thread, {memory} of memory. Size of the file, of Parquet of its text.",
    )
    writers: dict[str, Callable[[Path, int], int]] = {"parquet": write_parquet}
    for name, ending in FORMATS.items():
        for size in (gigabytes / 2, gigabytes):
            path = folder / f"large.{ending}"
            rows = writers.get(ending, write_jsonl)(path, int(size * 1e9))
            table.rows.append({"what": name, **measured(path, rows, memory, folder)})
            print(json.dumps(table.rows[-1]), flush=True)
            path.unlink()
    return table


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--gigabytes", type=float, default=2, help="of the larger file; 2")
    parser.add_argument("--memory", default="1GiB", help="limit of the worker; 1GiB")
    parser.add_argument("--folder", type=Path, help="where files and stores may lie for a while")
    parser.add_argument("--out", type=Path, default=Path("bench-results"))
    options = parser.parse_args()
    facts = machine()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        table = run(options.gigabytes, options.memory, Path(folder))
    print(table.markdown())
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "large-files.json").write_text(
        json.dumps(as_json(facts, [table]), indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
