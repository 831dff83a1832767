"""The command line as users see it: a process, its output, its exit code."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import time

import numpy as np
import psutil
import pytest
from typer.testing import CliRunner

import paninifs as pf
from paninifs.engine.cli import app

COMMAND = [sys.executable, "-c", "from paninifs.engine.cli import main; main()"]
SMALL = ["--workers", "1"]
THREADS = ["--cluster", "threads"]  # for tests that are not about the cluster


def paninifs(*arguments, cwd):
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory, glosses):
    """A folder with a corpus and a finished store, and what `run` printed."""
    folder = tmp_path_factory.mktemp("cli")
    lines = "".join(json.dumps(row) + "\n" for row in glosses[:600])
    (folder / "c.jsonl").write_text(lines)
    ran = paninifs("run", "c.jsonl", "out.zarr", *SMALL, "--shard-rows", "256", cwd=folder)
    assert ran.returncode == 0, ran.stderr
    return folder, ran


def test_run_prints_summary_and_dashboard(finished):
    _, ran = finished
    assert "dask dashboard: http://127.0.0.1:" in ran.stdout
    assert "600 of 600 done, 0 quarantined" in ran.stdout
    assert "next: paninifs show" in ran.stdout
    assert "Traceback" not in ran.stderr


def test_status_show_and_verify_print_json_for_scripts(finished):
    folder, _ = finished
    status = json.loads(paninifs("status", "out.zarr", "--json", cwd=folder).stdout)
    assert (status["complete"], status["rows_done"], status["shards"]) == (True, 600, 3)
    assert status["writer"] is None
    shown = json.loads(paninifs("show", "out.zarr", "--top", "3", "--json", cwd=folder).stdout)
    assert shown["arrays"]["dhatu"] == "float32 [600, 9]"
    assert len(shown["ranked"]) == 3
    values = [one["value"] for one in shown["ranked"]]
    assert values == sorted(values, reverse=True)
    lines = (folder / "c.jsonl").read_text().splitlines()
    for one in shown["ranked"]:
        row = json.loads(lines[one["file_row"]])
        assert (row["id"], row["text"]) == (one["id"], one["text"])
    verified = json.loads(paninifs("verify", "out.zarr", "--json", cwd=folder).stdout)
    assert verified["passed"] is True
    assert verified["rows"] == 600


def test_show_and_status_print_readable_text(finished):
    folder, _ = finished
    shown = paninifs("show", "out.zarr", "--by", "entropy", cwd=folder).stdout
    assert "prime_base" in shown
    assert "float32 [600, 10]" in shown
    assert "largest entropy" in shown
    assert "3 of 3, 256 texts each" in paninifs("status", "out.zarr", cwd=folder).stdout
    wrong = paninifs("show", "out.zarr", "--by", "dhatu", cwd=folder)
    assert wrong.returncode == 2
    assert "choose one of: variance, entropy" in wrong.stderr


def test_second_run_is_a_no_op_and_another_corpus_refused(finished):
    folder, _ = finished
    again = paninifs("run", "c.jsonl", "out.zarr", *SMALL, "--json", cwd=folder)
    assert again.returncode == 0
    assert json.loads(again.stdout)["done"] == 600
    (folder / "d.jsonl").write_text('{"text": "another"}\n')
    refused = paninifs("run", "d.jsonl", "out.zarr", *SMALL, cwd=folder)
    assert refused.returncode == 2
    assert "was begun with a different corpus" in refused.stderr
    assert "--fresh" in refused.stderr


def test_devices_names_processor_and_sha256_path(tmp_path):
    found = json.loads(paninifs("devices", "--json", cwd=tmp_path).stdout)["cpu"]
    assert found["hashing"] == found["usable"][0]
    assert found["usable"][-1] == "hashlib"
    assert found["name"] in paninifs("devices", cwd=tmp_path).stdout


def test_devices_refuses_an_unknown_sha256_path(tmp_path, monkeypatch):
    monkeypatch.setenv("PANINIFS_SHA256", "sse9")
    told = paninifs("devices", cwd=tmp_path)
    assert told.returncode == 2
    assert "PANINIFS_SHA256=sse9 cannot be used; this process supports" in told.stderr


def test_small_corpus_uses_threads_by_default(finished, tmp_path):
    folder, sized = finished
    note = "the corpus is small, so threads of this process compute it"
    assert note not in sized.stderr
    ran = paninifs("run", folder / "c.jsonl", "out.zarr", "--verbose", cwd=tmp_path)
    assert (ran.returncode, note in ran.stderr) == (0, True)
    same = paninifs("verify", "out.zarr", cwd=tmp_path)
    assert same.returncode == 0, same.stdout


def test_verify_exits_1_after_one_changed_value(finished, tmp_path):
    import shutil

    import zarr

    folder, _ = finished
    shutil.copytree(folder / "out.zarr", tmp_path / "out.zarr")
    array = zarr.open_group(tmp_path / "out.zarr")["dhatu"]
    array[300, 4] = array[300, 4] + 0.25
    found = paninifs("verify", "out.zarr", cwd=tmp_path)
    assert found.returncode == 1
    assert "wrong: dhatu, row 300:" in found.stdout
    assert "not verified" in found.stdout


def test_show_works_without_a_changed_corpus(finished, tmp_path):
    (tmp_path / "c.txt").write_text("one\n")
    assert paninifs("run", "c.txt", "out.zarr", *THREADS, cwd=tmp_path).returncode == 0
    (tmp_path / "c.txt").write_text("another\n")
    shown = paninifs("show", "out.zarr", cwd=tmp_path)
    assert shown.returncode == 0
    assert "(text not available: " in shown.stdout


def test_quarantined_rows_exit_3(tmp_path):
    (tmp_path / "c.jsonl").write_text('{"text": "good"}\n{"text": null}\n')
    ran = paninifs("run", "c.jsonl", "out.zarr", *THREADS, cwd=tmp_path)
    assert ran.returncode == 3
    assert "1 of 2 done, 1 quarantined" in ran.stdout
    assert "quarantined: c.jsonl, row 1: null text" in ran.stdout
    assert "quarantine.parquet" in ran.stdout
    status = paninifs("status", "out.zarr", cwd=tmp_path).stdout
    assert "1 done and 1 quarantined of 2" in status
    ran = paninifs("run", "c.jsonl", "two.zarr", *THREADS, "--on-error", "raise", cwd=tmp_path)
    assert ran.returncode == 1
    assert "c.jsonl, row 1: null text" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "nowhere.jsonl", "out.zarr"], "no files found at nowhere.jsonl"),
        (["run", "c.jsonl"], "as the last argument, RESULTS"),
        (
            ["run", "c.jsonl", "out.zarr", "--cluster", "abacus"],
            "choose one of cpu, threads, cuda, or a scheduler",
        ),
        (["run", "c.jsonl", "out.zarr", "--shard-rows", "100"], "power of two"),
        (["run", "c.jsonl", "out.zarr", "--text", "gloss", *THREADS], "no column 'gloss'"),
        (["status", "nowhere.zarr"], "no results store"),
        (["show", "nowhere.zarr"], "no results store"),
        (["verify", "nowhere.zarr"], "no results store"),
        (["fly"], "No such command"),
    ],
)
def test_wrong_usage_prints_one_line_and_exits_2(arguments, words, tmp_path):
    (tmp_path / "c.jsonl").write_text('{"text": "good"}\n')
    ran = paninifs(*arguments, *(SMALL if arguments[0] == "run" else []), cwd=tmp_path)
    assert ran.returncode == 2, ran.stderr
    assert words in " ".join(ran.stderr.replace("│", " ").split())
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("command", ["run", "graph", "status", "verify", "show"])
def test_help_explains_every_option(command, tmp_path):
    helped = paninifs(command, "--help", cwd=tmp_path)
    assert helped.returncode == 0
    for line in helped.stdout.splitlines():
        if line.startswith("│ --"):
            assert len(line.split()) > 3, line


@pytest.fixture
def long(tmp_path, glosses):
    """A command that takes long enough to be stopped; the corpus has 10,000 texts."""
    lines = "".join(json.dumps(row) + "\n" for row in glosses)
    (tmp_path / "c.jsonl").write_text(lines * 5)
    return ["run", "c.jsonl", "out.zarr", "--shard-rows", "64"]


@pytest.fixture(autouse=True)
def heard():
    """Commands of these tests hear a SIGHUP, also where the tests were started with ``nohup``."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def begun(arguments, folder, inside=()):
    """Start a command; return it once it has done three shards."""
    process = subprocess.Popen(
        [*inside, *COMMAND, *arguments],
        cwd=folder,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    done = folder / "out.zarr" / "_run" / "done"
    while len(list(done.glob("*.json"))) < 3:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    return process


def assert_released_and_resumes(arguments, folder):
    lease = max((folder / "out.zarr/_run/lease").glob("*.json"))
    assert json.loads(lease.read_text())["released"] is True
    assert 3 <= len(list((folder / "out.zarr/_run/done").glob("*.json"))) < 157
    again = paninifs(*arguments, "--json", cwd=folder)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["done"] == 10_000


SIGNALS = [
    ("SIGINT", 130, SMALL),
    ("SIGTERM", 143, THREADS),
    ("SIGHUP", 129, THREADS),
    pytest.param("SIGTERM", 143, SMALL, marks=pytest.mark.soak("with worker processes too")),
    pytest.param("SIGHUP", 129, SMALL, marks=pytest.mark.soak("with worker processes too")),
    pytest.param("SIGINT", 130, THREADS, marks=pytest.mark.soak("with threads too")),
]


@pytest.mark.documented("signals")
@pytest.mark.parametrize(("name", "code", "cluster"), SIGNALS)
def test_a_signal_leaves_a_store_that_resumes(name, code, cluster, long, tmp_path):
    process = begun([*long, *cluster], tmp_path)
    began = time.monotonic()
    os.killpg(process.pid, getattr(signal, name))  # to the workers too, like a terminal
    _, said = process.communicate(timeout=60)
    assert time.monotonic() - began < 12
    assert process.returncode == code, said
    assert "To resume, run again" in said
    assert "Traceback" not in said
    assert "KeyboardInterrupt" not in said
    assert_released_and_resumes([*long, *THREADS], tmp_path)


STUCK = """
import time
from paninifs.engine.cli import main
from paninifs.engine.run import handle
handle.Run.cancel = lambda self: None  # a run that nothing stops
main()
"""


@pytest.mark.documented("signals")
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("SIGTERM", 143),
        pytest.param("SIGINT", 130, marks=pytest.mark.soak("another signal")),
        pytest.param("SIGHUP", 129, marks=pytest.mark.soak("another signal")),
    ],
)
def test_a_second_signal_ends_the_command_at_once(name, code, long, tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "COMMAND", [sys.executable, "-c", STUCK])
    process = begun([*long, *THREADS], tmp_path)
    number = getattr(signal, name)
    process.send_signal(number)
    time.sleep(0.7)
    assert process.poll() is None
    process.send_signal(number)
    _, said = process.communicate(timeout=5)
    assert process.returncode == code, said
    assert "ended at once" in said
    monkeypatch.undo()
    again = paninifs(*long, *THREADS, "--json", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["done"] == 10_000


BUSY = STUCK.replace(
    "main()",
    """handle.Run._drive = lambda self: open("driving", "w").close() or time.sleep(1e6)
main()""",
)


@pytest.mark.soak("waits as long as a stop may take")
def test_a_run_that_does_not_stop_is_left_in_time(tmp_path):
    """Its store is released without it, so that the next command goes on at once."""
    (tmp_path / "c.txt").write_text("one\ntwo\n")
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY, "run", "c.txt", "out.zarr", *THREADS],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "driving").exists():
        assert process.poll() is None
        time.sleep(0.02)
    began = time.monotonic()
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert time.monotonic() - began < 12
    assert process.returncode == 143, said
    assert not (tmp_path / "out.zarr").exists()  # nothing was begun


