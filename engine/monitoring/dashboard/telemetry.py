"""`Telemetry`: sends figures of a run or a climb from its client to dask's scheduler."""

from __future__ import annotations

import logging
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from .link import PAGE
from .message import TOPIC, TOPICS, encode

if TYPE_CHECKING:
    from distributed import Client

    from ....storage.store.history import Sample
    from ..climb_figures import ClimbFigures, ClimbSample
    from ..figures import Figures

_log = logging.getLogger(__name__)
_LAST_SECONDS = 5.0  # timeout for sending the last message


def install(client: Client) -> str | None:
    """Add the tab to a cluster's dashboard, once; return why that is impossible, or None.

    The scheduler only has to be able to import this package.
    """
    from .monitor import Monitor

    try:
        client.register_plugin(Monitor())
    except Exception as error:  # noqa: BLE001 (of another version of dask, or of this package)
        return (
            "dask's dashboard has no PaniniFS tab, because the scheduler cannot load it "
            f"({type(error).__name__}: {error})"
        )
    return None


def page_for(problem: str | None) -> str:
    """Return the dashboard page to open: the tab, or dask's own if `install` reported a problem.

    >>> page_for(None), page_for("its scheduler cannot load it")
    ('paninifs', 'status')
    """
    return TOPIC if problem is None else PAGE


class Telemetry:
    """Sends the figures of a run or a climb.

    Parameters
    ----------
    run : str
        Name of the run on its cluster, which is dask's span of its tasks.
    results : str
        URL of its store, without secrets.
    kind : str
        One of `TOPICS`.
    """

    def __init__(self, client: Client, run: str, results: str, kind: str = "run") -> None:
        self._client, self._topic = client, TOPICS[kind]
        self._run, self._results = run, results
        self._waiting: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        # A scheduler that does not answer must not keep the run waiting.
        self._thread = threading.Thread(target=self._send, name="paninifs-telemetry", daemon=True)
        self._thread.start()

    def send(self, figures: Figures | ClimbFigures, sample: Sample | ClimbSample) -> None:
        """Send the current figures, unless earlier ones are still waiting to be sent."""
        if self._waiting.empty():
            self._waiting.put(encode(self._run, self._results, figures, sample))

    def close(self, figures: Figures | ClimbFigures, sample: Sample | ClimbSample) -> None:
        """Send the last figures, and wait a few seconds until they are sent."""
        self._waiting.put(encode(self._run, self._results, figures, sample))
        self._waiting.put(None)
        self._thread.join(_LAST_SECONDS)

    def _send(self) -> None:
        for message in iter(self._waiting.get, None):
            try:
                self._client.log_event(self._topic, message)
            except Exception:  # noqa: BLE001 (a display must not break what it shows)
                _log.debug("the scheduler does not take the figures", exc_info=True)
