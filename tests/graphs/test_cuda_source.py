"""The CUDA program: how work is distributed, and what compilers make of it. Needs no GPU."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paths import TESTS

from paninifs.graphs.inventories import DHATUS, PRIMES
from paninifs.graphs.kernels import reference
from paninifs.graphs.kernels.chains import Chain, chains_of
from paninifs.graphs.kernels.cuda import cuda_backend as cuda
from paninifs.graphs.kernels.cuda import program
from paninifs.graphs.kernels.cuda import source as cuda_source
from paninifs.graphs.kernels.cuda.source import LARGEST, Specification, groups_of, teams_of

sys.path.insert(0, str(TESTS / "benchmarks"))
import sass

DEFAULT = Specification(DHATUS, digest=True, primes=PRIMES)
OTHERS = {
    "digest": Specification(digest=True),
    "dhatu": Specification(DHATUS),
    "moments": Specification(primes=PRIMES, given=9),
    "twelve": Specification((*DHATUS, "dhātu", "धातु-मूल", "語根"), digest=True, primes=PRIMES),
    "long": Specification(tuple("x" * n for n in (53, 61, 62, 63, 126, 200)), primes=(2, 277)),
}

prefixes = st.lists(st.binary(max_size=130), min_size=1, max_size=20, unique=True)


def chains(prefixes: list[bytes]) -> list[Chain]:
    return [Chain(prefix, column) for column, prefix in enumerate(prefixes)]


@given(prefixes)
def test_every_chain_is_in_one_group_with_those_of_its_length(prefixes: list[bytes]) -> None:
    groups = groups_of(chains(prefixes))
    grouped = [chain for group in groups for chain in group.chains]
    assert sorted(grouped, key=lambda chain: chain.column) == chains(prefixes)
    for group in groups:
        assert 1 <= len(group.chains) <= LARGEST
        (length,) = {len(chain.prefix) for chain in group.chains}
        assert (group.whole, group.tail) == divmod(length, 64)
        same = [len(other.chains) for other in groups if len(other.chains[0].prefix) == length]
        assert max(same) - min(same) <= 1
        assert len(same) == -(-sum(same) // LARGEST)


@given(prefixes)
def test_every_group_is_in_one_team_and_none_has_nothing_to_do(prefixes: list[bytes]) -> None:
    groups = groups_of(chains(prefixes))
    teams = teams_of(groups)
    assert len(teams) == min(2, len(groups))
    assert all(teams)
    assert sorted(map(id, groups)) == sorted(id(group) for team in teams for group in team)
    work = [sum(group.cost for group in team) for team in teams]
    assert max(work) - min(work) <= max(group.cost for group in groups)


@given(st.binary(max_size=200))
def test_the_state_after_a_prefix(prefix: bytes) -> None:
    start, head = cuda_source._start(prefix), cuda_source._head(prefix)
    done = len(prefix) % 64 // 4
    entered = cuda_source._entered(prefix)
    # In round j, `round` expects a at index 16 - j, and so on.
    assert [entered[(16 - done + k) % 8] for k in range(8)] == cuda_source._rounds(
        start, head[:done]
    )
    if not len(prefix) // 64:
        assert start == cuda_source.INITIAL.tolist()


def test_the_numbers_that_python_and_cuda_must_agree_on_do() -> None:
    source = cuda_source.source_of(DEFAULT)
    assert "constexpr int WARPS_PER_TEAM = 2;" in source
    assert cuda.TEXTS_PER_BLOCK == 2 * cuda_source.WARP
    assert "constexpr int NARROW = 1024;" in source
    assert "constexpr int BINS = NARROW + 32 * 50;" in source
    assert cuda._BINS == 1024 + 32 * 50
    assert len(teams_of(groups_of(chains_of(DHATUS, digest=True)))) == 2


@pytest.mark.parametrize("architecture", sass.ARCHITECTURES)
@pytest.mark.slow("NVRTC compiles the whole program")
def test_the_default_program_spills_nothing_on_any_architecture(architecture: int) -> None:
    made = sass.compiled(DEFAULT, architecture)
    assert made.cubin[:4] == b"\x7fELF"
    assert set(made.registers) == {"compute_texts", "count_lengths", "place_bins", "order_texts"}
    assert not any(made.spilled.values())
    assert max(made.registers.values()) <= 128  # four blocks of 128 threads per multiprocessor


@pytest.mark.parametrize("specification", OTHERS.values(), ids=OTHERS)
@pytest.mark.slow("NVRTC compiles the whole program")
def test_other_programs_spill_nothing(specification: Specification) -> None:
    made = sass.compiled(specification, 90)
    main = "compute_moments" if specification.given else "compute_texts"
    assert main in made.registers
    assert not any(made.spilled.values())


def test_a_program_that_does_not_compile_is_said_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sass, "source_of", lambda _: "none of this is C++")
    with pytest.raises(RuntimeError, match="sm_90"):
        sass.compiled(DEFAULT, 90)


def hashes(loops: list[sass.Steady]) -> list[sass.Steady]:
    """Return the loops of the nine dhātus, without that of the digest, which has one chain."""
    assert [loop.chains for loop in loops] == [1, 2, 3, 4]
    return loops[1:]


def test_a_hashed_block_takes_few_instructions_of_the_alu() -> None:
    assert sass.compiler() == "NVRTC 12.9"
    loops = hashes(sass.steady_loops(DEFAULT, 90))
    assert sass.weighted(loops) <= 830
    for loop in loops:
        # At least 64 rounds of ten instructions per chain, and 48 words of six for all chains.
        assert loop.pipes["ALU"] >= 640 * loop.chains + 288
        # So the bound is the ALU, which takes two clocks per instruction of a warp, and neither the
        # issue, which takes one, nor the multiplier.
        assert 2 * loop.pipes["ALU"] >= loop.pipes["ALU"] + loop.pipes["multiplier"]


def test_sums_by_the_alu_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = sass.source_of

    def plain(specification: Specification) -> str:
        source = whole(specification)
        assert "return a * one + b;" in source
        return source.replace("return a * one + b;", "return a + b;")

    monkeypatch.setattr(sass, "source_of", plain)
    assert sass.weighted(hashes(sass.steady_loops(DEFAULT, 90))) > 940


@pytest.mark.slow("NVRTC compiles the whole program")
def test_a_spill_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = sass.source_of
    bound = "TEAMS * TEXTS_PER_BLOCK, 4"

    def crowded(specification: Specification) -> str:
        assert bound in whole(specification)
        return whole(specification).replace(bound, "TEAMS * TEXTS_PER_BLOCK, 6")

    monkeypatch.setattr(sass, "source_of", crowded)
    assert sass.compiled(DEFAULT, 90).spilled["compute_texts"] > 0


# --- pieces of the program, run on the host -------------------------------------------------------


def test_texts_are_taken_in_order_of_length_the_longest_first(cuda_on_host) -> None:
    from cupy import ndarray

    random = np.random.default_rng(0)
    long = (2 ** random.uniform(13, 27, 300)).astype(np.int64)
    lengths = np.concatenate([random.integers(0, 9000, 9000), long])
    random.shuffle(lengths)
    offsets = ndarray(np.concatenate([[0], np.cumsum(lengths)]))
    order = cuda._order(offsets, Specification(digest=True)).get()
    assert np.array_equal(np.sort(order), np.arange(len(lengths)))
    taken = lengths[order]
    # The order within a bin is arbitrary: eight bytes for short texts, 1/32 of the length for long.
    assert (taken[1:] <= np.maximum(taken[:-1] + 7, taken[:-1] * 33 // 32)).all()
    assert (np.minimum.accumulate(taken) + 7 >= np.minimum(taken, 8192)).all()


LOGARITHMS = """
extern "C" __global__ void logarithms(const double *x, long long n, double *result) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) result[i] = logarithm(x[i]);
}
"""


def test_the_logarithm_is_the_project_s_to_the_last_bit(cuda_on_host) -> None:
    import cupy

    random = np.random.default_rng(0)
    x = np.concatenate([random.random(100_000), 10.0 ** random.uniform(-300, 300, 100_000)])
    code = cuda_source.source_of(OTHERS["moments"]) + LOGARITHMS
    kernel = cupy.RawModule(code=code, options=program.OPTIONS).get_function("logarithms")
    made = cupy.empty(x.shape, np.float64)
    kernel((-(-len(x) // 256),), (256,), (cupy.asarray(x), np.int64(len(x)), made))
    assert made.get().tobytes() == reference.log(x).tobytes()