def test_ignored_signals_stay_ignored(long, tmp_path):
    """As those of ``nohup``, and of what a script starts in the background."""
    inside = ["sh", "-c", 'trap "" HUP INT; exec "$@"', "sh"]
    process = begun([*long, *THREADS], tmp_path, inside)
    for number in (signal.SIGHUP, signal.SIGINT):
        process.send_signal(number)
    _, said = process.communicate(timeout=100)
    assert process.returncode == 0, said


def test_a_closed_terminal_ends_a_command(long, tmp_path):
    main, side = os.openpty()
    process = subprocess.Popen(
        [*COMMAND, *long, *THREADS],
        cwd=tmp_path,
        stdin=side,
        stdout=side,
        stderr=side,
        preexec_fn=controlled,  # noqa: PLW1509 (this process has no other threads)
    )
    os.close(side)
    done = tmp_path / "out.zarr" / "_run" / "done"
    while len(list(done.glob("*.json"))) < 3:
        assert process.poll() is None
        time.sleep(0.02)
    os.close(main)
    assert process.wait(20) == 129
    assert_released_and_resumes([*long, *THREADS], tmp_path)


def controlled():
    """Make stdin the terminal that controls this process."""
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


CONTAINER = ["unshare", "--pid", "--fork", "--mount-proc"]


