"""The conformance suite: every backend equals `reference` bit for bit, which is checked too."""

from __future__ import annotations

import ast
import gzip
import hashlib
import inspect
import json
import math
import os
import platform
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from decimal import Context, Decimal
from functools import cache, wraps
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from conftest import _cuda_on_host
from hypothesis import example, given, settings
from hypothesis import strategies as st
from paths import CUDA_ON_HOST, DATA, GOLDEN, PAPERS

from paninifs import PackedText, default_graph
from paninifs.graphs.inventories import DHATUS, PRIMES
from paninifs.graphs.kernels import BACKENDS, NUMERIC_VERSION, Kernels, load, reference
from paninifs.graphs.kernels.chains import Chain
from paninifs.graphs.kernels.cpu import cpu_backend, moments, sha_hashlib, sha_ni, sha_paths
from paninifs.graphs.kernels.cpu.compiled import moments as compiled_moments
from paninifs.storage.errors import BackendUnavailable

GOLDEN_NAMES = ("edge", "panini-papers", "panini-prompts", "wordnet-glosses")
FIELDS = (
    "digest",
    "dhatu",
    "prime_base",
    "variance",
    "entropy",
    "ambiguity",
    "ambiguity_normalised",
)

# Prefixes of one or many lengths, shorter and longer than a SHA-256 block, not all ASCII.
INVENTORIES = {
    "one": ("RELATE",),
    "two": ("a", "ब"),
    "twelve": (*DHATUS, "dhātu", "धातु-मूल", "語根"),
    "block edges": tuple("x" * length for length in (53, 54, 61, 62, 63, 117, 118, 126, 200)),
    "with colons": ("a", "a:", "a::", "::"),
}
PRIME_INVENTORIES = {
    "default": PRIMES,
    "two": (2, 3),
    "reversed": PRIMES[::-1],
    "large": (31, 47, 7),
    "twelve": (*PRIMES, 31, 37),
}


# Every SHA-256 path of this processor, and the CUDA kernels compiled for the host. On a device,
# test_gpu_conformance.py runs the same tests.
CHOSEN = sha_paths.selected  # replaced by `variant`
VARIANTS = [*(f"cpu {path}" for path in sha_paths.usable()), "cuda on-host"]


class Offloaded:
    """A backend with a device, whose functions take and return host arrays."""

    def __init__(self, kernels: Kernels) -> None:
        self._kernels = kernels

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._kernels, name)
        if name in ("prepare", "asarray", "on_host", "offload") or not callable(function):
            return function

        @wraps(function)
        def call(given: Any, **parameters: Any) -> Any:
            if isinstance(given, PackedText):
                made = self._kernels.offload(
                    {"text": given},
                    lambda there: dict(enumerate(several(function(there["text"], **parameters)))),
                )
                arrays = tuple(made.values())
            else:
                made = function(self._kernels.asarray(given), **parameters)
                arrays = tuple(array.get() for array in several(made))
            return arrays if len(arrays) > 1 else arrays[0]

        return call


def several(made: Any) -> tuple[Any, ...]:
    return made if isinstance(made, tuple) else (made,)


@contextmanager
def variant(name: str) -> Iterator[Kernels]:
    """A backend and its path to SHA-256."""
    backend, _, way = name.partition(" ")
    with ExitStack() as stack:
        if way == "on-host":
            stack.enter_context(_cuda_on_host())
        elif way:
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            patch.setattr(sha_paths, "selected", lambda: sha_paths.PATHS[way])
        kernels = load(backend)
        yield Offloaded(kernels) if backend == "cuda" else kernels


@pytest.fixture(params=VARIANTS, scope="session")
def kernels(request: pytest.FixtureRequest) -> Iterator[Kernels]:
    """Each variant in turn."""
    with variant(request.param) as found:
        yield found


@pytest.fixture(params=["reference", "cpu", "cuda on-host"], scope="session")
def every_backend(request: pytest.FixtureRequest) -> Iterator[Kernels]:
    """Each backend in turn, including the reference."""
    with variant(request.param) as found:
        yield found


