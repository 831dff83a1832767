"""The cache of compiled loops: made once, loaded without Numba, not used if damaged or old."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from paninifs.graphs.kernels.cpu import (
    arguments,
    code_cache,
    compiled,
    machine_code,
    moments,
    numba_target,
)
from paninifs.graphs.kernels.cpu.machine_code import Loop
from paninifs.storage.errors import BackendUnavailable

# `prepare` compiles if necessary and runs the self-test.
PREPARED = """
import sys
from paninifs.graphs.kernels.cpu import cpu_backend as cpu
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
    """A folder of machine code, and what two processes that filled it at once report."""
    folder = tmp_path_factory.mktemp("kept")
    both = [start(folder), start(folder)]
    return folder, sorted(process.communicate(timeout=200)[0].strip() for process in both)


@pytest.fixture
def compilations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that collects compiled loops; the cache is a new folder."""
    from paninifs.graphs.kernels.cpu.compiled import numba_compiler

    made: list[str] = []

    def counted(module: str, name: str, kind: Any) -> bytes:
        made.append(name)
        return compile_loop(module, name, kind)

    compile_loop = numba_compiler.compile_loop
    monkeypatch.setattr(numba_compiler, "compile_loop", counted)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kept"))
    return made


def shares_by_a_new_loop() -> None:
    """Compute with a new loop, as a new process would."""
    out = np.empty((1, 2), np.float32)
    Loop("moments", "shares")(np.array([[1, 3]], np.int32), out)
    assert out.tolist() == [[0.25, 0.75]]


def test_one_of_two_processes_at_once_compiles(
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
def test_damaged_code_is_reported_and_not_used(
    compilations: list[str], tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    shares_by_a_new_loop()
    (file,) = (tmp_path / "kept").glob("moments*")
    data = bytearray(file.read_bytes())
    data[-100] ^= 4
    file.write_bytes({"cut": data[:-200], "a bit": data, "empty": b""}[damage])
    shares_by_a_new_loop()
    assert "is damaged and ignored" in caplog.text
    shares_by_a_new_loop()
    assert compilations == ["shares", "shares"]


@pytest.mark.parametrize("what", ["SOURCES", "settings"])
def test_code_of_other_sources_or_settings_is_not_used(
    compilations: list[str], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    shares_by_a_new_loop()
    shares_by_a_new_loop()
    assert compilations == ["shares"]
    other = {"SOURCES": "others", "settings": lambda: "others"}
    monkeypatch.setattr(machine_code, what, other[what])
    shares_by_a_new_loop()
    assert compilations == ["shares", "shares"]


def test_a_change_of_any_source_changes_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels = Path(machine_code.__file__).parents[1]
    shutil.copytree(kernels, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(machine_code, "__file__", str(tmp_path / "cpu" / "machine_code.py"))
    seen = {machine_code.SOURCES}
    for name in (
        "arithmetic.py",
        "chains.py",
        "cpu/moments.py",
        "cpu/compiled/sha256.py",
        "cpu/compiled/moments.py",
    ):
        with (tmp_path / name).open("a") as file:
            file.write("# changed\n")
        seen.add(machine_code._digest_of_sources())
    assert len(seen) == 6


def imported_by(file: Path) -> set[Path]:
    """Return the files of the package that a file imports, in functions too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = file.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            places = [base, *(base / alias.name for alias in node.names)]
            found |= {path for one in places if (path := one.with_suffix(".py")).is_file()}
    return found


def test_the_key_covers_all_that_a_loop_imports() -> None:
    """Loops compile nothing of `storage`: they use its errors and the type of a text only."""
    todo = set(Path(compiled.__file__).parent.glob("*.py"))
    needed: set[Path] = set()
    while todo:
        file = todo.pop()
        needed.add(file)
        todo |= {one for one in imported_by(file) if "graphs" in one.parts} - needed
    assert {file.name for file in needed} >= {"arithmetic.py", "chains.py", "sha256.py"}
    assert needed <= set(machine_code.sources())


@pytest.mark.parametrize("change", ["NUMBA_OPT", "NUMBA_ENABLE_AVX", "file", "version", "host"])
def test_settings_cover_what_changes_numbas_code(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = numba_target.settings.__wrapped__
    before = settings()
    monkeypatch.setenv("NUMBA_CACHE_DIR", "elsewhere")  # irrelevant for the code
    assert settings() == before
    if change == "file":
        (tmp_path / ".numba_config.yaml").write_text("cpu_name: generic")
    elif change == "version":
        monkeypatch.setattr(numba_target, "version", lambda name: "0.99")
    elif change == "host":
        monkeypatch.setattr("llvmlite.binding.get_host_cpu_name", lambda: "nocona")
    else:
        monkeypatch.setenv(change, "0")
    assert settings() != before


def test_without_a_writable_folder_every_process_compiles(
    compilations: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "below"))
    shares_by_a_new_loop()
    shares_by_a_new_loop()
    assert compilations == ["shares", "shares"]
    assert "set NUMBA_CACHE_DIR to a writable folder" in caplog.text


def test_the_users_cache_is_the_second_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(
        code_cache, "folders", lambda: [tmp_path / "file" / "below", tmp_path / "cache"]
    )
    assert code_cache.cached("some", lambda: b"made") == b"made"
    assert [file.name for file in (tmp_path / "cache").iterdir()] == ["some"]
    assert code_cache.cached("some", lambda: b"made again") == b"made"


def test_the_folders_of_the_code_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    package, user = code_cache.folders()
    assert package == Path(machine_code.__file__).parent / "__pycache__"
    assert "paninifs" in user.parts
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert code_cache.folders() == [tmp_path]


def test_a_failed_write_leaves_no_partial_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(Path, "replace", full)
    assert code_cache.cached("some", lambda: b"made") == b"made"
    assert list(tmp_path.iterdir()) == []


