"""Compiled loops on disk: made once, loaded without Numba, never trusted when damaged or old."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paninifs.graphs.kernels import machine_code, moments, sha_paths
from paninifs.graphs.kernels.machine_code import Loop
from paninifs.storage.errors import BackendUnavailable

# It compiles if it has to; what it computes is tried against hashlib by `prepare`.
PREPARED = """
import sys
from paninifs.graphs.kernels import cpu
cpu.prepare()
print("compiled" if "numba" in sys.modules else "loaded")
"""


def start(folder: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", "-c", PREPARED],
        env={**os.environ, "NUMBA_CACHE_DIR": str(folder), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def prepared(folder: Path, **environment: str) -> tuple[str, str]:
    process = start(folder, **environment)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    return out.strip(), err


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder of machine code, and what two processes did that began at once to fill it."""
    folder = tmp_path_factory.mktemp("kept")
    both = [start(folder), start(folder)]
    return folder, sorted(process.communicate(timeout=200)[0].strip() for process in both)


@pytest.fixture
def compilations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is compiled from now on, with a folder of its own."""
    from paninifs.graphs.kernels.compiled import compiling

    made: list[str] = []

    def counted(module: str, name: str, *rest: Any) -> tuple[str, bytes]:
        made.append(name)
        return compiled(module, name, *rest)

    compiled = compiling.compiled
    monkeypatch.setattr(compiling, "compiled", counted)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kept"))
    return made


def shares_by_a_new_process() -> None:
    """Compute with a loop that nothing is known of yet, as in a process that has just begun."""
    out = np.empty((1, 2), np.float32)
    Loop("moments", "shares")(np.array([[1, 3]], np.int32), out)
    assert out.tolist() == [[0.25, 0.75]]


def test_of_two_processes_at_once_one_compiles_and_the_other_loads(
    two: tuple[Path, list[str]],
) -> None:
    assert two[1] == ["compiled", "loaded"]


def test_a_process_that_finds_the_code_needs_no_numba(two: tuple[Path, list[str]]) -> None:
    folder, _ = two
    before = sorted(folder.iterdir())
    assert {file.name.partition("-")[0] for file in before} >= {"moments.shares", "moments.moments"}
    assert prepared(folder) == ("loaded", "")
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("damage", ["cut", "a bit", "empty"])
def test_damaged_code_is_compiled_anew_and_that_is_said(
    compilations: list[str], tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    shares_by_a_new_process()
    (file,) = (tmp_path / "kept").iterdir()
    data = bytearray(file.read_bytes())
    data[-100] ^= 4
    file.write_bytes({"cut": data[:-200], "a bit": data, "empty": b""}[damage])
    shares_by_a_new_process()
    assert "is damaged; its loop is compiled anew" in caplog.text
    shares_by_a_new_process()
    assert compilations == ["shares", "shares"]


@pytest.mark.parametrize("what", ["sources", "target", "version"])
def test_code_of_other_sources_another_processor_or_numba_is_not_taken(
    compilations: list[str], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    shares_by_a_new_process()
    shares_by_a_new_process()
    assert compilations == ["shares"]
    here = machine_code.target()
    other = {
        "sources": ("_sources", lambda: "others"),
        "target": ("target", lambda: replace(here, cpu="generic", features="")),
        "version": ("version", lambda name: "0.99"),
    }
    monkeypatch.setattr(machine_code, *other[what])
    shares_by_a_new_process()
    assert compilations == ["shares", "shares"]


def test_a_change_of_any_source_of_the_kernels_is_one(tmp_path: Path) -> None:
    source = Path(machine_code.__file__).parent
    shutil.copytree(source, tmp_path, dirs_exist_ok=True)
    seen = set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine_code, "_HERE", tmp_path)
        for name in ("arithmetic.py", "chains.py", "compiled/sha256.py", "compiled/moments.py"):
            seen.add(machine_code._sources.__wrapped__())
            with (tmp_path / name).open("a") as file:
                file.write("# changed\n")
        seen.add(machine_code._sources.__wrapped__())
    assert len(seen) == 5


def test_where_no_folder_takes_it_every_process_compiles_and_is_told_what_to_set(
    compilations: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "below"))
    shares_by_a_new_process()
    shares_by_a_new_process()
    assert compilations == ["shares", "shares"]
    assert "set NUMBA_CACHE_DIR to one that can be written to" in caplog.text


def test_the_users_cache_takes_what_the_packages_folder_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    code = machine_code.Code("symbol", b"object")
    monkeypatch.setattr(
        machine_code, "folders", lambda: [tmp_path / "file" / "below", tmp_path / "cache"]
    )
    machine_code._keep("some.code", code)
    assert [file.name for file in (tmp_path / "cache").iterdir()] == ["some.code"]
    assert machine_code._read(tmp_path / "cache" / "some.code") == code


def test_the_folders_are_the_packages_then_the_users_or_the_one_that_the_user_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    package, user = machine_code.folders()
    assert package == Path(machine_code.__file__).parent / "__pycache__"
    assert "paninifs" in user.parts
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert machine_code.folders() == [tmp_path]


def test_a_write_that_fails_leaves_no_part_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        machine_code._replace(tmp_path / "some.code", b"data")
    assert list(tmp_path.iterdir()) == []


def test_who_debugs_blocks_uncompiled_has_the_kernels_still_once_they_are_compiled(
    two: tuple[Path, list[str]], tmp_path: Path
) -> None:
    assert prepared(two[0], NUMBA_DISABLE_JIT="1") == ("loaded", "")
    process = start(tmp_path, NUMBA_DISABLE_JIT="1")
    _, told = process.communicate(timeout=200)
    assert process.returncode != 0
    assert "NUMBA_DISABLE_JIT keeps Numba from it: run once without it" in told


def test_a_loop_is_compiled_for_each_type_of_its_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    shares = Loop("moments", "shares")
    weights = np.array([[1, 3], [0, 0], [-1, 5]])
    for kind in (np.int32, np.int64):
        out = np.full(weights.shape, 7, np.float32)
        shares(weights.astype(kind), out)
        np.testing.assert_array_equal(out, [[0.25, 0.75], [0, 0], [-0.25, 1.25]])
    assert len(list(tmp_path.iterdir())) == 2


def test_an_array_with_gaps_or_of_the_other_order_is_refused() -> None:
    out = np.empty((3, 2), np.float32)
    for weights in (np.zeros((3, 4), np.int32)[:, ::2], np.zeros((2, 3), np.int32).T):
        with pytest.raises(ValueError, match=r"array of \(3, 2\) is not whole and in C order"):
            Loop("moments", "shares")(weights, out)


def test_a_loop_that_needs_what_numba_leaves_out_is_refused_before_llvm_ends_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    needing = Loop("moments", "shares", frozenset({"perpetual-motion"}))
    with pytest.raises(BackendUnavailable, match="without perpetual-motion"):
        needing(np.zeros((1, 2), np.int32), np.empty((1, 2), np.float32))


def test_threads_that_call_at_once_each_get_their_own() -> None:
    # What is handed to the compiled code has to live as long as it runs, without Python's lock.
    rows, begin = 3_000, threading.Barrier(4)
    mine = [np.random.default_rng(n).integers(1, 99, (rows, 9)).astype(np.int32) for n in range(4)]

    def work(weights: np.ndarray) -> bool:
        begin.wait(timeout=60)
        wanted = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
        return all((moments.shares(weights) == wanted).all() for _ in range(200))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, mine))


def test_the_target_is_the_processor_or_what_numba_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    numba_has = pytest.importorskip("numba.core.registry").cpu_target.target_context.codegen()
    _, cpu, features = numba_has.magic_tuple()
    here = machine_code.target.__wrapped__()
    assert (here.cpu, set(here.features.split(","))) == (cpu, set(features.split(",")))
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    monkeypatch.setenv("NUMBA_CPU_FEATURES", "")
    told = machine_code.target.__wrapped__()
    assert (told.triple, told.cpu, told.features) == (here.triple, "generic", "")
    monkeypatch.setattr(machine_code, "target", lambda: told)
    assert sha_paths.usable.__wrapped__() == ("hashlib",)