def lines(path: Path) -> list[str]:
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line)["text"] for line in raw.decode().splitlines()]


@cache
def golden_texts(name: str) -> list[str]:
    if name == "edge":
        return json.loads((GOLDEN / "edge-texts.json").read_text(encoding="utf-8"))
    if name == "panini-papers":
        return lines(PAPERS)
    return lines(DATA / {"wordnet-glosses": "wordnet-2000.jsonl.gz"}.get(name, f"{name}.jsonl"))


def golden(name: str) -> dict[str, Any]:
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        return dict(arrays)


def compute(
    kernels: Kernels,
    text: PackedText,
    dhatus: Sequence[str] = DHATUS,
    primes: Sequence[int] = PRIMES,
) -> dict[str, Any]:
    """Return every field of the default graph as computed by one backend."""
    weights = kernels.dhatu(text, dhatus=tuple(dhatus))
    rest = kernels.ambiguity(weights, primes=tuple(primes))
    values = (kernels.digest(text), weights, kernels.prime_base(weights, primes=tuple(primes)))
    return dict(zip(FIELDS, (*values, *rest), strict=True))


def bits(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}")


def assert_same_bits(got: dict[str, Any], wanted: dict[str, Any]) -> None:
    for name in FIELDS:
        one, other = got[name], wanted[name]
        assert isinstance(one, np.ndarray), name
        assert (one.dtype, one.shape) == (other.dtype, other.shape), name
        unlike = bits(one) != bits(other)
        rows = np.flatnonzero(unlike.reshape(len(one), math.prod(one.shape[1:])).any(axis=1))
        assert not len(rows), f"{name} differs in rows {rows[:5]}: {one[rows[0]]} {other[rows[0]]}"


def check(
    kernels: Kernels,
    text: PackedText,
    dhatus: Sequence[str] = DHATUS,
    primes: Sequence[int] = PRIMES,
) -> None:
    wanted = compute(reference, text, dhatus, primes)
    assert len(wanted["digest"]) == len(text)
    assert_same_bits(compute(kernels, text, dhatus, primes), wanted)
    fused = kernels.default_graph(text, dhatus=tuple(dhatus), primes=tuple(primes))
    assert_same_bits(dict(zip(FIELDS, fused, strict=True)), wanted)


def filler(length: int) -> bytes:
    """Return bytes without repeated runs."""
    return hashlib.shake_128(str(length).encode()).digest(length)


# --- the suite itself -----------------------------------------------------------------------------


def test_every_backend_is_among_those_compared() -> None:
    assert {name.partition(" ")[0] for name in (*VARIANTS, "reference")} == set(BACKENDS)
    assert "cpu hashlib" in VARIANTS
    assert load("cpu") is not load("reference")


@pytest.mark.parametrize("field", FIELDS)
def test_the_comparison_sees_one_bit_in_any_field(field: str) -> None:
    text = PackedText.from_strings(["a", "b"])
    wanted, got = compute(reference, text), compute(reference, text)
    assert_same_bits(got, wanted)
    bits(got[field]).reshape(-1)[-1] ^= 1
    with pytest.raises(AssertionError, match=f"{field} differs"):
        assert_same_bits(got, wanted)


@pytest.mark.parametrize(
    "function",
    [
        "digest",
        "dhatu",
        "prime_base",
        "ambiguity",
        "default_graph",
        "prepare",
    ],
)
def test_every_backend_has_the_reference_s_signatures(kernels: Kernels, function: str) -> None:
    def parameters(code: Callable[..., Any]) -> list[tuple[str, Any]]:
        return [(p.name, p.kind) for p in inspect.signature(code).parameters.values()]

    assert parameters(getattr(kernels, function)) == parameters(getattr(reference, function))


def test_an_unknown_backend_is_refused_with_the_choices() -> None:
    with pytest.raises(BackendUnavailable, match=r"'cpx'.*reference.*cpu"):
        load("cpx")


def test_a_backend_without_its_package_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(BACKENDS, "ghost", "no_such_package_as_this")
    with pytest.raises(BackendUnavailable, match=r"'ghost' needs no_such_package_as_this"):
        load("ghost")


