"""A process that submits again to a store whose run it has not ended: a notebook's kernel."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

import paninifs as pf
from paninifs.engine.run import driver as driver_module
from paninifs.storage.errors import LeaseHeld, RunCancelled, UsageError
from paninifs.storage.targets.local import LocalTarget


@pf.map_block(fields=[pf.Field("n_bytes", "int32")], version="1")
def waits(text):
    while not Path(os.environ["PANINIFS_TEST_GO"]).exists():
        time.sleep(0.005)
    return np.diff(text.offsets).astype("int32")


@pytest.fixture
def let_go(tmp_path, monkeypatch):
    """Let the block `waits` return; until then it blocks."""
    path = tmp_path / "go"
    monkeypatch.setenv("PANINIFS_TEST_GO", str(path))
    yield path.touch
    path.touch()


@pytest.fixture
def submit(inline, glosses, write_jsonl, tmp_path):
    corpus = pf.open_corpus(write_jsonl(glosses[:10]))

    def begin(results="out.zarr", graph=None, **options):
        target = tmp_path / results if isinstance(results, str) else results
        options = {"client": inline, "progress": False, **options}
        return pf.submit(graph or pf.default_graph() + waits, corpus, target, **options)

    return begin


@pytest.mark.documented("same-process")
def test_the_message_says_that_it_is_this_process_and_how_to_end_it(submit, let_go):
    run = submit()
    with pytest.raises(LeaseHeld) as caught:
        submit()
    message = str(caught.value)
    assert f"process {os.getpid()} on" in message
    assert "which is this one" in message
    assert "run.cancel()" in message
    assert "paninifs.running()" in message
    let_go()
    assert run.result().done == 10
    assert submit().result().done == 10


def test_a_lost_handle_is_found(submit, let_go):
    assert pf.running() == []
    run = submit()
    assert pf.running() == [run]
    let_go()
    run.result()
    assert pf.running() == []


def test_a_cancelled_run_is_waited_for(submit, let_go):
    run = submit()
    pf.running()[-1].cancel()
    let_go()
    assert submit().result().done == 10  # it is not refused by what is about to end
    with pytest.raises(RunCancelled):
        run.result()


def test_a_run_that_has_ended_never_refuses(submit, let_go, monkeypatch):
    """Whatever its end was: here even the tidying fails."""
    let_go()

    def fail(self):
        raise RuntimeError("the cluster is closing")

    with monkeypatch.context() as patch:
        patch.setattr(driver_module.Dispatch, "dismiss", fail)
        with pytest.raises(RuntimeError, match="closing"):
            submit().result()
    assert submit().result().done == 10


def test_an_interrupt_during_submit_leaves_no_owner(submit, let_go, monkeypatch, tmp_path):
    let_go()

    class Interrupted(LocalTarget):
        def create(self, key, data):
            super().create(key, data)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        submit(Interrupted(tmp_path / "out.zarr"))
    assert submit().result().done == 10


@pytest.mark.parametrize("timeout", [float("nan"), float("inf"), -1])
def test_an_impossible_timeout_is_refused(submit, let_go, timeout):
    run = submit()
    with pytest.raises(UsageError, match="timeout must be a non-negative number"):
        run.result(timeout)
    let_go()
    run.result()


# --- names that the disk takes for the same -------------------------------------------------------


class Folding(LocalTarget):
    """A disk that tells no ``n`` from ``N``."""

    def _path(self, key):
        return super()._path(key.casefold())


def field(name):
    @pf.map_block(fields=[pf.Field(name, "int32")], name=f"block_{name}", version="1")
    def block(text):
        return np.diff(text.offsets).astype("int32")

    return block


@pytest.mark.documented("same-names")
@pytest.mark.parametrize("mirrored", [False, True])
def test_fields_that_the_disk_takes_for_one_are_refused(submit, tmp_path, mirrored):
    graph = pf.default_graph() + field("n") + field("N")
    disk = Folding(tmp_path / "disk.zarr")
    options = {"mirror": disk} if mirrored else {"results": disk}
    with pytest.raises(UsageError, match=r"disk\.zarr is on .* the names 'N' and 'n' for the same"):
        submit(graph=graph, **options)
    assert not (tmp_path / "disk.zarr").exists()
    assert not (tmp_path / "out.zarr").exists()
    assert submit(graph=graph).result().done == 10  # this disk tells them apart
    assert pf.verify(tmp_path / "out.zarr").passed


def test_a_field_like_a_kept_column_or_dimension_is_refused_too(inline, write_jsonl, tmp_path):
    corpus = pf.open_corpus(write_jsonl([{"text": "a", "pos": "b"}]), keep=["pos"])
    for index, name in enumerate(["POS", "Dhatu_Name", "VALID"]):
        graph = pf.default_graph() + field(name)
        disk = Folding(tmp_path / f"{index}.zarr")
        with pytest.raises(UsageError, match=f"'{name}' and '{name.lower()}'"):
            pf.submit(graph, corpus, disk, client=inline, progress=False)
