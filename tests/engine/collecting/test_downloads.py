"""Files that go on where they stopped, whatever the server does meanwhile."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import re
import signal
import sys

import pytest
from paths import SUPPORT
from raw_server import answer, lost, raw_server

from paninifs.engine.collecting.outcome import NotKept
from paninifs.engine.collecting.web.http_web import HttpWeb
from paninifs.engine.collecting.web.request_policy import RequestPolicy
from paninifs.storage.errors import StorageRefused

FILE = random.Random(3).randbytes(3 << 20)
LATER = random.Random(4).randbytes(2 << 20)


def policy(cache, **changes):
    words = {
        "allow_hosts": frozenset({"127.0.0.1"}),
        "per_second": 1e5,
        "cache": cache / "cache",
        "tries": 2,
        "backoff_seconds": 0.001,
    }
    return RequestPolicy(**(words | changes))


def served(content, *headers, cut=None, etag='"1"', ranges=True):
    """Answer like a good server; with `cut`, end after so many bytes."""

    def answering(asked):
        own = [*headers, *([f"ETag: {etag}"] if etag else [])]
        wanted = re.fullmatch(r"bytes=(\d+)-", asked.headers.get("Range", ""))
        if wanted and ranges and asked.headers.get("If-Range", etag) == etag:
            first = int(wanted[1])
            if first >= len(content):
                return answer(b"", 416, f"Content-Range: bytes */{len(content)}", *own)
            span = f"Content-Range: bytes {first}-{len(content) - 1}/{len(content)}"
            whole = answer(content[first:], 206, span, *own)
        else:
            whole = answer(content, 200, *own)
        return whole[: len(whole) - len(content) + cut] if cut is not None else whole

    return answering


def save(answers, tmp_path, times=1, progress=None, most_bytes=None, **changes):
    """Save a file, in several attempts if need be; return the server and the last outcome."""

    async def main():
        async with raw_server(answers) as server:
            for _ in range(times):
                async with HttpWeb(policy(tmp_path, **changes)) as web:
                    try:
                        last = await web.save(
                            server.url("/f.bin") if "/f.bin" in answers else server.url("/f.gz"),
                            tmp_path / "f",
                            progress=progress,
                            most_bytes=most_bytes,
                        )
                    except NotKept as refusal:
                        last = refusal
            return server, last

    return asyncio.run(asyncio.wait_for(main(), 30))


def sent_ranges(server):
    return [asked.headers.get("Range") for asked in server.asked]


def left(tmp_path):
    return sorted(path.name for path in tmp_path.iterdir() if path.is_file())


def test_a_file_is_saved_whole_and_nothing_else_is_left(tmp_path):
    seen = []
    server, got = save({"/f.bin": served(FILE)}, tmp_path, progress=lambda *now: seen.append(now))
    assert (tmp_path / "f").read_bytes() == FILE
    assert left(tmp_path) == ["f"]
    assert (got.status, got.body, got.received_bytes) == (200, b"", len(FILE))
    assert seen[-1] == (len(FILE), len(FILE))
    assert server.asked[0].headers["Accept-Encoding"] == "identity"


def test_an_empty_file_and_one_without_a_length(tmp_path):
    save({"/f.bin": answer(b"")}, tmp_path)
    assert (tmp_path / "f").read_bytes() == b""
    save({"/f.bin": answer(FILE, length=False)}, tmp_path)
    assert (tmp_path / "f").read_bytes() == FILE


def test_what_came_is_not_asked_for_again(tmp_path):
    answers = {"/f.bin": [served(FILE, cut=100_000), served(FILE)]}
    server, _ = save(answers, tmp_path)
    assert (tmp_path / "f").read_bytes() == FILE
    assert sent_ranges(server) == [None, "bytes=100000-"]
    assert server.asked[1].headers["If-Range"] == '"1"'


def test_another_process_goes_on_too(tmp_path):
    answers = {"/f.bin": [served(FILE, cut=100_000), served(FILE)]}
    server, _ = save(answers, tmp_path, times=2, tries=1)
    assert (tmp_path / "f").read_bytes() == FILE
    assert sent_ranges(server) == [None, "bytes=100000-"]


@pytest.mark.parametrize(
    "then",
    [
        served(LATER, etag='"2"'),  # If-Range: the whole of the new file
        [answer(b"", 416), served(LATER)],
        [answer(b"", 412), served(LATER)],
        [answer(b"x", 206, "Content-Range: bytes 5-5/6", 'ETag: "1"'), served(LATER)],
        [answer(b"x", 206, "Content-Range: garbage", 'ETag: "1"'), served(LATER)],
        [answer(b"x", 206, 'ETag: "1"'), served(LATER)],
        [
            answer(
                FILE[100_000:],
                206,
                f"Content-Range: bytes 100000-{len(FILE) - 1}/{len(FILE)}",
                'ETag: "2"',
            ),
            served(LATER),
        ],
        [answer(b"x", 206, "Content-Range: bytes 100000-100000/100001"), served(LATER)],
    ],
)
def test_a_file_that_changed_is_begun_again(then, tmp_path):
    later = then if isinstance(then, list) else [then]
    save({"/f.bin": [served(FILE, cut=100_000), *later]}, tmp_path)
    assert (tmp_path / "f").read_bytes() == LATER
    assert left(tmp_path) == ["f"]


@pytest.mark.parametrize("words", [{"ranges": False}, {"etag": None}, {"etag": 'W/"1"'}])
def test_servers_that_cannot_continue_send_it_all(words, tmp_path):
    answers = {"/f.bin": [served(FILE, cut=100_000, **words), served(FILE, **words)]}
    server, _ = save(answers, tmp_path)
    assert (tmp_path / "f").read_bytes() == FILE
    assert sent_ranges(server)[1] == (None if "etag" in words else "bytes=100000-")


def test_a_date_serves_where_there_is_no_strong_tag(tmp_path):
    date = "Thu, 01 Jan 2026 00:00:00 GMT"
    words = {"etag": None, "ranges": True}
    answers = {
        "/f.bin": [
            served(FILE, f"Last-Modified: {date}", cut=100_000, **words),
            served(FILE, f"Last-Modified: {date}", etag=date),
        ]
    }
    server, _ = save(answers, tmp_path)
    assert server.asked[1].headers["If-Range"] == date


@pytest.mark.parametrize("damage", ["{", "[]", '{"url": 1}', "\0", '{"validators": {"x": 1}}'])
def test_a_damaged_note_begins_the_file_again(damage, tmp_path):
    (tmp_path / "f.part").write_bytes(b"something else")
    (tmp_path / "f.part.json").write_text(damage)
    server, _ = save({"/f.bin": served(FILE)}, tmp_path)
    assert (tmp_path / "f").read_bytes() == FILE
    assert sent_ranges(server) == [None]


def test_a_part_of_another_file_is_not_continued(tmp_path):
    save({"/f.bin": served(LATER, cut=1000)}, tmp_path, tries=1)
    assert left(tmp_path) == ["f.part", "f.part.json"]
    server, _ = save({"/f.bin": served(FILE)}, tmp_path)  # another port, so another URL
    assert (tmp_path / "f").read_bytes() == FILE
    assert sent_ranges(server) == [None]


def test_a_complete_part_only_needs_its_name(tmp_path):
    async def main():
        async with raw_server({"/f.bin": served(FILE)}) as server:
            async with HttpWeb(policy(tmp_path)) as web:
                await web.save(server.url("/f.bin"), tmp_path / "f")
                (tmp_path / "f").rename(tmp_path / "g.part")
                said = {"url": server.url("/f.bin"), "total": len(FILE)}
                note = json.dumps(said | {"validators": {"etag": '"1"'}})
                (tmp_path / "g.part.json").write_text(note)
                await web.save(server.url("/f.bin"), tmp_path / "g")
            return len(server.asked)

    assert asyncio.run(main()) == 1
    assert (tmp_path / "g").read_bytes() == FILE


@pytest.mark.parametrize("length", [True, False])
def test_sizes_are_limited(length, tmp_path):
    _, last = save({"/f.bin": answer(FILE, length=length)}, tmp_path, most_bytes=1 << 20)
    assert last.reason == "too-large"
    assert not (tmp_path / "f").exists()


@pytest.mark.parametrize(("path", "reason"), [("/f.gz", None), ("/f.bin", "bad-compression")])
def test_compression_that_was_not_asked_for(path, reason, tmp_path):
    packed = gzip.compress(b"words")
    _, last = save({path: answer(packed, 200, "Content-Encoding: gzip")}, tmp_path)
    assert getattr(last, "reason", None) == reason
    if reason is None:
        assert (tmp_path / "f").read_bytes() == packed


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (answer(b"", 404), "not-found"),
        (lost, "unreachable"),
        (answer(b"x", 206, "Content-Range: bytes 0-0/1"), "bad-status"),
        (answer(b"", 416), "bad-status"),
        (answer(b"", 304, length=False), "bad-status"),
        (answer(b"x" * 99, 200, "Content-Length: 999", length=False), "truncated"),
    ],
)
def test_refusals(sent, reason, tmp_path):
    assert save({"/f.bin": sent}, tmp_path)[1].reason == reason


def test_a_disk_that_refuses_is_not_mistaken_for_the_server(tmp_path):
    (tmp_path / "f.part").mkdir()
    (tmp_path / "f.part" / "x").touch()
    with pytest.raises(StorageRefused, match="part"):
        save({"/f.bin": served(FILE)}, tmp_path)


def test_a_killed_download_goes_on(tmp_path):
    async def slowly(asked, reader, writer):
        whole = served(FILE)(asked)
        for at in range(0, len(whole), 1 << 16):
            writer.write(whole[at : at + (1 << 16)])
            await writer.drain()
            await asyncio.sleep(0.01)
        return False

    async def main():
        async with raw_server({"/f.bin": slowly}) as server:
            words = [sys.executable, str(SUPPORT / "web_saving.py"), server.url("/f.bin")]
            words += [str(tmp_path / "f"), str(tmp_path / "cache")]
            kept = []
            for share in (0.2, 0.6):
                process = await asyncio.create_subprocess_exec(*words)
                part = tmp_path / "f.part"
                while not part.exists() or part.stat().st_size < share * len(FILE):
                    await asyncio.sleep(0.002)
                process.send_signal(signal.SIGKILL)
                await process.wait()
                kept.append(part.stat().st_size)
            process = await asyncio.create_subprocess_exec(*words)
            return server, kept, await process.wait()

    server, kept, status = asyncio.run(asyncio.wait_for(main(), 100))
    assert status == 0
    assert (tmp_path / "f").read_bytes() == FILE
    assert sent_ranges(server) == [None, *(f"bytes={size}-" for size in kept)]