# --- every backend against the reference ----------------------------------------------------------


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_golden_texts_are_the_same_on_every_backend(kernels: Kernels, name: str) -> None:
    check(kernels, PackedText.from_strings(golden_texts(name)))


def test_every_length_from_0_to_400_is_the_same_on_every_backend(kernels: Kernels) -> None:
    check(kernels, PackedText.from_strings([filler(length) for length in range(401)]))


def test_lengths_around_block_edges_equal_the_reference(
    kernels: Kernels,
) -> None:
    edges = [55, 56, 63, 64, 119, 120, 128, 512, 1024, 4096, 8192, 9984, 10_000]
    # A prefix D:: shifts the edges by its length, 4 to 8 bytes here.
    lengths = {edge + by for edge in edges for by in range(-9, 2)}
    assert max(lengths) > 10_000
    check(kernels, PackedText.from_strings([filler(length) for length in sorted(lengths)]))


def test_unusual_characters_equal_the_reference(
    kernels: Kernels,
) -> None:
    texts = ["धातु", "語根", "dhātu — é", "🙏" * 16, "\0", "a\0b", "\0" * 64, "::", "RELATE::"]
    texts += ["RELATE::a", ":::", "a::b::c", "\n", " ", "\ufeff", "\u0301" * 40]
    check(kernels, PackedText.from_strings(texts))


@pytest.mark.parametrize("width", [pa.string(), pa.large_string()], ids=["int32", "int64"])
def test_offset_widths_and_slices_equal_the_reference(kernels: Kernels, width: pa.DataType) -> None:
    texts = golden_texts("panini-prompts")
    whole = PackedText.from_arrow(pa.array(texts, width))
    assert whole.offsets.dtype == (np.int32 if width == pa.string() else np.int64)
    wanted = compute(reference, PackedText.from_strings(texts))
    for rows in (slice(0, 1), slice(1, 2), slice(37, 150), slice(199, 200), slice(0, 200)):
        part = whole[rows]
        assert bool(part.offsets[0]) == bool(rows.start)
        assert_same_bits(compute(kernels, part), {k: v[rows] for k, v in wanted.items()})


def test_a_sliced_arrow_array_is_the_same_on_every_backend(kernels: Kernels) -> None:
    array = pa.array(golden_texts("edge"), pa.string()).slice(5, 40)
    text = PackedText.from_arrow(array)
    assert text.offsets[0] > 0
    assert text.to_bytes() == [one.encode() for one in golden_texts("edge")[5:45]]
    check(kernels, text)


def test_offsets_beyond_2_gib_are_the_same_on_every_backend(kernels: Kernels) -> None:
    edge = 2**31
    data = np.zeros(edge + 512, np.uint8)  # untouched pages take no memory
    data[edge - 256 :] = np.frombuffer(filler(768), np.uint8)
    offsets = np.array([edge - 200, edge - 100, edge, edge, edge + 70, edge + 512], np.int64)
    text = PackedText(data, offsets)
    assert text.to_bytes()[0] == filler(768)[56:156]
    check(kernels, text)


@pytest.mark.parametrize("first", [0, 3])
def test_no_texts_make_empty_fields_on_every_backend(kernels: Kernels, first: int) -> None:
    text = PackedText(np.arange(first, dtype=np.uint8), np.array([first], np.int64))
    assert len(text) == 0
    check(kernels, text)
    assert compute(kernels, text)["dhatu"].shape == (0, 9)


def test_empty_texts_without_bytes_equal_the_reference(
    kernels: Kernels,
) -> None:
    check(kernels, PackedText(np.empty(0, np.uint8), np.zeros(4, np.int32)))


@pytest.mark.parametrize("primes", PRIME_INVENTORIES.values(), ids=PRIME_INVENTORIES)
@pytest.mark.parametrize("dhatus", INVENTORIES.values(), ids=INVENTORIES)
def test_custom_inventories_are_the_same_on_every_backend(
    kernels: Kernels, dhatus: tuple[str, ...], primes: tuple[int, ...]
) -> None:
    default_graph(dhatus=dhatus, primes=primes)  # is not refused
    texts = ["", "racine", "धातु", *(filler(length) for length in range(40, 72))]
    check(kernels, PackedText.from_strings(texts), dhatus, primes)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.one_of(st.text(), st.binary(max_size=200)), max_size=12), st.booleans())
