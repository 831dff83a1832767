"""`ExtractionPool`: extracts documents in processes, so that no document can harm the collector.

The processes are started anew instead of forked from the collector: they have none of its threads,
connections or secrets, and do not import the main module of a notebook or script.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import threading
import time
from collections import deque
from types import TracebackType
from typing import Any, Self

from ....storage.errors import BackendUnavailable, UsageError
from ..outcome import NotKept
from .documents.html_pages.html_extractors import TRAFILATURA, require_html_extractor
from .extracted import Extracted
from .extraction_process import ExtractionProcess, Job
from .messages import BrokenMessage, answered
from .pool_size import pool_size

_CLOCK_SECONDS = 20
"""Maximum elapsed time of a document, as a multiple of its limit of processor time."""

_WATCH_SECONDS = 0.2
_START_SECONDS = 120
_FAILED_STARTS = 3
_AHEAD = 2
"""Jobs per process while there is a queue, so that it need not wait for the next one."""


class ExtractionPool:
    """Processes that extract documents, each within limits of time and memory.

    A document that exceeds a limit, or ends its process, fails alone; its process is replaced. A
    process that ends for no known reason may have been ended from outside, so its document gets
    one more try. Results do not depend on the number of processes.

    Parameters
    ----------
    processes
        Their number; None for one per processor that this process may use. Started when needed.
    seconds
        Processor time for a document in seconds; its elapsed time may be twenty times as long.
    memory_bytes
        Memory that a process may use for a document, in bytes.
    renew_after
        Documents after which a process is replaced, as it is once it retains half `memory_bytes`.
    html
        Name of the extractor for web pages, one of `HTML_EXTRACTORS`.

    Examples
    --------
    >>> async def text_of(content):
    ...     async with ExtractionPool(1) as pool:
    ...         return (await pool.extract(content, media_type="text/plain")).text
    >>> asyncio.run(text_of(b"of ducks"))
    'of ducks'
    """

    def __init__(
        self,
        processes: int | None = None,
        *,
        seconds: float = 30.0,
        memory_bytes: int = 1 << 30,
        renew_after: int = 20_000,
        html: str = TRAFILATURA,
    ) -> None:
        processes = pool_size(processes)
        if processes < 1 or seconds <= 0 or memory_bytes < 1 << 26 or renew_after < 1:
            raise UsageError(
                "a pool needs at least 1 process, more than 0 seconds, 64 MiB and 1 document each; "
                f"not {processes}, {seconds}, {memory_bytes:,} bytes and {renew_after}"
            )
        self._most, self._seconds, self._memory = processes, seconds, memory_bytes
        self._renew_after, self._html = renew_after, require_html_extractor(html)
        self._waiting: deque[Job] = deque()
        self._processes: list[ExtractionProcess] = []
        self._selector = selectors.DefaultSelector()
        self._woken, self._wake = os.pipe()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = self._closed = False
        self._failure: BaseException | None = None
        self._failed_starts = 0
        self._watched = 0.0

    async def extract(
        self, content: bytes, *, media_type: str = "", charset: str = "", name: str = ""
    ) -> Extracted:
        """Return the text of a document, extracted in one of the processes.

        Parameters
        ----------
        content
            The document.
        media_type, charset
            As its server declared; empty if unknown.
        name
            Its URL, or a file's name.

        Raises
        ------
        NotKept
            It has no text, cannot be parsed, or exceeded a limit.
        BackendUnavailable
            A package that its type needs is not installed.
        """
        if len(content) > self._memory // 2:
            raise NotKept("too-large", f"{len(content):,} bytes")
        header = {"media_type": media_type, "charset": charset, "name": name, "html": self._html}
        job = Job(header, content)
        with self._lock:
            if self._closing:
                raise RuntimeError("the extraction pool is closed") from self._failure
            self._waiting.append(job)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._serve, name="paninifs-extraction", daemon=True
                )
                self._thread.start()
            else:
                os.write(self._wake, b"\0")
        return await asyncio.wrap_future(job.future)

    def close(self) -> None:
        """End the processes; for documents that are not finished, `extract` raises RuntimeError."""
        with self._lock:
            closed, self._closed, self._closing = self._closed, True, True
        if closed:
            return
        if self._thread is not None:
            os.write(self._wake, b"\0")
            self._thread.join()
        self._selector.close()
        os.close(self._wake)
        os.close(self._woken)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.close)

    # --- in the pool's own thread -----------------------------------------------------------------

    def _serve(self) -> None:
        try:
            self._selector.register(self._woken, selectors.EVENT_READ)
            while not self._closing:
                self._assign()
                self._exchange()
                self._watch()
        except BaseException as error:  # noqa: BLE001 (given to those who wait)
            self._failure = error
        self._end_all()

    def _end_all(self) -> None:
        for process in self._processes:
            process.kill()
            process.ended()
        with self._lock:
            self._closing = True
            left = [job for process in self._processes for job in process.jobs]
            left += self._waiting
        for job in left:
            _fail(job, self._failure or RuntimeError("the extraction pool was closed"))

    def _assign(self) -> None:
        """Give waiting jobs to processes, and start processes for them."""
        while self._waiting:
            idle = [one for one in self._processes if one.ready and not (one.worn or one.leaving)]
            process = min(idle, key=lambda one: len(one.jobs), default=None)
            if process is None or process.jobs:
                self._start_for(len(self._waiting))
            # A second one only while others queue: it may have to wait for a slow document.
            ahead = _AHEAD if len(self._waiting) > len(self._processes) else 1
            if process is None or len(process.jobs) >= ahead:
                return
            job = self._waiting.popleft()
            if job.begun or job.future.set_running_or_notify_cancel():
                job.begun = True
                process.give(job)
                process.send()
                self._listen(process)

    def _start_for(self, jobs: int) -> None:
        starting = sum(not process.ready for process in self._processes)
        if len(self._processes) < self._most and starting < jobs:
            process = ExtractionProcess(self._memory)
            self._processes.append(process)
            self._selector.register(process.answered, selectors.EVENT_READ, process)

    def _listen(self, process: ExtractionProcess) -> None:
        """Poll a process for writing exactly while there is something to send."""
        listening = process.requests in self._selector.get_map()
        if process.sending and not listening:
            self._selector.register(process.requests, selectors.EVENT_WRITE, process)
        elif listening and not process.sending:
            self._selector.unregister(process.requests)

    def _exchange(self) -> None:
        busy = any(process.jobs or not process.ready for process in self._processes)
        for key, events in self._selector.select(_WATCH_SECONDS if busy else None):
            process = key.data
            if process is None:
                os.read(self._woken, 1 << 16)
            elif process not in self._processes:
                continue  # it was removed a moment ago
            elif events & selectors.EVENT_WRITE:
                process.send()
                self._listen(process)
            else:
                self._receive(process)

    def _receive(self, process: ExtractionProcess) -> None:
        try:
            messages = process.received()
            if messages is None:
                self._remove(process)
                return
            for header, body in messages:
                self._take(process, header, body)
        except BrokenMessage as error:
            # The process cannot be trusted any more; its document is to blame.
            if process.jobs and not process.leaving:
                process.kill_for("crashed", f"its process sent {error}"[:200])
            process.kill()

    def _take(self, process: ExtractionProcess, header: dict[str, Any], body: bytes) -> None:
        cpu, rss = header.pop("cpu", None), header.pop("rss", None)
        if not isinstance(cpu, float) or not isinstance(rss, int):
            raise BrokenMessage("a message without what was used")
        process.note(cpu, rss)
        if not process.ready:
            process.ready, self._failed_starts = True, 0
            return
        if not process.jobs:
            raise BrokenMessage("an answer to nothing")
        missing = header.get("missing")
        found = BackendUnavailable(str(missing)) if missing else answered(header, body)
        job = process.jobs.popleft()
        process.answers += 1
        process.worn |= process.answers >= self._renew_after or rss > self._memory / 2
        if isinstance(found, Extracted):
            job.future.set_result(found)
        else:
            _fail(job, found)
        if process.worn and not process.jobs:
            process.kill()

    def _watch(self) -> None:
        """End processes whose document takes too long or too much."""
        if time.monotonic() - self._watched < _WATCH_SECONDS:
            return
        self._watched = time.monotonic()
        for process in self._processes:
            if process.leaving or not (process.jobs or not process.ready):
                continue
            seconds, waited, memory = process.used()
            if not process.ready:
                if waited > _START_SECONDS:
                    process.kill()
            elif memory > self._memory:
                process.kill_for("too-much-memory", f"more than {self._memory:,} bytes")
            elif seconds > self._seconds:
                process.kill_for(
                    "took-too-long", f"more than {self._seconds:g} s of processor time"
                )
            elif waited > self._seconds * _CLOCK_SECONDS:
                process.kill_for("took-too-long", f"{waited:.0f} s")

    def _remove(self, process: ExtractionProcess) -> None:
        """Settle the jobs of a process that has ended."""
        for stream in (process.requests, process.answered):
            if stream in self._selector.get_map():
                self._selector.unregister(stream)
        self._processes.remove(process)
        status, said = process.ended()
        if not process.ready:
            self._failed_starts += 1
            if self._failed_starts >= _FAILED_STARTS:
                raise RuntimeError(f"processes for extraction do not start ({status}): {said}")
        if process.verdict and process.jobs and process.jobs[0] is process.verdict[0]:
            job, reason, detail = process.verdict
            process.jobs.popleft()
            _fail(job, NotKept(reason, detail))
        elif process.jobs and not process.leaving:
            job = process.jobs[0]
            job.deaths += 1
            if job.deaths > 1:
                process.jobs.popleft()
                _fail(job, NotKept("crashed", f"its process ended twice, with status {status}"))
        with self._lock:
            self._waiting.extendleft(reversed(process.jobs))


def _fail(job: Job, error: BaseException) -> None:
    if not job.future.done():
        job.future.set_exception(error)
