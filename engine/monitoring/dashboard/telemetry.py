"""What a run's client sends to dask's scheduler: the figures of a run, twice a second."""

from __future__ import annotations

import logging
import threading
from dataclasses import asdict
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from .link import PAGE

if TYPE_CHECKING:
    from distributed import Client

    from ....storage.store.history import Sample
    from ..figures import Figures

_log = logging.getLogger(__name__)
_LAST_SECONDS = 5.0

TOPIC = "paninifs"
"""Of dask's events: under it the figures of every run are told."""


def install(client: Client) -> str | None:
    """Give a cluster's dashboard the tab, once; return why it cannot have it, or None.

    It needs nothing of the scheduler but that it can import this package.
    """
    from .monitor import Monitor

    try:
        client.register_plugin(Monitor())
    except Exception as error:  # noqa: BLE001 (of another version of dask, or of this package)
        return (
            "dask's dashboard there has no tab of this engine: its scheduler cannot load it "
            f"({type(error).__name__}: {error})"
        )
    return None


def page_for(untold: str | None) -> str:
    """Return the page of the dashboard to look at: the tab, or dask's own where that is not there.

    >>> page_for(None), page_for("its scheduler cannot load it")
    ('paninifs', 'status')
    """
    return TOPIC if untold is None else PAGE


class Telemetry:
    """Sends a run's figures.

    Parameters
    ----------
    run : str
        What the run is called on its cluster: the span of its tasks.
    results : str
        Where its store is, as it may be shown.
    """

    def __init__(self, client: Client, run: str, results: str) -> None:
        self._client = client
        self._about = {"run": run, "results": results}
        self._waiting: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        # A scheduler that does not answer must not keep the run waiting.
        self._thread = threading.Thread(target=self._send, name="paninifs-telemetry", daemon=True)
        self._thread.start()

    def send(self, figures: Figures, sample: Sample) -> None:
        """Send the figures of a moment, soon; not if those before are still on their way."""
        if self._waiting.empty():
            self._waiting.put(self._message(figures, sample))

    def close(self, figures: Figures, sample: Sample) -> None:
        """Send the last ones, and wait for that, if it does not take long."""
        self._waiting.put(self._message(figures, sample))
        self._waiting.put(None)
        self._thread.join(_LAST_SECONDS)

    def _message(self, figures: Figures, sample: Sample) -> dict[str, Any]:
        return {**self._about, "figures": figures.to_message(), "sample": asdict(sample)}

    def _send(self) -> None:
        for message in iter(self._waiting.get, None):
            try:
                self._client.log_event(TOPIC, message)
            except Exception:  # noqa: BLE001 (who watches must not break the run)
                _log.debug("nobody takes the run's figures", exc_info=True)
