"""A web service on loopback, in its own process, with injected faults.

The server process runs a `Service`, which answers one request at a time, however many processes
send them. The test uses a `Server`: it starts and stops the process, and sets the faults.

Faults of a request: ``429``, ``403``, ``503`` (refused temporarily, with that status), ``full``,
``denied`` (refused permanently, because the quota is used up or access is forbidden), ``reset``
(the connection is reset before anything is done), ``lost`` (it is reset after all is done),
``closed`` (it is closed in an orderly way after all is done; some clients then retry silently),
``slow`` (the response is late), ``truncated`` (the response to a GET is cut in half).
"""

from __future__ import annotations

import json
import random
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit
from urllib.request import Request, urlopen

REFUSALS = {
    "403": (403, "rateLimitExceeded"),
    "429": (429, "rateLimitExceeded"),
    "503": (503, "backendError"),
    "full": (403, "storageQuotaExceeded"),
    "denied": (403, "forbidden"),
}


@dataclass(frozen=True)
class Faults:
    """Which faults occur, and how often. The seed selects requests by their name and number.

    The number counts the requests of that name. So the same requests fail in every run, in whatever
    order several processes send them.
    """

    rate: float = 0.0
    kinds: Sequence[str] = ()
    seed: int = 0
    match: str = ""  # a regular expression to be found in "METHOD name"
    after: int = 0  # matching requests, of all names together, before the first fault
    limit: int | None = None  # maximum number of faults
    seconds: float = 1.0  # delay of a slow response


class _Plan:
    """Injects faults, and counts them."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._seen: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()

    def draw(self, name: str) -> str | None:
        """Return the fault of the next request of that name."""
        faults = self._faults
        if not re.search(faults.match, name):
            return None
        self._seen[name] += 1
        spared = self._seen.total() <= faults.after
        if spared or self.counts.total() == faults.limit:
            return None
        chance = random.Random(f"{faults.seed} {name} {self._seen[name]}")
        kinds = [k for k in faults.kinds if k != "truncated" or name.startswith("GET ")]
        if not kinds or chance.random() >= faults.rate:
            return None
        kind = chance.choice(kinds)
        self.counts[kind] += 1
        return kind

    @property
    def seconds(self) -> float:
        return self._faults.seconds


class Asked(NamedTuple):
    """A request, completely read."""

    method: str
    target: str  # path and query, as sent
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))


class Answer(NamedTuple):
    """A response."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}

    @classmethod
    def of(cls, value: Any, status: int = 200) -> Answer:
        """Answer in JSON."""
        kind = {"Content-Type": "application/json; charset=UTF-8"}
        return cls(status, json.dumps(value).encode(), kind)

    @classmethod
    def error(cls, status: int, reason: str, message: str = "") -> Answer:
        """Return an error in the form that Google's services share."""
        message = message or reason
        errors = [{"domain": "global", "reason": reason, "message": message}]
        return cls.of({"error": {"code": status, "message": message, "errors": errors}}, status)

    def part(self, span: str) -> Answer:
        """Cut the body to a range: ``bytes=FIRST-LAST``, ``bytes=FIRST-`` or ``bytes=-COUNT``."""
        size = len(self.body)
        first, last = re.fullmatch(r"bytes=(\d*)-(\d*)", span).groups()
        start = int(first) if first else max(size - int(last), 0)
        stop = min(int(last) + 1, size) if first and last else size
        if start >= stop:
            why = "Request range not satisfiable"
            return self.error(416, "requestedRangeNotSatisfiable", why)
        headers = {k: v for k, v in self.headers.items() if k != "X-Goog-Hash"}
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        return Answer(206, self.body[start:stop], headers)


def parts(asked: Asked) -> tuple[bytes, bytes]:
    """Return the two parts of a multipart/related upload, byte for byte."""
    boundary = re.search('boundary="?([^";]+)', asked.headers.get("Content-Type"))[1].encode()
    opening, _, _ = asked.body.partition(b"\n")
    line = b"\r\n" if opening.endswith(b"\r") else b"\n"
    first, rest = asked.body.split(line + b"--" + boundary, 1)
    second = rest.rpartition(line + b"--" + boundary)[0]
    return tuple(part.partition(line * 2)[2] for part in (first, second))


