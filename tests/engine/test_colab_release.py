"""A Colab runtime is released only if the results are safe elsewhere."""

from __future__ import annotations

import shutil
import sys
import types
import uuid
from collections import namedtuple

import pytest

import paninifs as pf
from paninifs.storage.errors import UsageError
from paninifs.storage.targets import mounts
from paninifs.storage.targets.open import open_target

Disk = namedtuple("Disk", "mountpoint fstype")


@pytest.fixture
def colab(monkeypatch):
    """Make this process look like a Colab runtime; list the calls to it."""
    for name in ("KAGGLE_KERNEL_RUN_TYPE", "VERTEX_PRODUCT", "CLOUD_ML_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab_20261101")
    asked = []
    package = types.ModuleType("google.colab")
    runtime, drive = (
        types.ModuleType("google.colab.runtime"),
        types.ModuleType("google.colab.drive"),
    )
    runtime.unassign = lambda: asked.append("unassign")
    drive.flush_and_unmount = lambda: asked.append("flush")
    package.runtime, package.drive, package.asked = runtime, drive, asked
    monkeypatch.setitem(sys.modules, "google.colab", package)
    monkeypatch.setitem(sys.modules, "google.colab.runtime", runtime)
    monkeypatch.setitem(sys.modules, "google.colab.drive", drive)
    return package


@pytest.fixture
def mounted(tmp_path, monkeypatch):
    """A folder that is a mounted Drive according to the machine's list of disks."""
    folder = tmp_path / "content" / "drive"
    folder.mkdir(parents=True)
    disks = [Disk("/", "ext4"), Disk(str(folder), "fuse.drive")]
    monkeypatch.setattr(mounts.psutil, "disk_partitions", lambda all: disks)
    return folder


@pytest.fixture
def submitted(inline, write_jsonl):
    def submit(results, **options):
        corpus = pf.open_corpus(write_jsonl([{"id": i, "text": f"t{i}"} for i in range(100)]))
        options = {"client": inline, "progress": False} | options
        return pf.submit(options.pop("graph", pf.default_graph()), corpus, results, **options)

    return submit


def test_with_results_on_the_drive_it_is_flushed_first(colab, mounted, submitted):
    submitted(mounted / "out.zarr").release_runtime()
    assert colab.asked == ["flush", "unassign"]


def test_a_mirror_on_the_drive_is_safe(colab, mounted, submitted, tmp_path):
    submitted(tmp_path / "out.zarr", mirror=mounted / "out.zarr").release_runtime()
    assert colab.asked == ["flush", "unassign"]


def test_results_in_a_bucket_are_safe(colab, submitted, gcs, tmp_path):
    bucket = gcs.make_bucket(uuid.uuid4().hex)
    mirror = open_target(f"gs://{bucket}/out.zarr", gcs.storage_options)
    submitted(tmp_path / "out.zarr", mirror=mirror).release_runtime()
    assert colab.asked == ["unassign"]


def test_a_runtime_with_the_only_results_is_kept(colab, submitted, tmp_path):
    run = submitted(tmp_path / "out.zarr")
    with pytest.raises(UsageError, match=r"is on a disk of the runtime.*mirror='/content/drive"):
        run.release_runtime()
    assert colab.asked == []


def test_results_in_memory_are_not_safe(colab, submitted):
    run = submitted("memory://release/out.zarr")
    with pytest.raises(UsageError, match="is in this process's memory"):
        run.release_runtime()
    assert colab.asked == []


@pf.map_block(fields=[pf.Field("n", "int32")], version="1")
def failing(text):
    raise ValueError("no luck")


def test_a_runtime_is_kept_when_the_run_failed(colab, mounted, submitted):
    run = submitted(mounted / "out.zarr", graph=pf.default_graph() + failing)
    with pytest.raises(UsageError, match="did not finish: block 'failing' raised ValueError"):
        run.release_runtime()
    assert colab.asked == []


def test_a_runtime_is_kept_if_the_mirror_is_not_complete(colab, mounted, submitted, tmp_path):
    run = submitted(tmp_path / "out.zarr", mirror=mounted / "out.zarr")
    run.result()
    (mounted / "out.zarr" / "zarr.json").unlink()
    with pytest.raises(UsageError, match="is not marked complete"):
        run.release_runtime()
    assert colab.asked == []


def test_a_runtime_is_kept_if_a_shard_is_missing(colab, mounted, submitted, tmp_path):
    run = submitted(tmp_path / "out.zarr", mirror=mounted / "out.zarr")
    run.result()
    shutil.rmtree(mounted / "out.zarr" / "digest")
    with pytest.raises(UsageError, match="lacks 1 of 1 shards"):
        run.release_runtime()
    assert colab.asked == []


def test_a_runtime_is_kept_if_the_drive_cannot_be_flushed(colab, mounted, submitted):
    def full():
        raise ValueError("flush_and_unmount failed")

    colab.drive.flush_and_unmount = full
    run = submitted(mounted / "out.zarr")
    with pytest.raises(UsageError, match=r"Drive did not accept all .*flush_and_unmount failed"):
        run.release_runtime()
    assert colab.asked == []


def test_outside_colab_there_is_nothing_to_release(submitted, tmp_path, monkeypatch):
    monkeypatch.delenv("COLAB_RELEASE_TAG", raising=False)
    with pytest.raises(UsageError, match="not a Colab runtime"):
        submitted(tmp_path / "out.zarr").release_runtime()


def test_a_colab_without_its_package_is_reported(colab, submitted, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab.runtime", None)
    with pytest.raises(UsageError, match="Disconnect and delete runtime"):
        submitted(tmp_path / "out.zarr").release_runtime()
