"""`WebServer`: the imitator as a test uses it. It starts the process, and reads its log."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple
from urllib.request import Request, urlopen

from .config import Fault, ServerConfig

SUPPORT = Path(__file__).parents[1]


class Asked(NamedTuple):
    """A request, as it arrived."""

    time: float
    """By the clock that all processes of the machine share (`time.monotonic`), in seconds."""
    host: str
    target: str
    headers: dict[str, str]
    """With names in lower case."""
    fate: str
    """``served``, ``refused`` (over the limit), or the kind of fault."""


class WebServer:
    """A running imitator; a context manager. Keywords are those of `ServerConfig`."""

    def __init__(self, config: ServerConfig | None = None, **settings) -> None:
        self.config = config or ServerConfig(**settings)
        self._folder = tempfile.TemporaryDirectory()
        self._log = Path(self._folder.name) / "requests.jsonl"

    def __enter__(self) -> WebServer:
        config = Path(self._folder.name) / "config.json"
        config.write_text(self.config.to_json())
        command = [sys.executable, "-m", "web_server.process", config, self._log]
        self._process = subprocess.Popen(command, cwd=SUPPORT, stdout=subprocess.PIPE, text=True)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the imitator did not start")
        self.port = int(line)
        return self

    def __exit__(self, *_) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        self._folder.cleanup()

    def url(self, path: str = "", host: int = 1) -> str:
        """Return the address of a path on the host 127.0.0.HOST."""
        return f"http://127.0.0.{host}:{self.port}{path}"

    def inject(self, *faults: Fault) -> None:
        """Replace the faults; the counts of askings begin anew."""
        config = ServerConfig(faults=faults).to_json()
        request = Request(self.url("/_faults"), config.encode(), method="PUT")
        with urlopen(request):
            pass

    def requests(self, match: str = "") -> list[Asked]:
        """Return the requests so far whose "HOST TARGET" matches a regular expression."""
        if not self._log.exists():
            return []
        lines = self._log.read_text().splitlines()
        asked = (Asked(*json.loads(line)) for line in lines)
        return [one for one in asked if re.search(match, f"{one.host} {one.target}")]

    def repeated(self, match: str = "", fate: str = "served") -> dict[str, int]:
        """Return the targets that were asked more than once with that fate, and how often."""
        asked = [one for one in self.requests(match) if one.fate == fate]
        counts = Counter(f"{one.host} {one.target}" for one in asked)
        return {target: count for target, count in counts.items() if count > 1}

    def most_in_a_window(self, seconds: float, host: int | None = None) -> int:
        """Return the largest number of requests that arrived within so many seconds."""
        name = f"127.0.0.{host}"
        times = sorted(one.time for one in self.requests() if host is None or one.host == name)
        most = first = 0
        for last, time in enumerate(times):
            while times[first] <= time - seconds:
                first += 1
            most = max(most, last - first + 1)
        return most