@example(["\0", "", "\x80"], True)
def test_any_text_is_the_same_on_every_backend(
    kernels: Kernels, texts: list[str | bytes], narrow: bool
) -> None:
    text = PackedText.from_strings(texts)
    if narrow:
        text = PackedText(text.data, text.offsets.astype(np.int32))
    check(kernels, text)


@pytest.mark.slow("every inventory is a program that is compiled")
def test_any_inventory_is_the_same_on_every_backend(kernels: Kernels) -> None:
    @settings(deadline=None, max_examples=4 if isinstance(kernels, Offloaded) else 25)
    @given(
        st.lists(st.text(min_size=1, max_size=70), min_size=1, max_size=12, unique=True),
        st.lists(st.sampled_from([2, 3, 5, 7, 11, 13, 31, 47]), min_size=2, unique=True),
        st.lists(st.text(max_size=80), min_size=1, max_size=4),
    )
    def any_inventory(dhatus: list[str], primes: list[int], texts: list[str]) -> None:
        check(kernels, PackedText.from_strings(texts), dhatus, primes)

    any_inventory()  # CUDA compiles a program for each, so there are few


def rows_of_weights(count: int = 9) -> np.ndarray:
    """Return unusual weights: all on one dhātu, tiny ones, zeros, random ones.

    float32 hides a difference in the last bits of float64 unless nearly everything cancels: so the
    last rows have bases that differ from their mean by little, and entropies near zero.
    """
    random = np.random.default_rng(20260101)
    tiny = np.full((1, count), np.float32(1e-30))
    even = 10 ** random.uniform(-26, -14, (5_000, count))
    even[:, 0] = random.uniform(0.1, 1, 5_000)
    sure = np.zeros((5_000, count))
    sure[:, 3] = random.uniform(0.3, 0.7, 5_000)
    sure[:, 4] = 1 - sure[:, 3]
    return np.concatenate(
        [
            np.zeros((2, count)),
            np.eye(count),
            tiny,
            np.full((1, count), 1 / count),
            random.dirichlet(np.ones(count), 20_000),
            random.dirichlet(np.full(count, 0.05), 5_000),
            even,
            sure,
        ]
    ).astype(np.float32)


FAR_APART = {**PRIME_INVENTORIES, "far apart": (2, 277)}


@pytest.mark.parametrize("primes", FAR_APART.values(), ids=FAR_APART)
def test_arithmetic_equals_the_reference_for_any_weights(
    kernels: Kernels, primes: tuple[int, ...]
) -> None:
    weights = rows_of_weights()
    before = weights.copy()
    names = FIELDS[2:]
    got = (kernels.prime_base(weights, primes=primes), *kernels.ambiguity(weights, primes=primes))
    wanted = (
        reference.prime_base(weights, primes=primes),
        *reference.ambiguity(weights, primes=primes),
    )
    for name, one, other in zip(names, got, wanted, strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape), name
        assert np.array_equal(bits(one), bits(other)), name
    assert np.array_equal(bits(weights), bits(before)), "the weights were written to"


def test_all_zero_weights_make_zeros_everywhere(every_backend: Kernels) -> None:
    kernels = every_backend
    zeros = np.zeros((3, 9), np.float32)
    base = kernels.prime_base(zeros, primes=PRIMES)
    for array in (base, *kernels.ambiguity(zeros, primes=PRIMES)):
        assert array.shape[0] == 3
        assert not bits(array).any()  # +0.0, no NaN


