"""What a run's client sends to dask's scheduler: the figures of a run, twice a second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...storage.errors import PaniniError
from ...storage.timeline import Sample, as_message
from ..figures import Figures

if TYPE_CHECKING:
    from distributed import Client

TOPIC = "paninifs"
"""Of dask's events: under it the figures of every run are told."""


def install(client: Client) -> str | None:
    """Give a cluster's dashboard the tab, once; return why it cannot have it, or None.

    It needs nothing of the scheduler but that it can import this package.
    """
    from .monitor import Monitor

    try:
        client.register_plugin(Monitor())
    except (ImportError, AttributeError, ValueError, OSError, PaniniError) as error:
        return (
            "dask's dashboard there has no tab of this engine: its scheduler cannot load it "
            f"({type(error).__name__}: {error})"
        )
    return None


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

    def send(self, figures: Figures, sample: Sample) -> None:
        """Send the figures of a moment."""
        message: dict[str, Any] = {
            **self._about,
            "figures": figures.to_message(),
            "sample": as_message(sample),
        }
        self._client.log_event(TOPIC, message)
