"""Near-duplicates on WordNet glosses with planted variants: rates, recall, precision, datasketch.

``python near_duplicates.py [COPIES [GLOSSES.jsonl.gz]]`` prints, for the glosses and their
variants: the rate of a whole run, the cost of extending it, the estimates beside exact
similarities, recall and precision by exact similarity, and whether the candidates are those of
datasketch. Rates are per second of processor time, of client and worker together, and of elapsed
time.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from planted_variants import variant

import paninifs as pf
from paninifs.graphs.blocks.band_keys import bands_for
from paninifs.graphs.kernels import load
from paninifs.graphs.kernels.shingles import shingles_of

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "corpora" / "wordnet-glosses.jsonl.gz"
SAMPLE = ROOT / "tests" / "data" / "wordnet-2000.jsonl.gz"
THRESHOLD = 0.8


def glosses(given: str = "") -> list[str]:
    """Return the texts of a file; by default of the whole WordNet where it is, else of a sample."""
    with gzip.open(given or (REAL if REAL.exists() else SAMPLE), "rt") as lines:
        return [json.loads(line)["text"] for line in lines]


def cpu_seconds() -> float:
    """Return the processor time of this process and its children."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(sum(one.cpu_times()[:2]) for one in processes)


@contextmanager
def timed(what: str, texts: int, found: dict[str, float] | None = None) -> Iterator[None]:
    """Print how long a step takes, and its rate."""
    begun, used = time.perf_counter(), cpu_seconds()
    yield
    seconds, cpu = time.perf_counter() - begun, cpu_seconds() - used
    if found is not None:
        found[what] = cpu
    print(
        f"{what}: {seconds:.2f} s, {texts / seconds / 1e6:.3f} M texts/s; processors {cpu:.2f} s, "
        f"{texts / cpu / 1e6:.3f} M texts/s",
        flush=True,
    )