def test_no_backend_contracts_or_uses_another_logarithm() -> None:
    """Checked in the source: float32 shows the last bit of a logarithm in one of 10^8 values."""
    sources = sorted(Path(reference.__file__).parent.rglob("*.py"))
    assert {path.stem for path in sources} >= {
        module.rpartition(".")[2] for module in BACKENDS.values()
    }
    functions = 0
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            functions += isinstance(node, ast.FunctionDef)
            if isinstance(node, ast.keyword):
                assert node.arg != "fastmath", f"{path.name}:{node.value.lineno}"
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                other = node.attr.startswith("log") and node.value.id in MATHS
                assert not other, f"{path.name}:{node.lineno} {ast.unparse(node)}"
    assert functions > 10


MATHS = ("math", "np", "numpy", "jnp", "cp", "cupy", "libdevice")


def test_all_zero_hash_bytes_make_zero_shares_on_the_cpu() -> None:
    shares = moments.shares(np.array([[1275] * 9, [0] * 9], np.int32))
    assert (shares[0] == np.float32(1 / 9)).all()
    assert not bits(shares[1]).any()


def test_all_zero_hash_bytes_make_zero_shares_in_the_reference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Zero:
        def digest(self) -> bytes:
            return bytes(32)

    monkeypatch.setattr(reference.hashlib, "sha256", lambda _: Zero())
    shares = reference.dhatu(PackedText.from_strings(["a"]), dhatus=DHATUS)
    assert not bits(shares).any()


@pytest.mark.slow("two thousand texts by the reference, then by eight threads")
def test_many_threads_at_once_get_the_same_on_every_backend(kernels: Kernels) -> None:
    text = PackedText.from_strings(golden_texts("wordnet-glosses"))
    wanted = compute(reference, text)
    inventory = INVENTORIES["twelve"]
    other = compute(reference, text[:100], inventory, (2, 3))
    start = threading.Barrier(8)

    def work(thread: int) -> int:
        start.wait(timeout=60)
        compared = 0
        for round_ in range(4):
            rows = slice(thread * 50 + round_ * 300, thread * 50 + round_ * 300 + 400)
            assert_same_bits(compute(kernels, text[rows]), {k: v[rows] for k, v in wanted.items()})
            assert_same_bits(compute(kernels, text[:100], inventory, (2, 3)), other)
            compared += 1
        return compared

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) == 32


# The pages before and behind the buffer are unreadable: one byte too many ends the process.
GUARDED = """
import ctypes, mmap, sys
import numpy as np
from paninifs.graphs.kernels import load
from paninifs.graphs.kernels.cpu import sha_paths
from paninifs.storage.text import PackedText

backend, what, path = sys.argv[1:]
if backend == "cpu":
    sha_paths.selected = lambda: sha_paths.PATHS[path]
kernels, there = load(backend), np.asarray
if backend == "cuda":
    from cupy import ndarray as there  # which views the memory that it is given
page = mmap.PAGESIZE
libc = ctypes.CDLL(None, use_errno=True)
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
memory = mmap.mmap(-1, 3 * page)
start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
whole = np.frombuffer(memory, np.uint8)
whole[page : 2 * page] = np.arange(page) % 251
for guard in (start, start + 2 * page):
    assert libc.mprotect(guard, page, 0) == 0, ctypes.get_errno()
if what != "exact":
    print(whole[page - 1 if what == "before" else 2 * page])
for length in (1, 3, 4, 5, 55, 56, 64, 120, 191, 192, 193, 255, 256, 257, 1000, page):
    for data in (whole[page : page + length], whole[2 * page - length : 2 * page]):
        for width in (np.int32, np.int64):
            for ends in ([0, length], [0, length // 2, length], [0, 0, length, length]):
                text = PackedText(there(data), there(np.array(ends, width)))
                kernels.digest(text)
                kernels.dhatu(text, dhatus=("RELATE", "EVAL", "FEEL"))
print("done")
"""


