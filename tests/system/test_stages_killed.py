"""Runs of several stages, killed with SIGKILL at every write and resumed."""

from __future__ import annotations

import signal

import pytest
from faults import KILL_MODES
from resuming import attempt_at, run_to_the_end

from paninifs.storage.targets.local import LocalTarget


def values(store):
    """Every object that holds values or says what they are, without the names of this store."""
    target = LocalTarget(store)
    return {
        key: target.get(key)
        for key in target.sizes()
        if "/c/" in key or key.startswith("reductions/") or key.endswith("zarr.json")
        if key != "zarr.json"
    }


@pytest.fixture(scope="module")
def five(file_a_shard, start, tmp_path_factory):
    """A store of five stages that nothing has disturbed."""
    folder = tmp_path_factory.mktemp("five")
    run_to_the_end(start, file_a_shard, folder, 2, inline=True, five_stages=True)
    return values(folder / "out.zarr")


@pytest.mark.soak("a run and its repetition for each of some 60 writes")
@pytest.mark.parametrize("mode", KILL_MODES)
def test_killing_a_run_of_five_stages_at_any_write_is_harmless(
    mode, file_a_shard, start, five, tmp_path
):
    options = {"inline": True, "five_stages": True}
    for at in range(1, 1000):
        folder = tmp_path / str(at)
        folder.mkdir()
        process = start(attempt_at(file_a_shard, folder, 2, kill_at=at, mode=mode, **options))
        process.join()
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        run_to_the_end(start, file_a_shard, folder, 2, **options)
        assert values(folder / "out.zarr") == five
    assert at > 60


@pytest.mark.documented("later-killed")
@pytest.mark.soak("a run for each of some 40 writes")
def test_killing_an_addition_at_any_write_leaves_the_old_store(file_a_shard, start, five, tmp_path):
    for at in range(1, 1000):
        folder = tmp_path / str(at)
        folder.mkdir()
        run_to_the_end(start, file_a_shard, folder, 2, inline=True)
        old = values(folder / "out.zarr")
        options = {"inline": True, "five_stages": True}
        (folder / "log.writes").unlink()  # writes are counted from here
        process = start(attempt_at(file_a_shard, folder, 2, kill_at=at, **options))
        process.join()
        assert old.items() <= values(folder / "out.zarr").items()
        if process.exitcode == 0:
            break
        run_to_the_end(start, file_a_shard, folder, 2, **options)
        assert values(folder / "out.zarr") == five
    assert at > 15
