"""The pool: a document that misbehaves fails alone, whatever it does to its process."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from made_documents import pdf
from test_hostile_documents import CASES, HOSTILE, pdf_of_forms_in_forms

from paninifs.engine.collecting.extraction import extraction_process
from paninifs.engine.collecting.extraction.documents.html_pages.html_extractors import (
    HTML_EXTRACTORS,
)
from paninifs.engine.collecting.extraction.pool import ExtractionPool
from paninifs.engine.collecting.outcome import NotKept
from paninifs.storage.errors import UsageError

MEBI = 1 << 20


@pytest.fixture
def misbehaving(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let documents say what their process is to do."""
    monkeypatch.setattr(extraction_process, "_MODULE", "misbehaving_worker")


async def outcome(pool: ExtractionPool, content: bytes | str, **declared: str) -> str:
    """Return a document's text, or the reason for which it has none."""
    content = content.encode() if isinstance(content, str) else content
    try:
        return (await pool.extract(content, **declared)).text
    except NotKept as refused:
        return refused.reason


def outcomes(*contents: str, processes: int = 1, **limits: Any) -> list[str]:
    """Return the outcomes of documents that are given to a pool at once."""

    async def all_of_them() -> list[str]:
        async with ExtractionPool(processes, **limits) as pool:
            return await asyncio.gather(*(outcome(pool, content) for content in contents))

    return asyncio.run(all_of_them())


@pytest.mark.parametrize("html", HTML_EXTRACTORS)
def test_hostile_documents_end_in_the_same_reasons(html: str) -> None:
    """Those of the table, many at once, with a good one after each of them."""
    good = pdf("One")

    async def both(pool: ExtractionPool, name: str) -> tuple[str, str]:
        make, media_type, _ = HOSTILE[name]
        bad = asyncio.create_task(outcome(pool, make(), media_type=media_type))
        return await bad, await outcome(pool, good)

    async def all_of_them() -> list[tuple[str, str]]:
        async with ExtractionPool(2, memory_bytes=512 * MEBI, html=html) as pool:
            return await asyncio.gather(*(both(pool, name) for name in names))

    names = [name for name, extractor in CASES if extractor == html]
    expected = [(HOSTILE[name][2], "One") for name in names]
    assert asyncio.run(all_of_them()) == expected