@pytest.mark.parametrize("name", ["reference", *VARIANTS])
@pytest.mark.parametrize("what", ["exact", "before", "behind"])
def test_no_backend_reads_a_byte_outside_the_buffer(name: str, what: str) -> None:
    backend, _, path = name.partition(" ")
    if what != "exact" and backend != "reference":
        return  # one case shows that the guard pages work
    ran = subprocess.run(
        [sys.executable, "-P", "-c", GUARDED, backend, what, path],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([*sys.path, str(CUDA_ON_HOST)]),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if what == "exact":
        assert (ran.returncode, ran.stdout) == (0, "done\n"), ran.stderr
    else:
        assert ran.returncode in (-signal.SIGSEGV, -signal.SIGBUS)


# --- the reference against the user's own numbers and the definition ------------------------------


def test_the_default_inventories_are_the_definition_s() -> None:
    assert " ".join(DHATUS) == "RELATE MODAL EXIST EVAL COMM CAUSE ITER DECIDE FEEL"
    assert PRIMES == (2, 3, 5, 7, 11, 13, 17, 19, 23, 29)


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_the_user_s_own_numbers_come_out(every_backend: Kernels, name: str) -> None:
    wanted = golden(name)
    assert len(wanted["digest"]) == {"edge": 71, "panini-papers": 129, "panini-prompts": 200}.get(
        name, 2000
    )
    got = compute(every_backend, PackedText.from_strings(golden_texts(name)))
    for field in ("dhatu", "digest"):
        assert got[field].dtype == wanted[field].dtype
        assert np.array_equal(bits(got[field]), bits(wanted[field])), field
    for field in ("prime_base", "ambiguity"):
        np.testing.assert_allclose(got[field], wanted[field], rtol=1e-5, atol=0, err_msg=field)


def test_hashes_are_those_of_plain_hashlib(every_backend: Kernels) -> None:
    texts = [*golden_texts("edge"), *golden_texts("panini-prompts")]
    packed = PackedText.from_strings(texts)
    for dhatus in (DHATUS, *INVENTORIES.values()):
        got = every_backend.dhatu(packed, dhatus=dhatus)
        for row, text in enumerate(texts):
            weights = []
            for name in dhatus:
                b = hashlib.sha256(f"{name}::{text}".encode()).digest()
                weights.append(sum(b[i] for i in (0, 5, 13, 21, 29)))
            shares = [np.float32(weight / sum(weights)) for weight in weights]
            assert got[row].tolist() == shares, (text, dhatus)
    digests = every_backend.digest(packed)
    assert [bytes(row) for row in digests] == [hashlib.sha256(t.encode()).digest() for t in texts]


@pytest.mark.parametrize("primes", PRIME_INVENTORIES.values(), ids=PRIME_INVENTORIES)
def test_the_reference_is_the_definition_written_out(primes: tuple[int, ...]) -> None:
    weights = np.concatenate([rows_of_weights()[2:300], golden("panini-prompts")["dhatu"]])
    base = reference.prime_base(weights, primes=primes)
    got = np.stack(reference.ambiguity(weights, primes=primes), axis=1)
    m = len(primes)
    for row, shares in enumerate(weights.tolist()):
        x = []
        for p in primes:
            total = 0.0
            for k in range(9):
                total += shares[k] * p ** (k % p)
            x.append(total)
        q = [one / (math.fsum(x) + 1e-8) for one in x]
        variance = math.fsum((one - math.fsum(x) / m) ** 2 for one in x) / m
        entropy = -math.fsum(one * math.log(one + 1e-8) for one in q)
        spread = math.fsum((one - math.fsum(q) / m) ** 2 for one in q) / m * m**2 / (m - 1)
        normalised = 0.7 * entropy / math.log(m) + 0.3 * spread
        assert base[row].tolist() == [np.float32(one) for one in x]
        wanted = (variance, entropy, 0.7 * entropy + 0.3 * variance, normalised)
        # If a variance nearly cancels, its accuracy in float64 depends on the magnitude of x.
        slack = 1e-14 * max(1.0, max(x) ** 2)
        np.testing.assert_allclose(got[row], wanted, rtol=3e-7, atol=slack)


# All seven fields of the golden texts per numeric version, which is raised if any bit changes.
PINNED = {1: "b8cf0f7401f2279b3db604c09e11561fb9a011b3197aa1184c56deddca406d91"}


def test_no_bit_of_any_field_changes_within_a_numeric_version() -> None:
    whole = hashlib.sha256()
    for name in GOLDEN_NAMES:
        for field, array in compute(reference, PackedText.from_strings(golden_texts(name))).items():
            whole.update(f"{name} {field} {array.dtype.newbyteorder('<')}".encode())
            whole.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
    assert whole.hexdigest() == PINNED[NUMERIC_VERSION]


@pytest.mark.parametrize("primes", PRIME_INVENTORIES.values(), ids=PRIME_INVENTORIES)
def test_parts_of_normalised_ambiguity_lie_within_0_and_1(
    primes: tuple[int, ...],
) -> None:
    weights = np.concatenate([rows_of_weights(), golden("wordnet-glosses")["dhatu"]])
    _, entropy, _, normalised = (
        part.astype(np.float64) for part in reference.ambiguity(weights, primes=primes)
    )
    first = entropy / math.log(len(primes))
    second = (normalised - 0.7 * first) / 0.3
    # The ln(q + 1e-8) of the definition leaves an entropy of -1e-8 where one q is 1.
    for part, slack in ((first, 3e-8), (second, 1e-6)):
        assert part.min() >= -slack
        assert part.max() <= 1 + slack
    assert first.max() > 0.5
    assert second.max() > 0.2


def test_the_largest_variance_of_any_inventory_allowed_is_finite() -> None:
    weights = np.eye(9, dtype=np.float32)
    primes = (2, 277)
    default_graph(primes=primes)
    with np.errstate(all="raise"):
        for part in reference.ambiguity(weights, primes=primes):
            assert np.isfinite(part).all()


# --- the logarithm --------------------------------------------------------------------------------

DIGITS = Context(prec=40)


def points() -> list[float]:
    """Return numbers in [1e-8, 1 + 1e-8], even in value and magnitude, dense at the joints."""
    random = np.random.default_rng(7)
    joints = [1.0, *(2.0**-e for e in range(27)), *(math.sqrt(0.5) * 2.0**-e for e in range(27))]
    near = [joint * (1 + step * 2.0**-52) for joint in joints for step in range(-6, 7)]
    near += [joint * (1 + step * 1e-3) for joint in joints for step in range(-6, 7)]
    some = [*random.uniform(0, 1, 4000), *np.exp(random.uniform(math.log(1e-8), 0, 4000)), *near]
    ends = [1e-8, 1 + 1e-8, 0.1, 0.1 + 1e-8]
    return [float(x) for x in [*some, *ends] if 1e-8 <= x <= 1 + 1e-8]


def test_the_log_is_within_2_ulp_of_the_exact_one() -> None:
    numbers = points()
    assert len(numbers) > 8000
    got = reference.log(np.array(numbers))
    for x, value in zip(numbers, got.tolist(), strict=True):
        exact = Decimal(x).ln(DIGITS)
        ulp = Decimal(math.ulp(float(exact)))
        assert abs(Decimal(value) - exact) <= 2 * ulp, x


def test_the_log_is_that_of_the_standard_library_to_4_ulp() -> None:
    numbers = points()
    for x, value in zip(numbers, reference.log(np.array(numbers)).tolist(), strict=True):
        assert abs(value - math.log(x)) <= 4 * math.ulp(math.log(x)), x


def test_the_log_of_one_is_zero() -> None:
    assert bits(reference.log(np.array([1.0])))[0] == 0


def test_the_cpu_logarithm_equals_the_reference() -> None:
    numbers = np.array([*points(), 2.0, 3.0, 10.0, 12.0, 1e300, 1e-300])
    got, used = np.empty_like(numbers), numbers.copy()
    compiled_moments._log(used, used.view(np.int64), got)
    assert np.array_equal(bits(got), bits(reference.log(numbers)))


# --- the paths of the CPU -------------------------------------------------------------------------

# The features of a smaller processor as Numba's target; this processor may have more.
TARGETS = {
    "hashlib": ("generic", ""),
    "avx2": ("haswell", "+sse4.2,+avx,+avx2,+bmi,+bmi2,+fma"),
    "avx512": ("skylake-avx512", "+sse4.2,+avx,+avx2,+bmi2,+fma,+avx512f,+avx512bw,+avx512vl"),
    "sha-ni": ("goldmont", "+sse4.2,+sha"),
}

RESTRICTED = """
import hashlib, sys
import numpy as np
from paninifs.graphs.kernels import load, reference
from paninifs.graphs.kernels.cpu import sha_paths
from paninifs.storage.text import PackedText

assert sha_paths.selected().name == sys.argv[1], sha_paths.usable()
texts = [hashlib.shake_128(str(n).encode()).digest(n) for n in [*range(0, 400, 3), 5000, 10_000]]
text = PackedText.from_strings(texts)
load("cpu").prepare()
what = {"dhatus": ("RELATE", "MODAL", "EVAL", "FEEL"), "primes": (2, 3, 5)}
wanted = reference.default_graph(text, **what)
for got, wanted in zip(load("cpu").default_graph(text, **what), wanted, strict=True):
    assert got.tobytes() == wanted.tobytes()
print("same", "numba" in sys.modules)
"""


def lesser(path: str, code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    name, features = TARGETS[path]
    target = {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features}
    return subprocess.run(
        [sys.executable, "-P", "-c", code, path],
        # Freed memory is overwritten, so that using it has a visible effect (glibc).
        env={**os.environ, **target, "NUMBA_CACHE_DIR": str(folder), "MALLOC_PERTURB_": "165"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.soak("compiles all kernels for each processor")
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="targets of x86-64")
@pytest.mark.parametrize("path", TARGETS)
def test_a_lesser_processor_takes_its_own_path_and_gets_the_same(path: str, tmp_path: Path) -> None:
    if path not in sha_paths.usable():
        pytest.skip(f"this processor has no {path} to run")
    for compiles in (True, False):  # cached code must run in a process without Numba
        ran = lesser(path, RESTRICTED, tmp_path)
        assert (ran.returncode, ran.stdout) == (0, f"same {compiles}\n"), ran.stderr


def test_a_path_that_is_named_is_taken(tmp_path: Path) -> None:
    path = sha_paths.usable()[-2 if len(sha_paths.usable()) > 1 else -1]
    code = "from paninifs.graphs.kernels.cpu import sha_paths as s; print(s.selected().name)"
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={**os.environ, sha_paths.VARIABLE: path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == path


@pytest.mark.parametrize("wanted", ["sha-ni", "sse9"])
def test_an_unsupported_path_is_refused_naming_others(
    monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    monkeypatch.setenv(sha_paths.VARIABLE, wanted)
    monkeypatch.setattr(sha_paths, "usable", lambda: ("avx2", "hashlib"))
    with pytest.raises(BackendUnavailable, match=f"{wanted} cannot be used; .* avx2, hashlib"):
        CHOSEN.__wrapped__()


@pytest.mark.parametrize("what", ["weights", "digests"])
def test_prepare_finds_a_path_that_hashes_wrongly(
    monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def wrong(text: PackedText, chains: Any, weights: Any, digests: Any) -> None:
        sha_hashlib.hash_texts(text, chains, weights, digests)
        {"weights": weights, "digests": digests}[what][-1, 0] ^= 1

    monkeypatch.setattr(
        sha_paths, "selected", lambda: sha_paths.HashPath("odd", "", frozenset(), wrong)
    )
    with pytest.raises(BackendUnavailable, match=r"odd.* compute wrong results on this machine"):
        cpu_backend.prepare.__wrapped__()


@given(lengths=st.lists(st.integers(1, 70), min_size=1, max_size=24))
def test_lots_hold_every_chain_once_and_never_more_than_five(lengths: list[int]) -> None:
    chains = [Chain(b"x" * length, column) for column, length in enumerate(lengths)]
    lots = sha_ni.lots_of(chains)
    assert sorted(c.column for lot in lots for c in lot) == list(range(len(chains)))
    assert max(map(len, lots)) <= 5
    # The cost of the rounds: a lot of fewer than four chains costs as much as four.
    assert sum(max(4, len(lot)) for lot in lots) <= len(chains) + 4
