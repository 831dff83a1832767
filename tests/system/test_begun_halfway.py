"""A store whose beginning, or whose removal by ``fresh``, is refused at any write or deletion.

What is left is the engine's own, so the same command goes on once the reason is gone.
"""

from __future__ import annotations

import errno
import json
import os
import warnings
from contextlib import suppress
from typing import ClassVar

import numpy as np
import pytest
from one_by_one import OneByOneTarget

import paninifs as pf
from paninifs.storage.errors import ResultsMismatch
from paninifs.storage.store.keys import is_lease
from paninifs.storage.targets.guarded import RetryingTarget
from paninifs.storage.targets.local import LocalTarget

S = 64


@pf.map_block(fields=[pf.Field("n_bytes", "int32")], version="1")
def n_bytes(text):
    return np.diff(text.offsets).astype("int32")


GRAPH = pf.Graph((n_bytes,))  # few objects, each of which is refused once


class Refusing(OneByOneTarget):
    """Refuses every write, or every deletion, from the n-th on; tasks have copies that count on."""

    left: ClassVar[dict[tuple[str, str], int]] = {}

    def __init__(self, path, *, writes=10**6, deletions=10**6):
        super().__init__(path)
        self.left[self.url, "write"], self.left[self.url, "deletion"] = writes, deletions

    @property
    def refused(self):
        return min(self.left[self.url, kind] for kind in ("write", "deletion")) < 0

    def _count(self, kind):
        self.left[self.url, kind] -= 1
        if self.left[self.url, kind] < 0:
            number = errno.ENOSPC if kind == "write" else errno.EACCES
            raise OSError(number, os.strerror(number))

    def put(self, key, data):
        if not is_lease(key):  # there is room for a lease where a larger object does not fit
            self._count("write")
        super().put(key, data)

    def create(self, key, data):
        self._count("write")
        return super().create(key, data)

    def delete(self, keys):
        for key in keys:
            self._count("deletion")
            super().delete([key])


@pytest.fixture
def corpus(glosses, write_jsonl):
    return pf.open_corpus(write_jsonl([*glosses[:100], {"id": "bad", "text": None}]))


@pytest.fixture
def submit(inline, corpus, tmp_path):
    def begin(results="out.zarr", **options):
        target = tmp_path / results if isinstance(results, str) else results
        options = {"client": inline, "shard_rows": S, "progress": False, **options}
        return pf.submit(GRAPH, corpus, target, **options).result()

    return begin


def lasting(folder):
    target = LocalTarget(folder)
    keys = (key for key in target.sizes() if not is_lease(key) and "timeline" not in key)
    return {key: target.get(key) for key in keys if "/c/" in key or key.startswith("_run/done")}


@pytest.mark.slow("a run and its repetition for each of some 20 writes")
@pytest.mark.documented("begun-halfway")
def test_a_refused_write_leaves_a_store_that_goes_on(submit, tmp_path):
    submit("whole.zarr")
    expected, tried = lasting(tmp_path / "whole.zarr"), 0
    for number in range(1000):
        target = Refusing(tmp_path / f"{number}.zarr", writes=number)
        with suppress(OSError):
            submit(RetryingTarget(target))
        if not target.refused:
            break
        submit(f"{number}.zarr")
        assert lasting(tmp_path / f"{number}.zarr") == expected
        tried += 1
    assert tried > 15


@pytest.mark.slow("three runs for each of some 10 operations")
@pytest.mark.documented("begun-halfway")
@pytest.mark.parametrize(
    ("kind", "then"),
    [
        ("writes", "resume"),
        ("deletions", "fresh"),
        pytest.param("writes", "fresh", marks=pytest.mark.soak("the other ways to go on")),
        pytest.param("deletions", "resume", marks=pytest.mark.soak("the other ways to go on")),
    ],
)
def test_a_refused_fresh_start_leaves_a_store_that_goes_on(submit, tmp_path, kind, then):
    submit("whole.zarr")
    expected, tried = lasting(tmp_path / "whole.zarr"), 0
    for number in range(0, 1000, 3):
        folder = tmp_path / f"{number}.zarr"
        submit(f"{number}.zarr")
        target = Refusing(folder, **{kind: number})
        with suppress(OSError):
            submit(RetryingTarget(target), fresh=True)
        if not target.refused:
            break
        submit(f"{number}.zarr", fresh=then == "fresh")
        assert lasting(folder) == expected
        tried += 1
    assert tried > 2


@pytest.mark.slow("two runs for each of some 10 writes")
@pytest.mark.documented("begun-halfway")
def test_a_refused_write_leaves_a_mirror_that_goes_on(submit, tmp_path):
    submit("whole.zarr")
    expected = lasting(tmp_path / "whole.zarr")
    for number in range(0, 1000, 2):
        folder = tmp_path / f"{number}.zarr"
        mirror = Refusing(tmp_path / f"{number}-mirror.zarr", writes=number)
        with suppress(OSError):
            submit(folder, mirror=RetryingTarget(mirror))
        assert lasting(folder) == expected
        if not mirror.refused:
            break
        submit(folder, mirror=tmp_path / f"{number}-mirror.zarr")
        assert lasting(tmp_path / f"{number}-mirror.zarr") == expected
    assert number > 10


