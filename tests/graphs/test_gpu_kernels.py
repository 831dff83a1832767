"""The backend `cuda` on a device. Needs no packages but CuPy, NumPy and pytest, not even psutil."""

from __future__ import annotations

import gzip
import json
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from paths import DATA, GLOSSES, GOLDEN, PAPERS

from paninifs.graphs.inventories import DHATUS, PRIMES
from paninifs.graphs.kernels import load, reference
from paninifs.storage.text import PackedText

pytestmark = pytest.mark.gpu

MILLION = int(os.environ.get("PANINIFS_GPU_TEXTS", "1000000"))
FIELDS = ("digest", "dhatu", "prime_base", "variance", "entropy", "ambiguity", "normalised")
INVENTORIES = {
    "one": ("RELATE",),
    "twelve": (*DHATUS, "dhātu", "धातु-मूल", "語根"),
    "block edges": tuple("x" * length for length in (53, 54, 61, 62, 63, 117, 118, 126, 200)),
}


def texts_of(name: str) -> list[str]:
    if name == "edge":
        return json.loads((GOLDEN / "edge-texts.json").read_text(encoding="utf-8"))
    if name == "panini-papers":
        lines = PAPERS.read_text("utf-8")
    elif name == "wordnet-glosses":
        lines = gzip.decompress(GLOSSES.read_bytes()).decode()
    else:
        lines = (DATA / f"{name}.jsonl").read_text("utf-8")
    return [json.loads(line)["text"] for line in lines.splitlines()]


def on_device(text: PackedText, dhatus=DHATUS, primes=PRIMES) -> dict[str, np.ndarray]:
    cuda = load("cuda")

    def work(values):
        there = values["text"]
        fused = cuda.default_graph(there, dhatus=dhatus, primes=primes)
        shares = cuda.dhatu(there, dhatus=dhatus)
        parts = (cuda.prime_base(shares, primes=primes), *cuda.ambiguity(shares, primes=primes))
        alone = (cuda.digest(there), shares, *parts)
        made = dict(zip(FIELDS, fused, strict=True))
        return made | {f"{name} alone": part for name, part in zip(FIELDS, alone, strict=True)}

    return cuda.offload({"text": text}, work)


def check(text: PackedText, dhatus=DHATUS, primes=PRIMES) -> None:
    got = on_device(text, dhatus, primes)
    wanted = reference.default_graph(text, dhatus=dhatus, primes=primes)
    for name, exact in zip(FIELDS, wanted, strict=True):
        for field in (got[name], got[f"{name} alone"]):
            assert (field.dtype, field.shape) == (exact.dtype, exact.shape)
            assert field.tobytes() == exact.tobytes(), name


def test_the_device_is_sound():
    load("cuda").prepare()


@pytest.mark.parametrize("name", ["edge", "panini-papers", "panini-prompts", "wordnet-glosses"])
def test_every_field_of_golden_texts_is_the_reference_s(name):
    check(PackedText.from_strings(texts_of(name)))


def test_a_million_random_texts_equal_the_reference():
    random = np.random.default_rng(20261121)
    lengths = np.concatenate(
        [random.integers(0, 300, MILLION - 60), random.integers(0, 1 << 20, 60)]
    )
    random.shuffle(lengths)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    text = PackedText(random.integers(0, 256, offsets[-1], np.uint8), offsets)
    step = MILLION // 8
    for start in range(0, MILLION, step):
        check(text[start : start + step])


def test_every_length_to_400_and_block_edges_to_10_kb():
    edges = [edge + by for edge in (512, 1024, 4096, 8192, 9984, 10_000) for by in range(-75, 12)]
    check(PackedText.from_strings([bytes(n * 31 % 256 for n in range(k)) for k in range(401)]))
    check(PackedText.from_strings([bytes(n * 7 % 256 for n in range(k)) for k in edges]))


@pytest.mark.parametrize("width", [np.int32, np.int64])
@pytest.mark.parametrize("first", [0, 1, 2, 3, 17])
def test_offsets_of_both_widths_that_begin_anywhere(width, first):
    whole = PackedText.from_strings(texts_of("edge"))
    check(PackedText(whole.data, whole.offsets.astype(width))[first:])


@pytest.mark.parametrize("width", [np.int32, np.int64])
def test_texts_that_lie_on_the_device_already(width):
    long = ["x" * (1 << 20), "y" * ((1 << 18) - 1)]  # which `offload` leaves to the host
    cuda, text = load("cuda"), PackedText.from_strings([*texts_of("edge"), *long])[3:]
    there = PackedText(cuda.asarray(text.data), cuda.asarray(text.offsets.astype(width)))
    wanted = reference.default_graph(text, dhatus=DHATUS, primes=PRIMES)
    for field, exact in zip(
        cuda.default_graph(there, dhatus=DHATUS, primes=PRIMES), wanted, strict=True
    ):
        assert field.get().tobytes() == exact.tobytes()


@pytest.mark.parametrize("dhatus", INVENTORIES.values(), ids=INVENTORIES)
def test_other_inventories(dhatus):
    texts = ["", "racine", "धातु", *("x" * length for length in range(40, 140))]
    check(PackedText.from_strings(texts), dhatus, (31, 47, 7))


def test_no_texts():
    check(PackedText(np.empty(0, np.uint8), np.zeros(1, np.int64)))
    check(PackedText(np.empty(0, np.uint8), np.zeros(5, np.int64)))


def test_many_threads_at_once():
    text = PackedText.from_strings(texts_of("wordnet-glosses"))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda start: check(text[start : start + 200]), range(0, 1600, 50)))


def test_the_device_is_usable_after_it_ran_out_of_memory():
    import cupy

    pool, text = cupy.get_default_memory_pool(), PackedText.from_strings(["a" * 1000] * 5000)
    pool.free_all_blocks()
    limit = pool.get_limit()
    pool.set_limit(size=pool.used_bytes() + (2 << 20))
    try:
        with pytest.raises(MemoryError):
            on_device(text)
    finally:
        pool.set_limit(size=limit)
    check(text[:100])
