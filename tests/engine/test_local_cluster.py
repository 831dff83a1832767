"""`connect` without a name and `advise` agree about a machine, whatever GPUs and cores it has."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fake_nvml import A100, DIVIDED, GIB, H100, L4, T4, Device
from hypothesis import given
from hypothesis import strategies as st

from paninifs.engine.advisor.advise import advise
from paninifs.engine.advisor.local_cluster import note_on_cores, recommended_cluster
from paninifs.engine.advisor.ranking import ALIKE
from paninifs.engine.costs import calibration
from paninifs.engine.costs.catalogue import HERE
from paninifs.engine.costs.catalogue_files import VARIABLE, open_catalogue
from paninifs.engine.costs.prediction import predict
from paninifs.engine.costs.this_machine import usable_gpus
from paninifs.engine.costs.work import TYPICAL, Model, Work
from paninifs.engine.hardware.packages import NEEDED

GPUS = [one for one in open_catalogue().machines.values() if one.kind == "gpu"]
UNKNOWN = Device("NVIDIA GeForce RTX 4090", 24 * GIB, (8, 9), uuid="GPU-b")
OLD, BUSY = Device("Tesla K80", capability=(3, 7)), replace(T4, used=9 * GIB)
MODELS = Work(10**6, kind="embedding", models=(Model("SBERT", 278_000_000),))


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch, tmp_path):
    """A machine without measurements or a catalogue of its user's own."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(calibration, "PATH", tmp_path / "none.json")


@pytest.mark.parametrize("cores", [1, 2, 7, 96])
@pytest.mark.parametrize("installed", [True, False], ids=["RAPIDS", "no RAPIDS"])
@pytest.mark.parametrize(
    "devices",
    [(), (T4,), (L4,), (A100, T4), (H100,) * 4, (UNKNOWN,), (OLD,), (BUSY,), (OLD, T4), (DIVIDED,)],
    ids=["none", "T4", "L4", "two", "four", "unknown", "old", "busy", "old and T4", "MIG"],
)
def test_connect_and_advice_agree(devices, installed, cores, machine, packages, monkeypatch):
    machine(*devices)
    packages(*(NEEDED if installed else ()), cudf_cu12="26.10.2")
    monkeypatch.setattr("dask.system.CPU_COUNT", cores)
    for work in (TYPICAL, Work(10**10, mean_bytes=100), MODELS):
        chosen = recommended_cluster(work=work)
        row = advise(work).row(HERE)
        assert f"connect() starts {chosen}" in row.reasons
        assert (chosen.cluster == "cuda") == (row.machine.kind == "gpu" or bool(row.machine.note))
        seconds = {kind: predict(replace(row.machine, kind=kind), work).seconds
                   for kind in {row.machine.kind, "cpu"}}  # fmt: skip
        slower = seconds[row.machine.kind] / seconds["cpu"]
        assert ("connect('cpu')" in chosen.why) == (slower >= ALIKE)
        assert row.machine.kind == "cpu" or row.machine.gpus == len(usable_gpus())
        assert row.prediction.seconds == pytest.approx(seconds[row.machine.kind])


@given(
    gpu=st.sampled_from(GPUS),
    cores=st.integers(1, 96),
    gpus=st.integers(1, 8),
    clock=st.floats(1, 5),
    mean=st.floats(10, 200),
)
def test_short_texts_take_no_longer_with_a_gpu_than_without(gpu, cores, gpus, clock, mean):
    own = replace(gpu, cores=cores * gpus, gpus=gpus, clock_ghz=clock)
    work = Work(10**9, mean_bytes=mean)
    with_gpu, without = (predict(one, work) for one in (own, replace(own, kind="cpu")))
    fixed = with_gpu.parts["start"] - without.parts["start"]
    assert with_gpu.seconds - fixed <= without.seconds


def test_cores_that_a_gpu_leaves_idle_are_mentioned():
    t4 = open_catalogue().machine("T4")
    assert note_on_cores(replace(t4, cores=7, gpus=4), TYPICAL).endswith(
        "connect('cpu') is predicted to be 1.4 times as fast"
    )
    assert not note_on_cores(replace(t4, cores=8, gpus=4), TYPICAL)
    assert not note_on_cores(replace(t4, cores=7, gpus=4), MODELS)


def test_a_broken_catalogue_does_not_hinder_a_choice(machine, packages, monkeypatch, tmp_path):
    machine(T4)
    packages(*NEEDED, cudf_cu12="26.10.2")
    (tmp_path / "own.toml").write_text("machines = 7")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "own.toml"))
    assert str(recommended_cluster()) == "cluster 'cuda': this machine has 1 GPU (Tesla T4)"