def test_a_fresh_start_that_is_stopped_is_not_complete(submit, tmp_path):
    submit()
    target = Refusing(tmp_path / "out.zarr", deletions=3)  # after the older lease, and the root
    with pytest.raises(OSError, match="permission is denied"):
        submit(RetryingTarget(target), fresh=True)
    with pytest.raises(pf.errors.ResultsNotFound):
        pf.open_results(tmp_path / "out.zarr")


# --- a mirror that is full from the start ---------------------------------------------------------


@pytest.mark.documented("mirror-full")
@pytest.mark.parametrize("fresh", [False, True])
def test_a_mirror_that_is_full_from_the_start_costs_no_results(submit, tmp_path, fresh):
    full = RetryingTarget(Refusing(tmp_path / "mirror.zarr", writes=0))
    with pytest.raises(pf.errors.StorageRefused, match=r"out\.zarr is complete, but it could not"):
        submit(mirror=full, fresh=fresh)
    assert pf.open_results(tmp_path / "out.zarr").valid.values.sum() == 100
    submit(mirror=tmp_path / "mirror.zarr")
    assert lasting(tmp_path / "mirror.zarr") == lasting(tmp_path / "out.zarr")


def test_a_mirror_that_has_space_again_at_the_end_is_whole(submit, tmp_path):
    class Full(LocalTarget):
        creations = 0

        def create(self, key, data):
            self.creations += 1
            if self.creations == 1:
                raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
            return super().create(key, data)

    full = Full(tmp_path / "mirror.zarr")
    submit(mirror=RetryingTarget(full))
    assert full.creations == 2
    assert lasting(tmp_path / "mirror.zarr") == lasting(tmp_path / "out.zarr")


# --- an array of the user's own -------------------------------------------------------------------


def add_own(folder, name="mine"):
    import xarray as xr

    rows = len(pf.open_results(folder).text)
    own = xr.Dataset({name: ("text", np.arange(rows))})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of zarr, about what else is in the folder
        own.to_zarr(folder, mode="a", consolidated=True)


@pytest.mark.documented("own-array")
def test_a_store_to_which_an_array_was_added_stays_complete(submit, tmp_path):
    summary = submit()
    add_own(tmp_path / "out.zarr")
    root = json.loads((tmp_path / "out.zarr/zarr.json").read_text())
    assert "complete" not in root["attributes"]  # that is what xarray does
    opened = pf.open_results(tmp_path / "out.zarr")  # without a warning
    assert "id" in opened.coords
    assert opened.mine.values.tolist() == list(range(101))
    assert submit() == summary
    assert pf.open_results(tmp_path / "out.zarr").mine.values.tolist() == list(range(101))


def test_an_unfinished_store_to_which_an_array_was_added_is_finished(submit, tmp_path):
    submit()
    add_own(tmp_path / "out.zarr")
    (tmp_path / "out.zarr/_run/done/00000000.json").unlink()
    with pytest.warns(pf.errors.ResultsIncomplete):
        pf.open_results(tmp_path / "out.zarr")
    submit()
    assert pf.verify(tmp_path / "out.zarr").passed
    assert (tmp_path / "out.zarr/mine/zarr.json").exists()


@pytest.mark.documented("own-array")
@pytest.mark.parametrize("mirrored", [False, True])
def test_fresh_keeps_an_array_of_the_users_own(submit, tmp_path, mirrored):
    options = {"mirror": tmp_path / "mirror.zarr"} if mirrored else {}
    folder = tmp_path / ("mirror.zarr" if mirrored else "out.zarr")
    submit(**options)
    add_own(folder)
    before = {path: path.read_bytes() for path in (folder / "mine").rglob("*") if path.is_file()}
    assert len(before) >= 2
    submit(fresh=True, **options)
    assert {path: path.read_bytes() for path in before} == before
    assert pf.verify(folder).passed
    assert "mine" not in pf.open_results(folder)


def test_fresh_does_not_replace_an_array_of_the_users_own(submit, inline, corpus, tmp_path):
    @pf.map_block(fields=[pf.Field("mine", "int32")], version="1")
    def mine(text):
        return np.diff(text.offsets).astype("int32")

    submit()
    add_own(tmp_path / "out.zarr")
    graph = GRAPH + mine
    with pytest.raises(ResultsMismatch, match="an array 'mine' that no run has written"):
        pf.submit(
            graph, corpus, tmp_path / "out.zarr", client=inline, fresh=True, progress=False
        ).result()
    assert pf.open_results(tmp_path / "out.zarr").mine.values.tolist() == list(range(101))