@pytest.mark.usefixtures("misbehaving")
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("spin 60", "took-too-long"),
        ("sleep 60", "took-too-long"),
        ("eat 200", "too-much-memory"),
        ("gulp 4000", "too-much-memory"),
        ("crash", "crashed"),
        ("exit 0", "crashed"),
        ("exit 3", "crashed"),
        ("lie", "crashed"),
    ],
)
def test_a_document_fails_alone(content: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Documents before and behind it, also those that its process held already, are extracted."""
    monkeypatch.setattr("paninifs.engine.collecting.extraction.pool._CLOCK_SECONDS", 2)
    said = ["say one", "say two", content, "say three", "say four"]
    found = outcomes(*said, seconds=1, memory_bytes=128 * MEBI)
    assert found == ["one", "two", reason, "three", "four"]


@pytest.mark.usefixtures("misbehaving")
def test_seconds_of_the_clock_alone_are_no_reason() -> None:
    """A busy machine makes documents slow; the limit is on the time of the processor."""
    assert outcomes("sleep 1.2", "spin 0.1", "spin 2", seconds=0.5) == [
        "slept",
        "spun",
        "took-too-long",
    ]


@pytest.mark.usefixtures("misbehaving")
def test_a_process_that_was_killed_from_outside_is_replaced(tmp_path: Path) -> None:
    """The document gets one more try, since it need not have been its fault."""
    assert outcomes(f"crash_once {tmp_path / 'was_here'}", "say one") == ["survived", "one"]


@pytest.mark.usefixtures("misbehaving")
def test_what_libraries_print_is_dropped() -> None:
    assert outcomes("chatter", "say one") == ["quiet", "one"]


@pytest.mark.usefixtures("misbehaving")
def test_a_process_has_nothing_of_the_collector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No secrets, no connections, and it can write to no file."""
    monkeypatch.setenv("HF_TOKEN", "secret")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.set_inheritable(True)
        names, sockets, wrote = outcomes("environment", "sockets", f"write {tmp_path / 'a'}")
    assert "HF_TOKEN" not in names
    assert sockets == "0 sockets"
    assert wrote == "OSError"
    assert not (tmp_path / "a").exists() or not (tmp_path / "a").stat().st_size


@pytest.mark.usefixtures("misbehaving")
def test_processes_are_renewed() -> None:
    """After so many documents, and once they keep much memory."""
    pids = outcomes(*["pid"] * 20, renew_after=5)
    assert len(set(pids)) == 4
    assert all(map(str.isdigit, pids))


@pytest.mark.usefixtures("misbehaving")
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_results_do_not_depend_on_the_number_of_processes(processes: int) -> None:
    contents = [f"say {number}" for number in range(60)]
    contents[7::10] = ["crash", "eat 500", "exit 1", "spin 9", "say x", "lie"]
    found = outcomes(*contents, processes=processes, seconds=0.5, memory_bytes=64 * MEBI)
    expected = [content.removeprefix("say ") for content in contents]
    expected[7::10] = ["crashed", "too-much-memory", "crashed", "took-too-long", "x", "crashed"]
    assert found == expected


def test_a_pdf_that_draws_for_ever_is_ended() -> None:
    """A form of forms of forms, a billion texts in all, in 2 kB."""
    made = pdf_of_forms_in_forms(9)

    async def both() -> list[str]:
        async with ExtractionPool(1, seconds=1, memory_bytes=256 * MEBI) as pool:
            return await asyncio.gather(outcome(pool, made), outcome(pool, pdf("One")))

    ended, good = asyncio.run(both())
    assert ended in {"took-too-long", "too-much-memory", "bomb"}
    assert good == "One"


@pytest.mark.usefixtures("misbehaving")
def test_closing_ends_everything() -> None:
    """Documents under way fail, processes end, and no descriptor stays open."""
    me = psutil.Process()
    before, others = me.num_fds(), {*me.children()}

    async def close_while_busy() -> list[Any]:
        pool = ExtractionPool(2)
        waiting = [asyncio.ensure_future(pool.extract(b"sleep 60")) for _ in range(5)]
        await asyncio.sleep(0.7)
        await asyncio.to_thread(pool.close)
        pool.close()
        with pytest.raises(RuntimeError, match="closed"):
            await pool.extract(b"say one")
        return await asyncio.gather(*waiting, return_exceptions=True)

    failures = asyncio.run(close_while_busy())
    assert {str(failure) for failure in failures} == {"the extraction pool was closed"}
    assert {*me.children()} <= others
    assert me.num_fds() <= before


@pytest.mark.usefixtures("misbehaving")
def test_a_cancelled_document_stops_nothing() -> None:
    async def cancel_some() -> str:
        async with ExtractionPool(1) as pool:
            waiting = [asyncio.ensure_future(pool.extract(b"sleep 0.1")) for _ in range(6)]
            await asyncio.sleep(0.4)
            for one in waiting:
                one.cancel()
            return await outcome(pool, "say one")

    assert asyncio.run(cancel_some()) == "one"


def test_processes_that_do_not_start_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a reason for the document, and not tried for ever."""
    monkeypatch.setattr(extraction_process, "_MODULE", "no_such_module")

    async def fail() -> None:
        async with ExtractionPool(1) as pool:
            await pool.extract(b"text")

    with pytest.raises(RuntimeError, match="No module named 'no_such_module'"):
        asyncio.run(fail())


def test_documents_that_are_too_large_are_not_sent() -> None:
    async def fail() -> str:
        async with ExtractionPool(1, memory_bytes=64 * MEBI) as pool:
            return await outcome(pool, bytes(33 * MEBI))

    assert asyncio.run(fail()) == "too-large"


@pytest.mark.parametrize("wrong", [{"processes": 0}, {"seconds": 0}, {"memory_bytes": 5}])
def test_limits_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="a pool needs"):
        ExtractionPool(**wrong)


ORPHANS = """
import asyncio, sys
from paninifs.engine.collecting.extraction import extraction_process
from paninifs.engine.collecting.extraction.pool import ExtractionPool
extraction_process._MODULE = "misbehaving_worker"
async def main():
    pool = ExtractionPool(2)
    print((await pool.extract(b"pid")).text, flush=True)
    await asyncio.gather(*(pool.extract(b"spin 60") for _ in range(4)))
asyncio.run(main())
"""


def test_a_killed_collector_leaves_no_processes() -> None:
    """Also if they are busy, and do not read from their pipes."""
    paths = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-P", "-c", ORPHANS]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": paths}
    ) as collector:
        assert collector.stdout is not None
        first = int(collector.stdout.readline())
        children = wait_for(lambda: psutil.Process(collector.pid).children(), at_least=2)
        assert first in {child.pid for child in children}
        collector.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive


def wait_for(look: Callable[[], list[Any]], at_least: int) -> list[Any]:
    """Return what is seen once there is enough of it."""
    for _ in range(400):
        if len(seen := look()) >= at_least:
            return seen
        time.sleep(0.05)
    raise AssertionError(f"saw {seen}")
