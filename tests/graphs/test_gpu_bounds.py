"""What bounds a GPU, counted in the machine code, and a variant of the kernels to compare with."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from paths import TESTS

from paninifs.engine.costs import gpu_limits
from paninifs.engine.costs.catalogue_files import open_catalogue
from paninifs.graphs.inventories import DHATUS, PRIMES
from paninifs.graphs.kernels import load, reference, selftest
from paninifs.graphs.kernels.cuda.source import Specification, source_of

sys.path.insert(0, str(TESTS / "benchmarks"))
sys.path.insert(0, str(TESTS / "benchmarks" / "gpu_kit"))
import sass
from looped_source import looped, looped_heads
from measure import Table
from on_gpu import bounds
from on_gpu.results import Results

DEFAULT = Specification(DHATUS, digest=True, primes=PRIMES)
PREFIXES = [name.encode() + b"::" for name in DHATUS]
H200 = bounds.Device(processors=132, capability=(9, 0), clock=1.98e9)
T4 = bounds.Device(processors=40, capability=(7, 5), clock=1.59e9)


@pytest.mark.slow("NVRTC compiles the whole program")
def test_the_bounds_are_what_the_machine_code_executes():
    digest, *nine = sass.executed(DEFAULT, 90)
    for part, counted in (
        ("first", bounds.FIRST),
        ("middle", bounds.MIDDLE),
        ("last", bounds.LAST),
    ):
        mean = sum(getattr(group, part) * group.chains for group in nine) / len(DHATUS)
        assert counted == pytest.approx(mean, rel=0.01)
    of_digest = bounds.DIGEST_MIDDLE, bounds.DIGEST_LAST
    assert of_digest == pytest.approx((digest.middle, digest.last), rel=0.01)
    float64 = sass.float64_per_text(DEFAULT, 90)
    assert float64 == pytest.approx(bounds.FLOAT64, rel=0.01)


@pytest.mark.slow("NVRTC compiles the whole program")
def test_less_is_executed_than_all_branches_have():
    every = sass.steady_loops(DEFAULT, 90)
    for group, loop in zip(sass.executed(DEFAULT, 90), every, strict=True):
        assert group.chains == loop.chains
        # At least 64 rounds of ten, and 48 words of six for all chains.
        assert 640 + 288 / group.chains <= group.middle < group.last < loop.alu


def test_blocks_of_a_text_by_where_they_lie():
    lengths = np.array([0, 100, 1000])
    # Behind `RELATE::`, with at least nine bytes of padding, these have 1, 2 and 16 blocks.
    assert bounds.hashed_blocks(lengths, [b"RELATE::"]) == 19
    hashing = 3 * bounds.FIRST + 2 * bounds.LAST + 14 * bounds.MIDDLE
    assert bounds.hashing(lengths, [b"RELATE::"]) == hashing
    digesting = 3 * bounds.DIGEST_LAST + (1 + 15) * bounds.DIGEST_MIDDLE
    assert bounds.digesting(lengths) == digesting


def test_the_advisor_counts_the_same_instructions():
    ours = bounds.FIRST, bounds.MIDDLE, bounds.LAST, bounds.DIGEST_MIDDLE, bounds.DIGEST_LAST
    assert ours == (
        gpu_limits.ALU_FIRST,
        gpu_limits.ALU_MIDDLE,
        gpu_limits.ALU_LAST,
        gpu_limits.ALU_DIGEST_MIDDLE,
        gpu_limits.ALU_DIGEST_LAST,
    )


@pytest.mark.parametrize("mean", [60, 100, 200, 1000, 5000])
def test_the_advisor_s_mean_is_that_of_single_texts(mean):
    lengths = np.arange(mean // 2, mean + mean // 2 + 1)
    counted = bounds.hashing(lengths, PREFIXES) + bounds.digesting(lengths)
    machine = open_catalogue().machine("T4")
    limit = gpu_limits.gpu_limits(machine, mean, None)["integer units"]
    device = bounds.Device(
        processors=machine.sms, capability=(7, 5), clock=machine.device_clock_ghz * 1e9
    )
    assert limit == pytest.approx(len(lengths) / device.alu(counted), rel=0.03)


def test_short_texts_are_bound_by_float64_on_a_graphics_card_only():
    lengths = np.full(1000, 100)
    instructions = bounds.hashing(lengths, PREFIXES) + bounds.digesting(lengths)
    statistics = bounds.FLOAT64 * len(lengths)
    assert T4.float64(statistics) > T4.alu(instructions)
    assert H200.float64(statistics) < H200.alu(instructions) / 10


def test_the_slower_direction_of_the_bus_counts():
    short, long = np.full(10, 20), np.full(10, 5000)
    assert bounds.copying(short, 8, 1e9) == pytest.approx(10 * bounds.RESULT_BYTES / 1e9)
    assert bounds.copying(long, 8, 1e9) == pytest.approx((50_000 + 8 * 11) / 1e9)


def test_results_are_in_the_file_after_every_table(tmp_path):
    path = tmp_path / "gpu.json"
    results = Results(path)
    results.know({"device": "a"})
    results.has(Table("one", "", [{"rate": 1}]))
    assert [table["name"] for table in json.loads(path.read_text())["tables"]] == ["one"]
    more = Results(path, add=True)
    more.has(Table("two", "", [{"rate": 2}]))
    more.has(Table("one", "", [{"rate": 3}]))
    found = json.loads(path.read_text())
    assert found["machine"] == {"device": "a"}
    assert {table["name"]: table["rows"] for table in found["tables"]} == {
        "one": [{"rate": 3}],
        "two": [{"rate": 2}],
    }
    Results(path).know({})
    assert json.loads(path.read_text())["tables"] == []


@pytest.mark.slow("compiles a kernel for the host")
def test_first_blocks_by_a_loop_have_the_same_bits(cuda_on_host):
    from cupy import asarray

    text = selftest.texts()
    there = type(text)(asarray(text.data), asarray(text.offsets))
    with looped_heads():
        made = load("cuda").default_graph(there, dhatus=DHATUS, primes=PRIMES)
    exact = reference.default_graph(text, dhatus=DHATUS, primes=PRIMES)
    for one, other in zip(made, exact, strict=True):
        assert one.get().tobytes() == other.tobytes()


def test_a_changed_kernel_is_not_taken_for_the_one_with_a_loop():
    changed = source_of(DEFAULT).replace("own[16]", "mine[16]")
    with pytest.raises(ValueError, match=r"sha256\.cu has changed"):
        looped(changed)
