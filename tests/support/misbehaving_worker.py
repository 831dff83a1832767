"""A process of an extraction pool in which documents say what happens."""

from __future__ import annotations

import ctypes
import os
import socket
import time
from pathlib import Path

from paninifs.engine.collecting.extraction import extract, extraction_worker
from paninifs.engine.collecting.extraction.document_types import Extractor
from paninifs.engine.collecting.extraction.extracted import Extracted


class Misbehaving:
    """A type of document: a text that names a function below, and perhaps its argument."""

    def extractor(self, _: str) -> Extractor:
        """Return what reads such documents."""
        return misbehave


def misbehave(content: bytes, _: str) -> Extracted:
    """Do what a document says."""
    word, _, argument = content.decode().partition(" ")
    return Extracted(text=globals()[f"_{word}"](argument), media_type="text/plain")


def _say(argument: str) -> str:
    return argument


def _spin(argument: str) -> str:
    end = time.process_time() + float(argument)
    while time.process_time() < end:
        pass
    return "spun"


def _sleep(argument: str) -> str:
    time.sleep(float(argument))
    return "slept"


def _eat(argument: str) -> str:
    """Use so many MiB bit by bit, and keep them for a while."""
    eaten = []
    for _ in range(int(argument)):
        eaten.append(b"x" * (1 << 20))
        time.sleep(0.002)
    time.sleep(1)
    return f"{len(eaten)} eaten"


def _gulp(argument: str) -> str:
    """Map so many MiB at once, which are not in use before they are written to."""
    return f"{len(bytes(int(argument) << 20))} gulped"


def _crash(_: str) -> str:
    return str(ctypes.string_at(1))


def _crash_once(argument: str) -> str:
    """Crash unless an earlier process has got as far."""
    made = Path(argument)
    if made.exists():
        return "survived"
    made.mkdir()
    return _crash("")


def _exit(argument: str) -> str:
    os._exit(int(argument))


def _chatter(_: str) -> str:
    """Write to what are standard output and standard error for a library in C."""
    for number in (1, 2):
        os.write(number, b"noise " * 1000)
    return "quiet"


def _lie(_: str) -> str:
    """Write nonsense to the pipe in which answers are expected."""
    for number in range(3, 20):
        try:
            os.write(number, b"\xff" * 64)
        except OSError:
            continue
    return "a lie"


def _write(argument: str) -> str:
    try:
        Path(argument).write_text("x" * 100, encoding="utf-8")
    except OSError as error:
        return type(error).__name__
    return "written"


def _environment(_: str) -> str:
    return " ".join(sorted(os.environ))


def _sockets(_: str) -> str:
    found = []
    for number in range(3, 200):
        try:
            found.append(socket.socket(fileno=os.dup(number)))
        except OSError:
            continue
    return f"{len(found)} sockets"


def _pid(_: str) -> str:
    return str(os.getpid())


def main() -> None:
    """Be a process of the pool."""
    extract.recognised = lambda *_: Misbehaving()
    extraction_worker.main()
