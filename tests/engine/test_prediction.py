"""What is predicted of a machine, and the measurements that it is predicted from."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import paninifs as pf
from paninifs.engine import calibrate
from paninifs.engine.cli import app
from paninifs.engine.costs import calibration
from paninifs.engine.costs.calibration import Calibration, Rate, load, reference
from paninifs.engine.costs.catalogue import Machine
from paninifs.engine.costs.catalogue_files import open_catalogue
from paninifs.engine.costs.gpu_limits import BUS_SHARE, gpu_limits
from paninifs.engine.costs.prediction import predict
from paninifs.engine.costs.this_machine import calibration_of
from paninifs.engine.costs.work import Model, Work, busy_cores
from paninifs.engine.hardware.cpu import processor
from paninifs.storage.errors import RunFailed, UsageError

SECONDS = st.floats(1e-9, 1e-4)


def machine(**changed):
    return Machine(
        **{
            "name": "a machine",
            "title": "a machine",
            "kind": "cpu",
            "backend": "cpu",
            "cores": 2,
            "clock_ghz": 2.2,
            "sha": "avx2",
            "ram_gb": 12.0,
        }
        | changed
    )


T4 = {
    "kind": "gpu",
    "backend": "cuda",
    "memory_gb": 15.0,
    "sms": 40,
    "device_clock_ghz": 1.59,
    "fp16_tflops": 65.0,
    "pcie_gb_s": 12.0,
    "capability": (7, 5),
}


@given(row=SECONDS, byte=SECONDS)
def test_a_rate_that_runs_obey_is_found_from_two_of_them(row, byte):
    rate = Rate(row, byte)
    found = calibrate._rate(
        *((n, b, rate.seconds(n, b)) for n, b in ((699_050, 62_914_500), (12_582, 62_910_000)))
    )
    assert found.row == pytest.approx(row, rel=1e-6)
    assert found.byte == pytest.approx(byte, rel=1e-6)


@given(short=st.floats(0, 100), long=st.floats(0, 100))
def test_noise_never_makes_a_text_or_a_byte_cost_less_than_nothing(short, long):
    found = calibrate._rate((699_050, 62_914_500, short), (12_582, 62_910_000, long))
    assert found.row >= 0
    assert found.byte >= 0


def test_a_calibration_comes_back_as_it_was_saved(tmp_path):
    path = tmp_path / "deep" / "calibration.json"
    kept = replace(reference(), device={"Tesla T4": Rate(1e-8, 1e-10)})
    kept.save(path)
    assert load(path) == kept


def test_a_machine_that_was_never_calibrated_has_none(tmp_path):
    assert load(tmp_path / "none.json") is None


def changed(**parts):
    return json.dumps(json.loads(json.dumps(asdict(reference()))) | parts)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"host": 1, "hashing": {}}',
        "\x00",
        changed(start={}),
        changed(host={}),
        changed(shard="a"),
        changed(shard=-1),
        changed(more=1),
        changed(hashing={"avx2": {"row": float("inf"), "byte": 0}}),
    ],
)
def test_a_file_that_is_no_calibration_is_refused_by_name(tmp_path, text):
    path = tmp_path / "calibration.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"json is not a valid calibration .*paninifs bench"):
        load(path)


def test_the_reference_knows_every_format_and_every_way_to_hash():
    from paninifs.graphs.kernels.cpu.sha_paths import PATHS

    known = reference()
    assert set(known.hashing) == set(PATHS)
    assert set(known.host) == set(calibrate.FORMATS)
    assert known.clock_ghz
    assert set(known.start) == {"threads", "cpu"}


@given(
    texts=st.integers(1, 10**8),
    more=st.integers(0, 10**8),
    mean=st.floats(0, 10**5),
    cores=st.integers(1, 64),
)
def test_more_work_takes_no_less_time_and_more_cores_no_more(texts, more, mean, cores):
    least = predict(machine(), Work(texts, mean))
    assert predict(machine(), Work(texts + more, mean)).parts["hashing"] >= least.parts["hashing"]
    if cores >= 2:
        assert predict(machine(cores=cores), Work(texts, mean)).seconds <= least.seconds


def test_half_the_clock_takes_twice_as_long():
    work = Work(1_000_000)
    slow, quick = predict(machine(clock_ghz=1.1), work), predict(machine(), work)
    assert slow.seconds == pytest.approx(2 * quick.seconds)
    assert quick.basis == "scaled"


def test_a_corpus_of_one_task_keeps_one_core_busy():
    one, many = (predict(machine(cores=8), Work(10**6, tasks=n)) for n in (1, None))
    assert one.parts["hashing"] == pytest.approx(8 * many.parts["hashing"])


def test_a_calibrated_machine_is_predicted_from_its_own_figures():
    own = Calibration(
        processor="x",
        cores=2,
        date="2026-11-21",
        version="0",
        start={"threads": 1.0, "cpu": 2.0},
        shard=0.0,
        task=0.0,
        host={"parquet": Rate(2e-6, 0.0)},
        hashing={"avx2": Rate(0.0, 1e-8)},
    )
    found = predict(machine(), Work(10**6, 100.0), own)
    assert found.basis == "calibrated"
    assert found.seconds == pytest.approx(2.0 + 1.0 + 0.5)
    assert found.parts["hashing"] == pytest.approx(0.5)
    assert found.bound == "start"


def test_every_core_of_a_host_reads_for_its_gpu():
    work = Work(10**8, 100.0)
    for cores in (1, 2, 12):
        on_t4, on_cpu = (predict(machine(cores=cores, **more), work) for more in (T4, {}))
        reading = on_cpu.parts["reading and writing"]
        assert reading < on_t4.parts["reading and writing"] < 1.2 * reading  # it copies texts too
        assert on_t4.bound == "reading and writing"
        assert on_t4.basis == "arithmetic"


@pytest.mark.parametrize(("cores", "gpus", "busy"), [(8, 4, 8), (7, 4, 4), (2, 8, 2)])
def test_several_gpus_share_the_cores(cores, gpus, busy):
    work = Work(10**8, 100.0)
    several, one = (machine(**T4 | {"cores": n, "gpus": g}) for n, g in ((cores, gpus), (busy, 1)))
    found, alone = predict(several, work), predict(one, work)
    assert found.limits["reading and writing"] == pytest.approx(alone.limits["reading and writing"])
    for name in ("integer units", "float64 units", "bus"):
        assert found.limits[name] == pytest.approx(gpus * alone.limits[name])


# Computed by hand in a review of the kernels, in M texts/s. Its host figures take two vCPUs of
# Colab for about half a core of the reference; those of predictions are scaled by clock alone. The
# review counted all branches; where integer units bound the kernel, this is what is executed.
REVIEWED = {
    # mean bytes: kernel, bus, host
    ("T4", 2, 100): (151, 97, 0.8),
    ("L4", 12, 100): (282, 194, 4.6),
    ("A100", 12, 100): (481, 194, 4.6),
    ("H200", 16, 100): (825, 403, 22),
    ("T4", 2, 5000): (6.7, 2.4, 0.025),
    ("L4", 12, 5000): (12.4, 4.8, 0.15),
    ("A100", 12, 5000): (16, 4.8, 0.15),
    ("H200", 16, 5000): (27, 10, 0.7),
}


@pytest.mark.parametrize(("name", "cores", "mean"), REVIEWED)
def test_limits_of_a_gpu_are_those_of_a_review(name, cores, mean):
    clock = 3.55 if name == "H200" else 2.2
    gpu = replace(open_catalogue().machine(name), cores=cores, clock_ghz=clock)
    found = predict(gpu, Work(10**9, mean))
    kernel, bus, host = (1e6 * figure for figure in REVIEWED[name, cores, mean])
    assert min(found.limits[f"{unit} units"] for unit in ("integer", "float64")) == pytest.approx(
        kernel, rel=0.05
    )
    assert found.limits["bus"] == pytest.approx(bus, rel=0.05)
    assert 1 / 2.5 < found.limits["reading and writing"] / host < 2.5
    assert found.bound == "reading and writing"  # so says the review, of all of them
    rate = 10**9 / (found.seconds - found.parts["start"] - found.parts["shards"])
    assert rate == pytest.approx(min(found.limits.values()))


def test_graphics_cards_are_limited_by_float64_units():
    for name, unit in (("T4", "float64"), ("L4", "float64"), ("A100", "integer")):
        limits = gpu_limits(open_catalogue().machine(name), 100, None)
        assert limits[f"{unit} units"] == min(limits[f"{one} units"] for one in UNITS)
        long = gpu_limits(open_catalogue().machine(name), 5000, None)
        assert long["integer units"] < long["float64 units"]


UNITS = ("integer", "float64")


def test_documented_limits_are_those_of_predictions():
    guide = (Path(pf.__file__).parent / "deploy/docs/machines.md").read_text("utf-8")
    table = guide.partition("In million texts of 100 bytes per second:\n\n")[2].split("\n\n")[0]
    rows = {name: figures for name, *figures in (row.split(" | ") for row in table.split("\n"))}
    for at, name in enumerate(("T4", "L4", "A100")):
        limits = predict(open_catalogue().machine(name), Work(10**8, 100.0)).limits
        assert {f"| {part}" for part in limits} < set(rows)
        for part, limit in limits.items():
            shown = rows[f"| {part}"][at].strip("| ").replace(",", "")
            assert float(shown) == pytest.approx(limit / 1e6, rel=0.02)


def test_a_measured_gpu_is_predicted_from_its_own_figures():
    work, title = Work(10**8, 100.0), "NVIDIA Tesla T4"
    own = replace(reference(), device={title: Rate(1e-6, 1e-9)})
    found = predict(machine(**T4 | {"title": title, "cores": 64}), work, own)
    assert found.limits.keys() == {"reading and writing", "device"}
    assert found.limits["device"] == pytest.approx(1 / 1.1e-6)
    assert (found.bound, found.basis) == ("device", "calibrated")
    other = predict(machine(**T4 | {"title": "another"}), work, own)
    assert (set(other.limits) & {"device", "bus"}, other.basis) == ({"bus"}, "arithmetic")


@pytest.mark.parametrize("kind", [{}, T4])
def test_a_slow_store_limits_a_run(kind):
    work = Work(10**8, 100.0)
    slow, quick = (predict(machine(**kind, store_gb_s=speed), work) for speed in (0.01, 100.0))
    assert slow.bound == "store"
    assert slow.parts["store"] == pytest.approx(10**8 * 133 / 1e7)
    assert slow.seconds == pytest.approx(
        sum(slow.parts[name] for name in ("start", "shards", "store"))
    )
    assert quick.seconds == pytest.approx(predict(machine(**kind), work).seconds)


def test_a_device_computes_while_its_host_reads_and_a_cpu_afterwards():
    work = Work(10**8, 100.0)
    for kind, beside in ((T4, True), ({}, False)):
        found = predict(machine(**kind), work)
        parts = found.parts
        both = (parts["reading and writing"], parts["hashing"])
        fixed = parts["start"] + parts["shards"]
        assert found.seconds == pytest.approx(fixed + (max(both) if beside else sum(both)))


def test_a_bus_that_is_slower_than_its_device_is_the_bound():
    found = predict(machine(**T4 | {"pcie_gb_s": 0.01}), Work(10**7, 20_000.0))
    assert found.bound == "bus"
    assert found.parts["hashing"] == pytest.approx(10**7 * 20_008 / 1e7 / BUS_SHARE)


def test_every_shard_costs_something_and_every_task():
    slower = reference().clock_ghz / 2.2
    shards = 77 * reference().shard * slower
    for tasks, counted in ((None, 77), (3, 3)):
        found = predict(machine(), Work(10**7, 100.0, tasks=tasks))
        assert found.parts["shards"] == pytest.approx(shards + counted * reference().task * slower)


def test_a_device_that_is_slower_than_its_host_reads_is_the_bound():
    found = predict(machine(**T4 | {"sms": 1, "device_clock_ghz": 0.1}), Work(10**7, 20_000.0))
    assert found.bound == "integer units"


def test_a_small_corpus_is_done_by_threads_and_no_gpu():
    small = Work(10**4, 100.0)
    assert predict(machine(**T4), small) == predict(machine(), small)
    assert predict(machine(cores=64), small).host_bytes < 1 << 30
    assert predict(machine(cores=64), Work(10**8)).host_bytes > 64 * (300 << 20)


def test_the_files_and_not_the_texts_say_whether_a_corpus_is_small():
    assert Work(10**7, 100.0, stored_bytes=1000).cluster == "threads"
    assert Work(10, 100.0, stored_bytes=10**9).cluster is None


@pytest.mark.parametrize(
    ("kind", "unknown"),
    [
        ({}, "cores"),
        *((T4, name) for name in ("cores", "sms", "device_clock_ghz", "pcie_gb_s", "capability")),
    ],
)
def test_what_is_not_known_is_not_made_up(kind, unknown):
    with pytest.raises(UsageError, match=f"its {unknown} is not known"):
        predict(machine(**kind | {unknown: None}), Work(10**6))


def test_a_host_whose_processor_nobody_tells_is_taken_for_colabs_usual_one():
    told, untold = machine(clock_ghz=2.2, sha="avx2"), machine(clock_ghz=None, sha=None)
    assert predict(told, Work(10**6)) == predict(untold, Work(10**6))


def test_embedding_is_the_sum_over_models():
    a, b = Model("a", 100_000_000), Model("b", 300_000_000)
    one, two, both = (
        predict(machine(**T4), Work(10**6, kind="embedding", models=models)).seconds
        for models in ((a,), (b,), (a, b))
    )
    assert both == pytest.approx(one + two)


def test_the_largest_model_says_how_much_memory_is_needed():
    small, large = Model("small", 100_000_000), Model("large", 8_000_000_000)
    found = predict(machine(**T4), Work(1000, kind="embedding", models=(small, large)))
    assert 2 * large.parameters < found.device_bytes < 3 * large.parameters


def test_work_on_a_corpus_is_what_counting_it_finds(tmp_path):
    (tmp_path / "a.jsonl").write_text("".join(f'{{"text": "{i:04}"}}\n' for i in range(5000)))
    work = Work.on(pf.open_corpus(tmp_path))
    assert (work.texts, work.format) == (5000, "jsonl")
    assert work.mean_bytes == pytest.approx(len('{"text": "0000"}'), abs=1)
    assert work.tasks >= 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"texts": 0},
        {"texts": 1.5},
        {"texts": 1, "mean_bytes": -1.0},
        {"texts": 1, "kind": "cooking"},
        {"texts": 1, "kind": "embedding"},
        {"texts": 1, "models": (Model("a", 1),)},
        {"texts": 1, "tasks": 0},
        {"texts": 1, "mean_bytes": float("nan")},
        {"texts": 1, "mean_bytes": float("inf")},
        {"texts": 1, "format": "zork"},
    ],
)
def test_work_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(UsageError):
        Work(**wrong)


@pytest.mark.parametrize("parameters", [0, -5, float("inf"), float("nan")])
def test_a_model_without_parameters_is_refused(parameters):
    with pytest.raises(UsageError, match="at least one parameter"):
        Model("a", parameters)


def test_a_calibration_is_this_machines_as_long_as_it_hashes_so(tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "PATH", tmp_path / "calibration.json")
    own = processor()
    mine = replace(reference(), processor=own.name, cores=own.cores, version=pf.__version__)
    mine.save()
    assert calibration_of(own) == mine
    assert calibration_of(replace(own, hashing="another")) is None
    assert calibration_of(replace(own, name="another")) is None
    replace(mine, version="0.0.1").save()
    assert calibration_of(own) is None


def test_the_command_keeps_what_it_measured(monkeypatch, tmp_path):
    path = tmp_path / "cache" / "calibration.json"
    monkeypatch.setattr(calibration, "PATH", path)
    monkeypatch.setattr(calibrate, "calibrate", lambda rounds, report: reference())
    ran = CliRunner().invoke(app, ["bench"])
    assert ran.exit_code == 0
    assert "hashing, sha-ni: " in ran.output
    assert load(path) == reference()
    assert json.loads(CliRunner().invoke(app, ["bench", "--json"]).stdout)["cores"] == 2


def test_the_command_says_at_once_that_it_could_not_keep_it(monkeypatch, tmp_path):
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setattr(calibration, "PATH", tmp_path / "cache" / "calibration.json")
    monkeypatch.setattr(calibrate, "calibrate", lambda **_: pytest.fail("measured all the same"))
    ran = CliRunner().invoke(app, ["bench"])
    assert ran.exit_code == 1
    assert "cache" in ran.output


def test_a_folder_that_cannot_be_written_is_seen_before_the_minutes_are_spent(monkeypatch):
    monkeypatch.setattr(calibration, "PATH", Path("/proc/calibration.json"))
    monkeypatch.setattr(calibrate, "calibrate", lambda **_: pytest.fail("measured all the same"))
    assert CliRunner().invoke(app, ["bench"]).exit_code == 1


@given(row=SECONDS, byte=SECONDS, shard=st.floats(0, 0.1), cores=st.integers(1, 64))
def test_what_is_left_of_runs_is_reading_and_writing(row, byte, shard, cores):
    host, hashing = Rate(row, byte), Rate(3e-7, 2e-9)
    corpora = {
        ("csv", calibrate.SHORT): calibrate.MadeCorpus(
            path=Path("s"), rows=699_050, nbytes=62_914_500, shards=86, tasks=16, few_tasks=2
        ),
        ("csv", calibrate.LONG): calibrate.MadeCorpus(
            path=Path("l"), rows=12_582, nbytes=62_910_000, shards=4, tasks=64, few_tasks=1
        ),
    }
    took = {"fixed": 0.25}
    for key, corpus in corpora.items():
        amounts = (corpus.rows, corpus.nbytes)
        seconds = host.seconds(*amounts) + hashing.seconds(*amounts)
        seconds /= busy_cores(corpus.tasks, cores)
        took[key] = 0.25 + shard * (corpus.shards + 2 * corpus.tasks) + seconds
    found = calibrate._host(
        "csv", corpora, took, each=(shard, 2 * shard), cores=cores, hashing=hashing
    )
    assert found.seconds(10**6, 10**8) == pytest.approx(host.seconds(10**6, 10**8), rel=1e-3)


def test_a_command_that_fails_while_it_is_measured_is_told_of(tmp_path):
    with pytest.raises(RunFailed, match=r"exited with code 2: error: .*none\.parquet"):
        calibrate._command(tmp_path / "none.parquet", "threads")


@pytest.mark.slow("compiles every kernel")
@pytest.mark.usefixtures("cuda_on_host")
def test_a_gpu_is_measured_with_the_copies(monkeypatch):
    monkeypatch.setattr(calibrate, "DEVICE_BYTES", 1 << 17)
    gpus = []
    monkeypatch.setattr(
        calibrate, "usable_gpus", lambda: tuple(SimpleNamespace(name=name) for name in gpus)
    )
    told = []
    assert calibrate._device(1, told.append) == {}
    gpus += ["Tesla T4", "Tesla T4"]
    (found,) = calibrate._device(1, told.append).items()
    assert (found[0], told) == ("Tesla T4", ["measuring the kernels on the Tesla T4"])
    assert found[1].row + found[1].byte > 0
    gpus.append("NVIDIA L4")
    assert calibrate._device(1, told.append) == {}


@pytest.mark.soak("a whole calibration")
def test_this_machine_is_calibrated_by_real_runs(monkeypatch, tmp_path):
    monkeypatch.setattr(calibrate, "CORPUS_BYTES", {90: 2 << 20, 5_000: 4 << 20})
    monkeypatch.setattr(calibrate, "KERNEL_BYTES", 1 << 18)
    told = []
    found = calibrate.calibrate(rounds=1, report=told.append)
    assert set(found.host) == set(calibrate.FORMATS)
    assert all(found.start.values())
    assert all(rate.row + rate.byte > 0 for rate in found.hashing.values())
    assert told[-1] == "timing runs, round 1 of 1"
    found.save(tmp_path / "c.json")
    assert json.loads((tmp_path / "c.json").read_text())["cores"] == found.cores


def test_the_texts_that_it_makes_have_the_length_that_was_asked_for():
    texts = calibrate.made(1 << 20, 500)
    lengths = [len(one.encode()) for one in texts]
    assert np.mean(lengths) == pytest.approx(500, rel=0.02)
    assert len(set(texts)) == len(texts)
