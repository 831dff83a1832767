"""MinHash signatures and band keys: backends equal the definition, and datasketch's formula."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
from conftest import _cuda_on_host
from datasketch import MinHash
from datasketch.lsh import _optimal_param
from hypothesis import example, given, settings
from hypothesis import strategies as st
from paths import DATA

from paninifs import PackedText, band_keys, minhash
from paninifs.graphs.blocks.band_keys import bands_for
from paninifs.graphs.kernels import Kernels, load, reference
from paninifs.graphs.kernels.shingles import (
    EMPTY,
    LONGEST,
    finished,
    hashes_of,
    murmur3,
    normalised,
    shingles_of,
)
from paninifs.storage.errors import BackendUnavailable, GraphError

CHOICES = [
    {"permutations": 128, "shingles": "words", "size": 3, "seed": 1},
    {"permutations": 7, "shingles": "words", "size": 1, "seed": 0},
    {"permutations": 33, "shingles": "characters", "size": 5, "seed": 2**32 - 1},
    {"permutations": 1, "shingles": "characters", "size": 1, "seed": 9},
    {"permutations": 16, "shingles": "words", "size": LONGEST, "seed": 3},
    {"permutations": 16, "shingles": "characters", "size": LONGEST, "seed": 3},
]
EDGES = [
    b"",
    b" ",
    b"...",
    b"a",
    b"A",
    b"a b",
    b"a-b_c",
    b"\xff",
    b"\x80\x80 \x80",
    b"\0a\0",
    b"ab",
]

texts = st.lists(
    st.binary(max_size=40)
    | st.text(max_size=20).map(str.encode)
    | st.lists(st.sampled_from(["a", "Bc", "mot", "dhātu", "धातु", "語", " ", ", "])).map(
        lambda parts: "".join(parts).encode()
    ),
    max_size=8,
)


@pytest.fixture(params=["cpu", "cuda on-host"], scope="module")
def kernels(request: pytest.FixtureRequest) -> Iterator[Kernels]:
    if request.param == "cpu":
        yield load("cpu")
        return
    with _cuda_on_host():
        yield load("cuda")


def computed(kernels: Kernels, text: PackedText, **params: object) -> np.ndarray:
    made = kernels.offload({"text": text}, lambda there: {"x": kernels.minhash(**there, **params)})
    return made["x"]


@pytest.mark.parametrize("params", CHOICES)
@given(texts=texts)
@example(texts=EDGES)
@example(texts=[])
@settings(max_examples=60, deadline=None)  # the first one may compile
def test_every_backend_equals_the_reference(kernels, params, texts) -> None:
    text = PackedText.from_strings(texts)
    wanted = reference.minhash(text, **params)
    made = computed(kernels, text, **params)
    assert (made.dtype, made.shape) == (np.uint32, (len(texts), params["permutations"]))
    assert made.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("length", [*range(60, 75), 1_000, 70_000])
@pytest.mark.parametrize("params", CHOICES[::2])
def test_long_texts_equal_the_reference(kernels, params, length) -> None:
    whole = " ".join(f"{n * n % 97} é{n}" for n in range(1 + length // 6)).encode()[:length]
    text = PackedText.from_strings([whole, b"x", whole[: length // 2]])
    wanted = reference.minhash(text, **params)
    assert computed(kernels, text, **params).tobytes() == wanted.tobytes()


@pytest.mark.parametrize("width", [pa.string(), pa.large_string()], ids=["int32", "int64"])
def test_slices_and_offset_widths_make_no_difference(kernels, width) -> None:
    strings = ["un mot", "deux mots justes ici", "", "trois", "le quatrième mot est là"]
    whole = PackedText.from_arrow(pa.array(strings, width))
    wanted = reference.minhash(PackedText.from_strings(strings), **CHOICES[0])
    for rows in (slice(0, 5), slice(1, 4), slice(2, 3), slice(5, 5)):
        assert (computed(kernels, whole[rows], **CHOICES[0]) == wanted[rows]).all()


@given(texts=texts, seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["words", "characters"]))
def test_a_signature_is_that_of_datasketch_with_the_same_hash(texts, seed, kind) -> None:
    params = {"permutations": 32, "shingles": kind, "size": 2, "seed": seed}
    made = reference.minhash(PackedText.from_strings(texts), **params)
    for row, text in enumerate(texts):
        theirs = MinHash(num_perm=32, seed=seed, hashfunc=murmur3)
        theirs.update_batch(shingles_of(text, kind, 2))
        assert (made[row] == theirs.hashvalues).all()


@given(st.lists(st.binary(max_size=9)), st.integers(1, 40))
def test_hashes_of_many_shingles_are_those_of_each(shingles, times) -> None:
    made = hashes_of(shingles * times)
    assert made.tolist() == [finished(murmur3(one)) for one in shingles] * times


@pytest.mark.parametrize(
    ("text", "kind", "size", "shingles"),
    [
        ("Un, DEUX; trois!", "words", 2, ["un deux", "deux trois"]),
        ("un", "words", 3, ["un"]),
        ("Un  deux", "characters", 7, ["un deux"]),
        ("Un.deux", "characters", 6, ["un deu", "n deux"]),
        ("ÉÀ é", "characters", 1, ["É", "À", " ", "é"]),
        ("...!?", "words", 1, []),
        ("", "characters", 1, []),
        ("धातु मूल", "words", 1, ["धातु", "मूल"]),
    ],
)
def test_what_a_shingle_is(text, kind, size, shingles) -> None:
    assert [one.decode() for one in shingles_of(text.encode(), kind, size)] == shingles


@given(st.binary(max_size=60))
def test_a_normal_form_is_its_own(text) -> None:
    once = normalised(text)
    assert normalised(once) == once
    assert not once.startswith(b" ")
    assert b"  " not in once


def test_a_text_without_letters_has_no_shingles_and_no_key() -> None:
    text = PackedText.from_strings(["...", "", "x"])
    made = reference.minhash(text, **CHOICES[0])
    assert (made[:2] == EMPTY).all()
    keys = reference.band_keys(made, bands=9, rows=13)
    assert not keys[:2].any()
    assert keys[2].all()


@given(
    shape=st.tuples(st.integers(0, 9), st.integers(1, 5), st.integers(1, 4)),
    spare=st.integers(0, 3),
    seed=st.integers(0, 99),
)
@settings(deadline=None)
def test_band_keys_are_the_same_on_every_backend(kernels, shape, spare, seed) -> None:
    count, bands, rows = shape
    random = np.random.default_rng(seed)
    signatures = random.integers(0, 3, (count, bands * rows + spare), dtype=np.uint32)
    signatures[random.random(count) < 0.3] = EMPTY
    signatures = np.where(signatures == 2, np.uint32(EMPTY), signatures)
    made = kernels.on_host(kernels.band_keys(kernels.asarray(signatures), bands=bands, rows=rows))
    wanted = reference.band_keys(signatures, bands=bands, rows=rows)
    assert (made.dtype, made.shape) == (np.uint64, (count, bands))
    assert made.tobytes() == wanted.tobytes()
    for band in range(bands):
        values = [row.tobytes() for row in signatures[:, band * rows : (band + 1) * rows]]
        empty = (signatures == EMPTY).all(axis=1)
        for one in range(count):
            for other in range(count):
                if not (empty[one] or empty[other]):
                    equal = values[one] == values[other]
                    assert (wanted[one, band] == wanted[other, band]) == equal


@pytest.mark.parametrize("permutations", [16, 64, 128, 200])
def test_bands_are_those_that_datasketch_chooses(permutations) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the integration
        for threshold in (0.05, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95):
            chosen = bands_for(threshold, permutations)
            assert chosen == _optimal_param(threshold, permutations, 0.5, 0.5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"permutations": 0},
        {"permutations": 1.5},
        {"permutations": True},
        {"shingles": "letters"},
        {"size": 0},
        {"size": LONGEST + 1},
        {"seed": -1},
        {"seed": 2**32},
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused(wrong) -> None:
    (name,) = wrong
    with pytest.raises(GraphError, match=f"{name}.*not"):
        minhash(**wrong)


def test_bands_without_values_are_refused() -> None:
    with pytest.raises(GraphError, match="at least 1, not 0 and 3"):
        band_keys(0, 3)


def test_a_device_whose_host_has_no_compiler_says_so(monkeypatch) -> None:
    from paninifs.graphs.kernels.cuda import minhashes_on_host

    monkeypatch.setattr(minhashes_on_host, "host_kernels", lambda: None)
    with pytest.raises(BackendUnavailable, match="pip install numba"):
        minhashes_on_host.minhash(PackedText.from_strings(["a"]), **CHOICES[0])


@pytest.mark.slow("hashes ten thousand glosses by datasketch")
def test_signatures_take_a_tenth_of_the_time_of_datasketch() -> None:
    import gzip
    import json

    packed = gzip.decompress((DATA / "wordnet-2000.jsonl.gz").read_bytes())
    glosses = [json.loads(line)["text"] for line in packed.decode().splitlines()]
    text = PackedText.from_strings(glosses)
    shingles = [shingles_of(one.encode(), "words", 3) for one in glosses]
    kernels, params = load("cpu"), CHOICES[0]
    kernels.minhash(text, **params)
    ours, theirs = [], []
    for _ in range(3):
        begun = time.process_time()
        for _ in range(20):
            kernels.minhash(text, **params)
        ours.append((time.process_time() - begun) / 20)
        begun = time.process_time()
        for one in shingles:
            MinHash(num_perm=128).update_batch(one)  # with its own hash, and shingles ready made
        theirs.append(time.process_time() - begun)
    assert min(theirs) > 10 * min(ours)
