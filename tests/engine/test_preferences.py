"""Which of the machines that a user prefers is here, and what a run costs: said, never guessed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

import paninifs as pf
from paninifs.engine.advisor import own_hardware, preferences
from paninifs.engine.advisor.own_hardware import hardware
from paninifs.engine.advisor.preferences import check_preferences
from paninifs.engine.costs import bill as billing
from paninifs.engine.costs import this_machine
from paninifs.engine.costs.bill import bill
from paninifs.engine.costs.catalogue import HERE
from paninifs.engine.costs.catalogue_files import VARIABLE, open_catalogue
from paninifs.engine.costs.prediction import predict
from paninifs.engine.costs.pricing import Alternative, compare
from paninifs.engine.costs.this_machine import (
    catalogued_machine,
    describe_this_machine,
    machine_with_gpu,
)
from paninifs.engine.costs.work import Work
from paninifs.engine.hardware.gpu import Gpu
from paninifs.engine.hardware.nvml import Nvidia
from paninifs.engine.hardware.platform import Platform
from paninifs.engine.hardware.unavailable import Unavailable
from paninifs.engine.monitoring.events import Finished, Notice
from paninifs.storage.errors import BackendUnavailable, UsageError

GIB = 2**30
COLAB = Platform("Colab", gpu_remedy="choose it in the menu")
MENU = COLAB.gpu_remedy
TODAY = open_catalogue()
PREFER = ["L4", "T4", "A100"]

OWN = """
[machines."this machine"]
usd_per_hour = { value = 3.6, source = "own" }
"""


def gpu(name, gib=15):
    return Gpu(
        index=0,
        name=name,
        memory=gib * GIB,
        capability=(7, 5),
        driver="550.54",
        cuda=(12, 4),
        sms=40,
        uuid="GPU-1",
    )


@pytest.mark.parametrize(
    ("driver", "gib", "machine"),
    [
        ("Tesla T4", 15, "T4"),
        ("NVIDIA L4", 22, "L4"),
        ("Tesla V100-SXM2-16GB", 16, "V100"),
        ("NVIDIA A100-SXM4-40GB", 40, "A100"),
        ("NVIDIA A100-SXM4-80GB", 80, "A100 80 GB"),
        ("NVIDIA H100 80GB HBM3", 80, "H100"),
        ("NVIDIA H200", 140, "H200"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", 95, "G4"),
        ("NVIDIA L40S", 45, None),
        ("NVIDIA A10G", 23, None),
        ("NVIDIA GeForce RTX 4090", 24, None),
    ],
)
def test_a_gpu_is_known_by_what_its_driver_calls_it(driver, gib, machine):
    found = machine_with_gpu(gpu(driver, gib), open_catalogue().machines.values())
    assert (found and found.name) == machine


def asked(prefer, gpus, own=None):
    """The check in Colab, on a machine that is priced as one of the catalogue, or as none."""
    return check_preferences(prefer, gpus, own and TODAY.machine(own), MENU, TODAY)


def test_a_slice_of_a_gpu_is_not_taken_for_all_of_it():
    whole = gpu("NVIDIA A100-SXM4-40GB", 40)
    assert machine_with_gpu(replace(whole, uuid="MIG-1"), TODAY.machines.values()) is None


def test_the_first_of_the_preferred_is_here():
    found = asked(PREFER, [gpu("NVIDIA L4", 22)], "L4")
    assert found.preferred
    assert found.notes == ("this machine (L4) is your first choice of L4, T4, A100",)


def test_a_later_one_is_here_and_what_comes_before_it_is_weighed():
    found = asked(["A100", "T4"], [gpu("Tesla T4")], "T4")
    assert found.preferred
    assert found.notes[0] == (
        "this machine (T4) is not A100, which you prefer: choose it in the menu (A100)"
    )
    assert found.notes[1].startswith("A100 instead of T4: 100,000,000 texts of 100 bytes take ")
    assert len(found.notes) == 2


def test_an_a100_of_another_size_is_the_one_that_is_preferred():
    found = asked(PREFER, [gpu("NVIDIA A100-SXM4-80GB", 80)], "A100 80 GB")
    assert found.preferred
    assert found.machine == "A100"


@pytest.mark.parametrize(
    ("saved", "dearer", "words"),
    [
        (2.0, 1.0, "it pays off if an hour is worth $0.50 or more"),
        (2.0, 0.0, "it pays off if an hour is worth $0 or more"),
        (2.0, -1.0, "it pays off"),
        (0.0, 1.0, "it does not pay off for the hashing"),
        (-2.0, 1.0, "it does not pay off for the hashing"),
        (-2.0, -1.0, "it pays off unless an hour is worth $0.50 or more"),
        (0.0, -1.0, "it pays off"),
    ],
)
def test_time_and_money_are_weighed_against_each_other(saved, dearer, words):
    found = compare(Alternative("mine", 5.0, 5.0), Alternative("rival", 5.0 + saved, 5.0 - dearer))
    assert preferences._verdict(found) == words


def test_none_is_here_and_each_of_them_is_weighed_against_what_is():
    found = asked(PREFER, [], "CPU")
    assert not found.preferred
    assert found.notes[0] == (
        "this machine (CPU) is none of L4, T4, A100: choose it in the menu (L4, else T4, else A100)"
    )
    assert [one.split(" instead")[0] for one in found.notes[1:4]] == PREFER
    assert "a TPU would be next" in found.notes[4]
    assert "the CPU is last" in found.notes[4]


def test_a_preferred_tpu_is_of_no_use_as_long_as_the_engine_has_no_backend(monkeypatch):
    found = asked(["TPU v5e-1"], [], "CPU")
    assert "no backend 'tpu'" in found.notes[1]
    assert "cannot be used yet" in found.notes[2]
    monkeypatch.setitem(preferences.BACKENDS, "tpu", ".tpu")
    found = asked(["TPU v5e-1"], [], "CPU")
    assert found.notes[2] == "if no GPU is available, a TPU is next, and the CPU last"


def test_without_a_price_of_this_machine_nothing_is_said_to_pay():
    found = asked(PREFER, [])
    assert found.notes[1].startswith("whether another machine pays off is unknown")
    assert "instead of" not in str(found)


@pytest.mark.parametrize("wrong", [[], ["T5"], ["L4", "gpu"], "L4"])
def test_a_preference_that_names_no_machine_is_refused(wrong):
    with pytest.raises(UsageError):
        asked(wrong, [])


def test_connect_says_it_and_goes_on(monkeypatch, capsys):
    with pf.connect(prefer=PREFER, workers=1) as client:
        assert client.submit(sum, [1, 2]).result() == 3
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("this machine (CPU) is none of L4, T4, A100")
    assert any(line.startswith("cluster 'cpu': ") for line in said)


def test_a_price_of_ones_own_is_enough_to_weigh_others_against(tmp_path, monkeypatch):
    own = tmp_path / "own.toml"
    own.write_text(OWN)
    monkeypatch.setenv(VARIABLE, str(own))
    found = preferences.check_this_machine(["L4"])
    assert found.notes[1].startswith("L4 instead of this machine: ")
    assert "not known" not in found.notes[1]


def test_connect_stops_where_it_is_asked_to():
    with pytest.raises(
        BackendUnavailable, match=r"this machine \(CPU\) is none of L4(.|\n)*otherwise='stop'"
    ):
        pf.connect(prefer=["L4"], otherwise="stop", quiet=True)


def test_connect_does_not_stop_where_a_preferred_one_is_here(capsys):
    with pf.connect(prefer=["L4", "CPU"], otherwise="stop", workers=1, quiet=True):
        assert not capsys.readouterr().out


@pytest.mark.parametrize("wrong", [{"cluster": "cpu"}, {"otherwise": "wait"}])
def test_connect_refuses_what_goes_together_with_no_preference(wrong):
    with pytest.raises(UsageError):
        pf.connect(**{"prefer": ["L4"], "quiet": True} | wrong)


@pytest.fixture
def place(monkeypatch):
    """Make this another place, with other GPUs that can be used."""

    def make(platform=COLAB, gpus=(), tpu=None):
        found = Nvidia(tuple(gpus), None if gpus else Unavailable("there is none"))
        monkeypatch.setattr(this_machine, "current_platform", lambda: platform)
        monkeypatch.setattr(this_machine, "nvidia", lambda: found)
        monkeypatch.setattr(this_machine, "why_no_cuda", lambda *_: found.unavailable)
        monkeypatch.setattr(this_machine, "sign_of_tpu", lambda: tpu)

    return make


def test_this_machine_is_what_it_is(place):
    place(Platform(None))
    found = hardware()
    here = describe_this_machine(TODAY)
    assert (here.name, here.kind, here.cores) == (HERE, "cpu", found.cpu.cores)
    assert here.sha == found.cpu.hashing
    assert 0 < here.ram_gb * 1e9 <= found.memory.total
    assert here.offers.keys() == TODAY.plans.keys()
    assert all(offer.free for offer in here.offers.values())


def test_a_machine_with_a_known_gpu_is_predicted_as_one_and_with_another_as_its_cores(place):
    place(Platform(None), [gpu("Tesla T4")])
    here = describe_this_machine(TODAY)
    assert (here.kind, here.title, here.pcie_gb_s) == ("gpu", "Tesla T4", 15.75)
    place(Platform(None), [gpu("NVIDIA GeForce RTX 4090", 24)])
    other = describe_this_machine(TODAY)
    assert (other.kind, other.backend) == ("cpu", "cpu")
    assert "RTX 4090 is not in the catalogue" in other.note


def test_the_hardware_says_what_limits_a_run(place):
    place(Platform(None))
    own = hardware().expected
    assert own.texts_per_second > 0
    assert own.bound in ("reading and writing", "hashing")
    assert not own.limits
    assert f" million per second, bound by {own.bound} (" in str(own)
    place(Platform(None), [gpu("Tesla T4")])
    found = hardware().expected
    assert found.limits.keys() == {
        "reading and writing",
        "integer units",
        "float64 units",
        "bus",
    }
    assert found.bound == min(found.limits, key=found.limits.get)
    assert 0 < found.texts_per_second < found.limits[found.bound]


def test_hardware_without_a_prediction(place, monkeypatch):
    def unknown(*arguments):
        raise UsageError("its sms is not known")

    monkeypatch.setattr(own_hardware, "predict", unknown)
    assert hardware().expected is None


def test_a_gpu_that_has_the_hosts_memory_has_the_hosts_memory(place):
    place(Platform(None), [replace(gpu("Tesla T4"), memory=0)])
    here = describe_this_machine(TODAY)
    assert here.memory_gb == here.ram_gb


def test_a_gpu_that_cannot_be_used_is_passed_over(place):
    old = replace(gpu("Tesla K80"), capability=(3, 7))
    place(Platform(None), [old, gpu("Tesla T4")])
    assert describe_this_machine(TODAY).title == "Tesla T4"


def test_colab_is_priced_by_its_gpu_or_as_a_cpu_and_other_places_are_not(place):
    place(COLAB, [gpu("Tesla T4")])
    assert catalogued_machine(TODAY).name == "T4"
    assert describe_this_machine(TODAY).units_per_hour == TODAY.machine("T4").units_per_hour
    place(COLAB)
    assert catalogued_machine(TODAY).name == "CPU"
    place(Platform("Slurm"), [gpu("Tesla T4")])
    assert catalogued_machine(TODAY) is None
    place(Platform(None))
    assert catalogued_machine(TODAY) is None


@pytest.mark.parametrize("there", [{"tpu": "COLAB_TPU_1VM=1"}, {"gpus": [gpu("NVIDIA B200")]}])
def test_what_colab_takes_for_a_machine_that_is_not_known_is_not_made_up(place, there):
    place(COLAB, **there)
    assert catalogued_machine(TODAY) is None
    assert not describe_this_machine(TODAY).offers


def test_a_run_on_an_unknown_machine_has_no_price_and_others_have(place):
    place(Platform(None))
    found = bill(Work(10**8, mean_bytes=100), seconds=95)
    assert found.here.cost is None
    assert str(found).startswith("this machine 95 s (its price is not known). Elsewhere")
    assert [one.machine for one in found.elsewhere] == ["CPU", "T4", "L4", "A100"]
    assert all(one.cost.units > 0 and one.seconds > 0 for one in found.elsewhere)


def test_elsewhere_is_counted_from_the_submission_as_here(place):
    place(Platform(None))
    work = Work(10**8, mean_bytes=100)
    for one in bill(work, seconds=95).elsewhere:
        whole = predict(TODAY.machine(one.machine), work)
        assert one.seconds == pytest.approx(whole.seconds - whole.parts["start"])


def test_a_graph_of_ones_own_is_not_predicted_elsewhere(place):
    place(Platform(None))
    assert str(bill(None, 79)).endswith("Elsewhere: not known; only the default graph is predicted")


def test_a_short_run_is_compared_with_no_other_machine(place):
    place(Platform(None))  # most of it is not computing, which is all that is predicted elsewhere
    assert str(bill(Work(1000), 0.98)) == "this machine 0.98 s (its price is not known)"


def test_a_run_in_colab_costs_what_its_machine_does(place):
    place(COLAB, [gpu("Tesla T4")])
    found = bill(Work(10**8, mean_bytes=100), seconds=3600)
    rate = TODAY.machine("T4").units_per_hour
    assert found.here.cost.units == pytest.approx(rate)
    assert str(found).startswith(f"T4 60 min, {rate:.2g} units. Elsewhere")
    assert "free in the plan 'free': T4 and CPU" in str(found)
    assert [one.machine for one in found.elsewhere] == ["CPU", "L4", "A100"]


def test_a_cluster_elsewhere_is_not_taken_for_this_machine(place):
    place(COLAB)
    found = bill(Work(1000), 2.0, "the cluster at tcp://10.0.0.5:8786")
    assert found.here.cost is None
    assert str(found).startswith("the cluster at tcp://10.0.0.5:8786 2 s (its price")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "a.txt"
    path.write_text("".join(f"text {i}\n" for i in range(2000)))
    return path


def test_a_run_ends_by_saying_what_it_cost(corpus, tmp_path, monkeypatch):
    own = tmp_path / "own.toml"
    own.write_text(OWN)
    monkeypatch.setenv(VARIABLE, str(own))
    with pf.connect("threads", quiet=True):
        run = pf.submit(
            pf.default_graph(), pf.open_corpus(corpus), tmp_path / "out.zarr", progress=False
        )
        run.result()
        events = []
        run.events.subscribe(events.append)
        again = pf.submit(
            pf.default_graph(), pf.open_corpus(corpus), tmp_path / "out.zarr", progress=False
        )
        again.result()
    ended = events[-1]
    assert isinstance(ended, Finished)
    assert ended.bill is run.bill
    assert run.bill.here.cost.usd == pytest.approx(3.6 / 3600 * ended.seconds)
    assert again.bill is None  # there was nothing to do


@pytest.mark.parametrize("fault", ["a catalogue", "anything"])
def test_what_keeps_the_cost_from_being_known_fails_no_run(corpus, tmp_path, monkeypatch, fault):
    own = tmp_path / "own.toml"
    own.write_text("machines = 7")
    if fault == "a catalogue":
        monkeypatch.setenv(VARIABLE, str(own))
    else:
        monkeypatch.setattr(billing, "open_catalogue", lambda: 1 / 0)
    with pf.connect("threads", quiet=True):
        run = pf.submit(
            pf.default_graph(), pf.open_corpus(corpus), tmp_path / "out.zarr", progress=False
        )
        assert run.result().done == 2000
        events = []
        run.events.subscribe(events.append)
    assert run.bill is None
    [notice] = [one for one in events if isinstance(one, Notice)]
    assert notice.text.startswith("the cost of the run is not known: ")
    assert ("own.toml" if fault == "a catalogue" else "division") in notice.text
    assert run.status().state == "finished"
    assert isinstance(events[-1], Finished)


def test_a_run_of_ones_own_block_says_so(corpus, tmp_path):
    @pf.map_block(fields=[pf.Field("n_bytes", "int32")])
    def n_bytes(text):
        return (text.offsets[1:] - text.offsets[:-1]).astype("int32")

    with pf.connect("threads", quiet=True):
        run = pf.submit(
            pf.default_graph() + n_bytes,
            pf.open_corpus(corpus),
            tmp_path / "out.zarr",
            progress=False,
        )
        run.result()
    assert not run.bill.elsewhere


def test_the_command_says_it_to_people_and_to_scripts(corpus, tmp_path):
    def command(*words):
        program = [sys.executable, "-c", "from paninifs.engine.cli import main; main()"]
        return subprocess.run(
            [*program, "run", str(corpus), str(tmp_path / "o.zarr"), "--fresh", *words],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"COLUMNS": "400"},
        )

    assert "note: cost: this machine" in command("--verbose").stderr
    found = json.loads(command("--json").stdout)["cost"]
    assert found["here"]["machine"] == HERE
    assert found["elsewhere"] == []  # it was short
