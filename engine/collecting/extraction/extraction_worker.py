"""The program of the pool's processes: reads documents and writes answers, until its pipe closes.

The process is confined, as documents may be hostile: it ends with the collector, its memory is
limited, it cannot write to files, and it leaves no core dump when it crashes.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from typing import Any, BinaryIO

import psutil

from ....storage.errors import BackendUnavailable
from ..outcome import NotKept
from .extract import extract
from .messages import kept_header, packed, read_message
from .tidying import tidy

_PR_SET_PDEATHSIG = 1
_SPARE = 2
"""Limit of the address space, as a multiple of the memory that may be used."""


def main() -> None:
    """Answer documents; the arguments are the parent's process ID and the memory limit in bytes."""
    parent, memory_bytes = map(int, sys.argv[-2:])
    requests, answers = _own_streams()
    _end_with(parent)
    _limit(memory_bytes)
    _send(answers, {"ready": True})
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # ours until here; parsers may print
    while message := read_message(requests):
        _send(answers, *_answer(*message))


def _own_streams() -> tuple[BinaryIO, BinaryIO]:
    """Move standard input and output out of reach of what parsers may read or print."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    return requests, answers


def _end_with(parent: int) -> None:
    """Let the system end this process with its parent, even in the middle of a document.

    Only Linux can; elsewhere the process ends after its document, when its pipe is closed.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the call
        os._exit(1)


def _limit(memory_bytes: int) -> None:
    try:
        import resource
    except ImportError:  # Windows, where only the pool watches the memory
        return
    mapped = psutil.Process().memory_info().vms
    for kind, wanted in (
        (resource.RLIMIT_AS, mapped + _SPARE * memory_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (most, most))


def _answer(header: dict[str, Any], content: bytes) -> tuple[dict[str, Any], bytes]:
    try:
        found = extract(content, **header)
    except NotKept as refused:
        return {"refused": [refused.reason, tidy(refused.detail)]}, b""
    except BackendUnavailable as error:
        return {"missing": str(error)}, b""
    return kept_header(found), found.text.encode()


def _send(answers: BinaryIO, header: dict[str, Any], body: bytes = b"") -> None:
    used = {"cpu": time.process_time(), "rss": psutil.Process().memory_info().rss}
    try:
        answers.write(packed(header | used, body))
        answers.write(body)
        answers.flush()
    except BrokenPipeError:
        os._exit(0)  # the collector has closed the pipe
