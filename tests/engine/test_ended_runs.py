"""What a run says once it has failed or was stopped, and what happens to one that goes on."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

import numpy as np
import pytest
from notebooks import client_of, of_cells

import paninifs as pf
from paninifs.engine.cli import console
from paninifs.engine.cluster.leaving import Leaving
from paninifs.engine.monitoring.events import Failed
from paninifs.engine.monitoring.figures import Figures
from paninifs.engine.monitoring.progress import Progress
from paninifs.engine.run.background import active
from paninifs.storage.errors import (
    BlockError,
    CorpusNotFound,
    LeaseHeld,
    ResultsIncomplete,
    RunCancelled,
    RunFailed,
    UsageError,
)

ENTERED, GO = threading.Event(), threading.Event()


@pf.map_block(fields=[pf.Field("x", "float32")], version="1")
def divides(text):
    return np.array([1 / (len(one) - 3) for one in text.to_strings()], "float32")


@pf.map_block(fields=[pf.Field("x", "int8")], version="1")
def waits(text):
    if b"wait" in text.to_bytes():  # not among the first texts, on which a graph is tried
        here = sys.modules["test_ended_runs"]  # the block is pickled with what it refers to
        here.ENTERED.set()
        here.GO.wait(60)
    return np.zeros(len(text), "int8")


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("one\ntwo\n")
    return pf.open_corpus(path)


@pytest.fixture
def long_corpus(tmp_path):
    path = tmp_path / "long.txt"
    path.write_text("".join(f"line {row}\n" for row in range(20)) + "wait\n")
    return pf.open_corpus(path)


@pytest.fixture
def failed(inline, corpus, tmp_path):
    graph = pf.Graph((divides,))
    run = pf.submit(graph, corpus, tmp_path / "out.zarr", client=inline, progress=False)
    run.wait()
    return run


@pytest.fixture
def going(inline, long_corpus, tmp_path):
    """A run in the middle of a block; it is let go at the end of the test."""
    ENTERED.clear()
    GO.clear()
    run = pf.submit(
        pf.Graph((waits,)), long_corpus, tmp_path / "out.zarr", client=inline, progress=False
    )
    assert ENTERED.wait(20), run
    yield run
    GO.set()
    run.wait(60)


# --- why ------------------------------------------------------------------------------------------

WHY = "block 'divides' raised ZeroDivisionError: division by zero (at "


def test_exception_returns_what_result_raises(failed):
    error = failed.exception()
    assert isinstance(error, BlockError)
    with pytest.raises(BlockError) as caught:
        failed.result()
    assert caught.value is error


def test_every_display_says_why(failed):
    assert failed.status().state == "failed"
    assert failed.status().reason.startswith(WHY)
    assert f"failed: {WHY}" in repr(failed)
    assert "\n" not in repr(failed)
    page = failed._repr_html_()
    assert "</progress> failed" in page
    assert "ZeroDivisionError: division by zero" in page
    assert ("reason", failed.status().reason) in [*failed.figures.in_words()]


def test_a_finished_run_has_no_exception_and_no_reason(inline, corpus, tmp_path):
    run = pf.submit(
        pf.default_graph(), corpus, tmp_path / "out.zarr", client=inline, progress=False
    )
    assert run.exception() is None
    assert run.status().reason is None
    assert "reason" not in dict(run.figures.in_words())


def test_exception_waits_as_long_as_it_is_told(going):
    with pytest.raises(TimeoutError, match=r"has not finished after 0\.01 s"):
        going.exception(0.01)


def test_a_run_that_was_cancelled_is_stopped(going):
    going.cancel()
    GO.set()
    assert isinstance(going.exception(60), RunCancelled)
    assert going.status().state == "stopped"
    assert "stopped, " in repr(going)
    assert "failed" not in repr(going) + going._repr_html_()


def test_a_stop_exits_with_the_code_of_an_interruption(capsys):
    with pytest.raises(console.typer.Exit) as caught, console.errors():
        raise RunCancelled("cancelled; x keeps what is done")
    assert caught.value.exit_code == console.INTERRUPTED
    assert "stopped:" in capsys.readouterr().err


def test_a_reason_is_one_bounded_line():
    progress = Progress()
    progress.listen(Failed(RunFailed("x" * 1_000_000 + "\nmore")))
    assert len(progress.reason) == 400
    unknown = Progress()
    unknown.listen(Failed(ValueError()))
    assert unknown.reason == "ValueError:"
    assert Figures.from_message(Figures.of(progress).to_message()).reason == progress.reason


# --- short tracebacks -----------------------------------------------------------------------------


def lines_of(function, *given):
    try:
        function(*given)
    except Exception as error:  # noqa: BLE001 (whatever it raises)
        return "".join(traceback.format_exception(error)).splitlines(), error
    raise AssertionError


def test_a_failed_run_shows_the_users_lines_alone(failed):
    lines, _ = lines_of(failed.result)
    text = "\n".join(lines)
    assert len(lines) < 20
    assert "_drive" not in text
    assert lines[-1].strip() == divides_line()


def divides_line():
    return 'return np.array([1 / (len(one) - 3) for one in text.to_strings()], "float32")'


@pytest.mark.parametrize(
    "call",
    [
        lambda folder: pf.open_corpus(folder / "nothing.txt"),
        lambda folder: pf.open_results(folder / "nothing.zarr"),
        lambda folder: pf.verify(folder / "nothing.zarr"),
        lambda folder: pf.submit(pf.default_graph(), "corpus", folder / "x"),
        lambda folder: pf.connect("abacus"),
    ],
)
def test_a_wrong_request_has_a_short_traceback(call, tmp_path):
    lines, error = lines_of(call, tmp_path)
    assert isinstance(error, UsageError)
    assert len(lines) < 14


def test_examples_of_such_functions_are_still_found():
    import doctest

    from paninifs.engine.run import submit

    found = [one.name for one in doctest.DocTestFinder().find(submit)]
    assert "paninifs.engine.run.submit.submit" in found


def test_what_a_short_traceback_leaves_out_is_logged(tmp_path, caplog):
    with (
        caplog.at_level("DEBUG", "paninifs.storage.messages.tracebacks"),
        pytest.raises(CorpusNotFound),
    ):
        pf.open_corpus(tmp_path / "nothing.txt")
    assert "listing.py" in caplog.text


# --- runs that go on ------------------------------------------------------------------------------


def test_a_run_that_goes_on_is_found(going):
    assert pf.running() == [going]
    GO.set()
    going.result()
    assert pf.running() == []


def test_a_second_run_in_this_process_is_told_where_the_first_is(going, inline, long_corpus):
    with pytest.raises(LeaseHeld, match=r"which is this one.*running\(\)"):
        pf.submit(pf.Graph((waits,)), long_corpus, going.results, client=inline, progress=False)


def test_a_run_after_a_cancelled_one_waits_for_its_end(going, inline, long_corpus):
    going.cancel()
    threading.Timer(0.2, GO.set).start()
    run = pf.submit(pf.Graph((waits,)), long_corpus, going.results, client=inline, progress=False)
    assert run.result().done == 21


def test_opening_a_store_that_is_written_says_so(going):
    with pytest.warns(ResultsIncomplete, match=r"is being written by process \d+.*Open it again"):
        pf.open_results(going.results)


@pytest.mark.documented("interrupted-wait")
def test_an_interrupted_wait_says_that_the_run_goes_on(going, monkeypatch):
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt, match=r"goes on.*run\.cancel\(\) stops it"):
        going.result()
    assert not going.done


def test_the_end_of_a_clients_block_waits_for_its_runs(going, inline, capsys):
    threading.Timer(0.3, GO.set).start()
    active._leave(inline, True)
    assert going.done
    assert "waiting for the run of" in capsys.readouterr().err


def test_a_block_that_ends_with_an_exception_stops_them(going, inline, capsys):
    threading.Timer(0.3, GO.set).start()
    active._leave(inline, False)
    assert isinstance(going.exception(), RunCancelled)
    assert "was stopped" in capsys.readouterr().err


def test_another_clients_runs_are_left_alone(going, capsys):
    active._leave(object(), True)
    assert not going.done
    assert not capsys.readouterr().err


def test_workers_ended_by_their_clients_close_are_not_reported(caplog):
    class Closing:
        def __exit__(self, *_):
            log = logging.getLogger("distributed.nanny")
            log.warning("Worker process still alive after 4.0 seconds, killing")
            log.warning("something else")

    class Left(Leaving, Closing):
        pass

    Left().__exit__(None, None, None)
    assert [one.getMessage() for one in caplog.records] == ["something else"]


SCRIPT = """
import sys, time, numpy as np, paninifs as pf