def whole_run(folder: Path, texts: list[str], copies: int) -> None:
    """Compute a corpus, extend it by a tenth, and compute the extended one from nothing."""
    parts = folder / "parts"
    parts.mkdir()
    many = [f"{text} {copy}" for copy in range(copies) for text in texts]
    tenth = [f"{text} again" for text in texts for _ in range(copies)][: len(many) // 10]
    pq.write_table(pa.table({"text": many}), parts / "a.parquet", row_group_size=1 << 17)
    options = {"threshold": THRESHOLD, "progress": False}
    cost: dict[str, float] = {}
    with pf.connect("cpu", workers=1, threads=1, quiet=True):
        warm = pf.open_corpus(texts=texts[:100])
        pf.near_duplicates(warm, **options)
        graph = pf.minhash() + pf.band_keys(*bands_for(THRESHOLD, 128))
        corpus = pf.open_corpus(parts)
        with timed("signatures and keys", len(many), cost):
            pf.submit(graph, corpus, folder / "grown.zarr", progress=False).result()
        with timed("clusters", len(many), cost):
            pf.near_duplicates(store=folder / "grown.zarr", threshold=THRESHOLD)
        pq.write_table(pa.table({"text": tenth}), parts / "b.parquet", row_group_size=1 << 17)
        corpus = pf.open_corpus(parts)
        total = len(many) + len(tenth)
        with timed("a tenth more", len(tenth), cost):
            grown = pf.near_duplicates(corpus, store=folder / "grown.zarr", extend=True, **options)
        with timed("all from nothing", total, cost):
            anew = pf.near_duplicates(corpus, store=folder / "anew.zarr", **options)
        assert (grown.labels() == anew.labels()).all()
        print(f"extending costs {cost['a tenth more'] / cost['all from nothing']:.1%} of the whole")


def found_and_missed(texts: list[str]) -> None:
    """Print recall and precision by exact similarity, and compare candidates with datasketch."""
    random = np.random.default_rng(0)
    originals = random.integers(0, len(texts), len(texts) // 10).tolist()
    planted = [variant(texts[row], random) for row in originals]
    every = [*texts, *planted]
    with pf.connect("threads", workers=1, threads=1, quiet=True):
        found = pf.near_duplicates(pf.open_corpus(texts=every), THRESHOLD, progress=False)
        print(found)
        print(found.check(2000))
    pairs = {
        pair
        for batch in found.pairs()
        for pair in zip(batch.one.tolist(), batch.other.tolist(), strict=True)
    }
    labels = found.labels()
    shingles = [frozenset(shingles_of(one.encode(), "words", 3)) for one in every]
    counts: dict[int, list[int]] = {}
    for number, row in enumerate(originals):
        one, other = shingles[row], shingles[len(texts) + number]
        exact = len(one & other) / max(len(one | other), 1)
        hit = labels[row] == labels[len(texts) + number]
        bin_ = counts.setdefault(min(int(exact * 20), 19), [0, 0])
        bin_[0] += 1
        bin_[1] += hit
    for at, (total, hits) in sorted(counts.items()):
        print(f"planted, exact {at / 20:.2f}-{(at + 1) / 20:.2f}: {hits} of {total} in a cluster")
    exact = [len(shingles[a] & shingles[b]) / len(shingles[a] | shingles[b]) for a, b in pairs]
    precise = np.array(exact)
    print(
        f"pairs {len(pairs)}; exact at least {THRESHOLD}: {(precise >= THRESHOLD).mean():.2%}, "
        f"at least {THRESHOLD - 0.1:.1f}: {(precise >= THRESHOLD - 0.1).mean():.2%}"
    )
    same_as_datasketch(found)


def same_as_datasketch(found: pf.NearDuplicates) -> None:
    """Compare all candidate pairs with those of datasketch's index, given the same signatures."""
    from datasketch import MinHash, MinHashLSH

    signatures = pf.open_results(found.results).minhash.values
    begun = time.process_time()
    made = [MinHash(hashvalues=one, scheme="affine32") for one in signatures]
    index = MinHashLSH(threshold=THRESHOLD, num_perm=signatures.shape[1])
    with index.insertion_session() as session:
        for row, one in enumerate(made):
            session.insert(row, one)
    theirs = {
        (min(row, other), max(row, other))
        for row, one in enumerate(made)
        for other in index.query(one)
        if other != row
    }
    print(f"datasketch's index: {time.process_time() - begun:.2f} s of processor time")
    equal: dict[bytes, list[int]] = {}
    for row, one in enumerate(signatures):
        equal.setdefault(one.tobytes(), []).append(row)
    ours = {
        (min(a, b), max(a, b))
        for batch in found.pairs(0)
        for one, other in zip(batch.one.tolist(), batch.other.tolist(), strict=True)
        for a in equal[signatures[one].tobytes()]
        for b in equal[signatures[other].tobytes()]
        if a != b
    }
    print(f"candidates: {len(ours)} here, {len(theirs)} there, the same: {ours == theirs}")


def kernel_rates(texts: list[str]) -> None:
    """Print signatures per second of processor time, here and in datasketch, in turn."""
    from datasketch import MinHash

    packed = pf.PackedText.from_strings(texts)
    some = [shingles_of(one.encode(), "words", 3) for one in texts[:5000]]
    params = pf.minhash().params
    load("cpu").minhash(packed[:10], **params)
    for _ in range(3):
        begun = time.process_time()
        load("cpu").minhash(packed, **params)
        ours = len(texts) / (time.process_time() - begun)
        begun = time.process_time()
        for one in some:
            MinHash(num_perm=128).update_batch(one)
        theirs = len(some) / (time.process_time() - begun)
        ratio = f"{ours / theirs:.0f}x"
        print(f"kernel {ours:,.0f}/s, datasketch {theirs:,.0f}/s (shingles given): {ratio}")


if __name__ == "__main__":
    given = glosses(*sys.argv[2:3])
    copies = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    kernel_rates(given)
    with tempfile.TemporaryDirectory() as place:
        whole_run(Path(place), given, copies)
    found_and_missed(given)