@pytest.mark.documented("signals")
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("SIGTERM", 143),
        pytest.param("SIGHUP", 129, marks=pytest.mark.soak("another signal")),
        pytest.param("SIGINT", 130, marks=pytest.mark.soak("another signal")),
    ],
)
def test_process_1_ends_and_the_next_goes_on_at_once(name, code, long, tmp_path):
    """It has no default handlers: the kernel would ignore what nobody handles."""
    tried = subprocess.run([*CONTAINER, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"needs leave to make namespaces: {tried.stderr.strip()}")
    container = begun([*long, *THREADS], tmp_path, CONTAINER)
    (first,) = psutil.Process(container.pid).children()
    began = time.monotonic()
    first.send_signal(getattr(signal, name))
    _, said = container.communicate(timeout=60)
    assert container.returncode == code, said
    assert time.monotonic() - began < 12
    again = subprocess.run(
        [*CONTAINER, *COMMAND, *long, *THREADS, "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["done"] == 10_000
    assert "waiting for a sign of life" not in again.stderr


def test_ctrl_c_during_worker_start_ends_the_command(tmp_path):
    (tmp_path / "c.jsonl").write_text('{"text": "good"}\n')
    process = psutil.Popen(
        [*COMMAND, "run", "c.jsonl", "out.zarr", "--workers", "2"],
        cwd=tmp_path,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (workers := workers_of(process)):
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    out, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "dashboard" not in out  # it was stopped before that
    assert "Traceback" not in said
    assert not (tmp_path / "out.zarr").exists()
    assert not any(worker.is_running() for worker in workers)


def workers_of(process):
    children = process.children(recursive=True)
    return [one for one in children if "spawn_main" in " ".join(one.cmdline())]


def test_folder_of_documents_has_one_text_per_file(tmp_path):
    (tmp_path / "docs/deep").mkdir(parents=True)
    (tmp_path / "docs/a.md").write_text("# One\n\nText.\n")
    (tmp_path / "docs/deep/b.html").write_text("<p>Two</p>\n")
    (tmp_path / "docs/c.bin").write_bytes(b"\0")
    ran = paninifs("run", "docs", "out.zarr", "--format", "document", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "2 of 2 done, 0 quarantined" in ran.stdout
    assert "skipped, as their format is unknown: c.bin" in ran.stderr
    shown = json.loads(paninifs("show", "out.zarr", "--json", cwd=tmp_path).stdout)
    assert {(one["id"], one["text"]) for one in shown["ranked"]} == {
        ("a.md", "# One\n\nText.\n"),
        ("deep/b.html", "<p>Two</p>\n"),
    }
    assert paninifs("verify", "out.zarr", cwd=tmp_path).returncode == 0
    again = paninifs("run", "docs/a.md", "out.zarr", "--format", "text", cwd=tmp_path)
    assert again.returncode == 2
    refused = paninifs("run", "docs", "x.zarr", "--format", "pdf", cwd=tmp_path)
    assert refused.returncode == 2
    assert "unknown format 'pdf'" in refused.stderr


@pf.map_block(fields=[pf.Field("n_bytes", "int32")])
def n_bytes(text):
    return (text.offsets[1:] - text.offsets[:-1]).astype("int32")


@pf.map_block(fields=[pf.Field("first", "string")])
def first(text):
    return np.array([one[:1] for one in text.to_strings()], object)


def printed(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture
def own(inline, tmp_path):
    """Return a function that makes a store of three texts with a given block."""

    def store(block):
        (tmp_path / "c.jsonl").write_text('{"text": "a"}\n{"text": "abc"}\n{"text": "ab"}\n')
        corpus = pf.open_corpus(tmp_path / "c.jsonl")
        pf.submit(block, corpus, tmp_path / "own.zarr", client=inline, progress=False).result()
        return tmp_path / "own.zarr"

    return store


def test_show_ranks_a_store_of_own_blocks_by_its_number(own):
    shown = printed("show", own(n_bytes))
    assert shown.exit_code == 0, shown.output
    assert "largest n_bytes:\n3  1  abc\n2  2  ab\n" in shown.stdout


def test_show_names_the_reductions_of_a_store(own):
    graph = pf.Graph((n_bytes,)) + pf.profile("n_bytes") + pf.histogram("n_bytes")
    shown = printed("show", own(graph))
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    at = lines.index("reductions, which paninifs.open_reduction(RESULTS, NAME) reads:")
    assert lines[at + 1 : at + 4] == ["n_bytes_profile", "n_bytes_histogram", ""]


def test_show_prints_a_store_without_numbers(own):
    store = own(first)
    shown = printed("show", store)
    assert shown.exit_code == 0, shown.output
    assert "first" in shown.stdout
    assert "largest" not in shown.stdout
    assert "reductions" not in shown.stdout
    assert "no array has such numbers" in printed("show", store, "--by", "first").stderr


def test_verify_names_what_was_not_recomputed(own):
    said = printed("verify", own(n_bytes)).stdout
    assert "3 texts read again and compared, none recomputed" in said
    assert "verified, except how n_bytes computes" in said


def test_a_small_run_prints_at_most_five_lines(tmp_path):
    (tmp_path / "c.jsonl").write_text('{"text": "a"}\n')
    ran = paninifs("run", "c.jsonl", "out.zarr", cwd=tmp_path)
    assert len((ran.stderr + ran.stdout).splitlines()) <= 5, ran
    assert "cost" not in ran.stderr


def test_quiet_prints_only_what_is_wrong(tmp_path):
    (tmp_path / "c.jsonl").write_text('{"text": "a"}\n')
    ran = paninifs("run", "c.jsonl", "out.zarr", "--quiet", cwd=tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    (tmp_path / "c.jsonl").write_text('{"text": null}\n')
    ran = paninifs("run", "c.jsonl", "out.zarr", "--quiet", "--fresh", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (3, "")
    assert ran.stdout.startswith("quarantined: c.jsonl, row 0: null text")
    both = paninifs("run", "c.jsonl", "out.zarr", "--quiet", "--verbose", cwd=tmp_path)
    assert both.returncode == 2