class Service:
    """Answers requests; `answer` is called by one thread at a time."""

    def answer(self, asked: Asked) -> Answer:
        raise NotImplementedError

    def name(self, asked: Asked) -> str:
        """Return the name of a request in the log and in the expressions of faults."""
        return f"{asked.method} {asked.path}"

    def run(self) -> None:
        """Serve until standard input ends, as it does when the parent process dies."""
        server = _Http(self)
        print(server.server_address[1], flush=True)  # noqa: T201 (the parent reads it)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdin.read()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, service: Service) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lock, self._service = threading.Lock(), service
        self.plan, self.log = _Plan(Faults()), list[str]()

    def admit(self, asked: Asked) -> tuple[str | None, float]:
        """Log a request; return its fault, and its delay."""
        with self.lock:
            name = self._service.name(asked)
            self.log.append(name)
            fault = self.plan.draw(name)
            return fault, self.plan.seconds if fault == "slow" else 0.0

    def answer(self, asked: Asked) -> Answer:
        """Carry out a request."""
        with self.lock:
            return self._service.answer(asked)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Http

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = Asked(self.command, self.path, self.headers, body)
        if asked.path in ("/_faults", "/_requests"):
            self._send(self._control(asked))
            return
        fault, seconds = self.server.admit(asked)
        time.sleep(seconds)
        if fault in REFUSALS:
            self._send(Answer.error(*REFUSALS[fault]))
            return
        answer = None if fault == "reset" else self.server.answer(asked)
        if answer is None or fault == "lost":
            self._hang_up()
        elif fault == "closed":
            self.close_connection = True
        elif fault == "truncated":
            self._send(answer, len(answer.body) // 2)
            self.close_connection = True
        else:
            self._send(answer)

    do_DELETE = do_GET = do_PATCH = do_POST = do_PUT = _handle  # noqa: N815

    def _control(self, asked: Asked) -> Answer:
        server = self.server
        with server.lock:
            if asked.method == "PUT":
                server.plan = _Plan(Faults(**json.loads(asked.body)))
            elif asked.method == "DELETE":
                server.log.clear()
            return Answer.of({"/_faults": server.plan.counts, "/_requests": server.log}[asked.path])

    def _send(self, answer: Answer, length: int | None = None) -> None:
        self.send_response(answer.status)
        for key, value in answer.headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body[:length])
        self.wfile.flush()

    def _hang_up(self) -> None:
        """Close with a reset, as a dead load balancer does."""
        self.close_connection = True
        at_once = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


class Server:
    """A service's process as a test uses it; a context manager."""

    def __init__(self, script: str) -> None:
        self._script = script

    def __enter__(self) -> Server:
        self._errors = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, self._script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        port = self._process.stdout.readline().strip()
        if not port:
            self._errors.seek(0)
            complaint = self._errors.read().decode()
            self.__exit__()
            raise RuntimeError(f"{self._script} did not start: {complaint}")
        self.endpoint = f"http://127.0.0.1:{int(port)}"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        with self._process, self._errors:
            pass

    def inject(self, **faults: Any) -> None:
        """Replace the faults by these from now on, and reset the counts."""
        self._ask("PUT", "/_faults", asdict(Faults(**faults)))

    def injected(self) -> dict[str, int]:
        """Return how often each kind of fault has happened."""
        return self._ask("GET", "/_faults")

    def requests(self, match: str = "") -> list[str]:
        """Return the requests so far, as "METHOD name", that match a regular expression."""
        return [name for name in self._ask("GET", "/_requests") if re.search(match, name)]

    def reset(self) -> None:
        """Remove all faults, and forget the requests."""
        self.inject()
        self._ask("DELETE", "/_requests")

    def _ask(self, method: str, path: str, value: Any = None) -> Any:
        data = None if value is None else json.dumps(value).encode()
        with urlopen(Request(self.endpoint + path, data, method=method)) as answer:
            return json.load(answer)