@pf.map_block(fields=[pf.Field("x", "int8")])
def slow(text):
    time.sleep(1)
    if "fail" in sys.argv:
        raise ValueError("no luck")
    return np.zeros(len(text), "int8")

if __name__ == "__main__":
    client = pf.connect("threads", quiet=True)
    run = pf.submit(pf.Graph((slow,)), pf.open_corpus("corpus.txt"), "out.zarr", progress=False)
    if "raise" in sys.argv:
        raise SystemError("mine")
"""


def script(folder: Path, *words, source=SCRIPT):
    (folder / "script.py").write_text(source)
    return subprocess.run(
        [sys.executable, "script.py", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


@pytest.mark.documented("script-ends")
def test_a_script_that_ends_waits_for_its_run(corpus, tmp_path):
    ran = script(tmp_path)
    assert (ran.returncode, ran.stdout) == (0, "")
    assert "waiting for the run of" in ran.stderr
    assert pf.open_results(tmp_path / "out.zarr").attrs["complete"]


def test_a_script_that_ends_says_that_its_run_failed(corpus, tmp_path):
    ran = script(tmp_path, "fail")
    assert re.search(r"paninifs: the run of .*failed: block 'slow' raised ValueError", ran.stderr)
    assert 'raise ValueError("no luck")' in ran.stderr


def test_a_script_that_raises_stops_its_run(corpus, tmp_path):
    began = time.monotonic()
    ran = script(tmp_path, "raise")
    assert time.monotonic() - began < 60
    assert "SystemError: mine" in ran.stderr
    assert "the run was stopped" in ran.stderr
    assert "waiting" not in ran.stderr


def test_the_block_of_a_client_waits_for_a_run(corpus, tmp_path):
    source = (
        SCRIPT.replace("client = pf.connect", "with pf.connect")
        .replace("quiet=True)\n", "quiet=True):\n")
        .replace("    run =", "        run =")
    )
    ran = script(tmp_path, source=source + "    print(run.result().done)\n")
    assert (ran.returncode, ran.stdout) == (0, "2\n"), ran.stderr


def test_closing_the_client_of_a_run_says_what_to_do(corpus, tmp_path):
    source = SCRIPT + "    time.sleep(0.5); client.close(); run.result()\n"
    ran = script(tmp_path, source=source)
    assert "RunFailed: the client was closed before the run had finished" in ran.stderr
    assert len(ran.stderr.splitlines()) < 12, ran.stderr


# --- in a notebook --------------------------------------------------------------------------------

NOTEBOOK = """
import numpy as np
import paninifs as pf
client = pf.connect(workers=1)
corpus = pf.open_corpus("corpus.txt")

def inverse(text):
    return 1 / (len(text) - 3)

@pf.map_block(fields=[pf.Field("x", "float32")])
def divides(text):
    return np.array([inverse(one) for one in text.to_strings()], "float32")
# %%
run = pf.submit(pf.Graph((divides,)), corpus, "out.zarr", progress=False)
run
# %%
try:
    run.result()
except Exception as error:
    print(error)
# %%
run
# %%
client.close()
"""


def test_a_notebook_shows_the_cell_and_the_line(corpus, tmp_path):
    notebook = of_cells(NOTEBOOK.split("# %%\n"))
    client_of(notebook, tmp_path).execute()
    (live,) = notebook.cells[1].outputs
    assert "</progress> failed" in live.data["text/html"]  # it was kept up to date
    (printed,) = notebook.cells[2].outputs
    assert "cell In[1], line 7, in inverse" in printed.text
    assert printed.text.rstrip().endswith("return 1 / (len(text) - 3)")
    (card,) = notebook.cells[3].outputs
    assert "division by zero" in card.data["text/html"]