def test_cached_kernels_work_with_jit_disabled(two: tuple[Path, list[str]], tmp_path: Path) -> None:
    assert prepared(two[0], NUMBA_DISABLE_JIT="1") == ("loaded", "")
    process = start(tmp_path, NUMBA_DISABLE_JIT="1")
    _, errors = process.communicate(timeout=200)
    assert process.returncode != 0
    assert "NUMBA_DISABLE_JIT disables the compiler; run once without it" in errors


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
    assert len(list(tmp_path.glob("moments.shares-*"))) == 2


@pytest.mark.parametrize(
    ("argument", "error"),
    [
        (
            np.zeros((3, 4), np.int32)[:, ::2],
            r"array of shape \(3, 2\) is not C-contiguous and aligned",
        ),
        (np.zeros((2, 3), np.int32).T, r"array of shape \(3, 2\) is not C-contiguous"),
        (np.frombuffer(bytes(13), np.uint8)[1:].view(np.int32), "aligned"),
        (2**63, "more than 64 bits"),
        (np.zeros(2, bool), "cannot take an array of bool"),
        (np.zeros(2, object), "cannot take an array of object"),
        (np.zeros(2, "f4,i4"), "cannot take an array of"),
        (np.float32(1.5), "integer"),
        ("12", "integer"),
    ],
)
def test_unreadable_arguments_of_a_loop_are_refused(argument: Any, error: str) -> None:
    with pytest.raises((TypeError, ValueError), match=error):
        arguments.append_words((argument,), [])


def made_by_a_loop(
    monkeypatch: pytest.MonkeyPatch, function: Callable[[Any], None], *arguments: Any
) -> None:
    from paninifs.graphs.kernels.cpu.compiled import numba_compiler

    monkeypatch.setattr(numba_compiler, "import_module", lambda *_: SimpleNamespace(some=function))
    Loop("of_a_test", "some")(*arguments)


def test_numbers_and_tuples_reach_a_loop_unchanged(
    compilations: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from paninifs.graphs.kernels.cpu.compiled.numba_compiler import loop

    @loop
    def some(whole: int, real: float, nested: Any, out: Any) -> None:
        (one, more), (unsigned, same) = nested
        out[0], out[1], out[2] = whole, real, one[1, 2]
        out[3] = more[0] + more[1]
        out[4] = unsigned // np.uint64(2)
        out[5] = len(same)

    out = np.zeros(6)
    grid = np.arange(6, dtype=np.int16).reshape(2, 3) - 7
    nested = ((grid, (np.int64(2), 3)), (np.uint64(2**64 - 2), np.zeros(0, np.float32)))
    made_by_a_loop(monkeypatch, some, -5, -0.25, nested, out)
    assert out.tolist() == [-5, -0.25, -2, 5, float(2**63 - 1), 0]


def test_a_loop_that_calls_numbas_runtime_is_refused(
    compilations: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # LLVM would abort every process without Numba that loads the cached code.
    from numba import njit

    @njit
    def some(out: Any) -> None:
        out[0] = np.random.random()  # noqa: NPY002 (for Numba has its own)

    with pytest.raises(AssertionError, match=r"loop some calls numba_.*random"):
        made_by_a_loop(monkeypatch, some, np.zeros(5))


def test_a_target_changed_at_run_time_is_refused(
    compilations: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from paninifs.graphs.kernels.cpu.compiled import numba_compiler

    other = replace(numba_target.target(), cpu="generic", features="")
    monkeypatch.setattr(numba_compiler, "target", lambda: other)
    with pytest.raises(BackendUnavailable, match=r"Numba now compiles for .*, not for generic"):
        shares_by_a_new_loop()


def test_two_threads_that_call_a_loop_first_compile_it_once(
    compilations: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()  # not writable, so that the second finds nothing on disk
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "below"))
    loop, begin = Loop("moments", "shares"), threading.Barrier(2)

    def work(_: int) -> list[float]:
        out = np.empty((1, 2), np.float32)
        begin.wait(timeout=60)
        loop(np.array([[1, 3]], np.int32), out)
        return out[0].tolist()

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, range(2))) == [[0.25, 0.75]] * 2
    assert compilations == ["shares"]


def test_threads_that_call_at_once_each_get_their_own() -> None:
    # Arguments must outlive the compiled code, which runs without Python's lock.
    rows, begin = 3_000, threading.Barrier(4)
    mine = [np.random.default_rng(n).integers(1, 99, (rows, 9)).astype(np.int32) for n in range(4)]

    def work(weights: np.ndarray) -> bool:
        begin.wait(timeout=60)
        wanted = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
        return all((moments.shares(weights) == wanted).all() for _ in range(200))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, mine))


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"NUMBA_CPU_NAME": "generic"},
        {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2"},
        {"NUMBA_ENABLE_AVX": "0"},
    ],
)
def test_the_target_is_numbas_and_read_once(tmp_path: Path, variables: dict[str, str]) -> None:
    def answers(code: str) -> list[str]:
        ran = subprocess.run(
            [sys.executable, "-P", "-c", code],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), **variables},
            capture_output=True,
            text=True,
            check=True,
        )
        return ran.stdout.splitlines()

    ours = (
        "import sys\nfrom paninifs.graphs.kernels.cpu.numba_target import target\n"
        "print(target().triple, target().cpu, target().features)\nprint('numba' in sys.modules)"
    )
    numbas = (
        "from numba.core.registry import cpu_target\n"
        "print(*cpu_target.target_context.codegen().magic_tuple())"
    )
    (wanted,) = answers(numbas)
    assert answers(ours) == [wanted, "True"]
    assert answers(ours) == [wanted, "False"]
