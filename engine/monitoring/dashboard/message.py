"""The message that a run's client sends to dask's scheduler, and its topic.

`telemetry` sends it, `monitored_runs` receives it.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ....storage.store.history import Sample
    from ..figures import Figures

TOPIC = "paninifs"
"""Topic of dask's events under which every run reports its figures; also the tab's page."""


def encode(run: str, results: str, figures: Figures, sample: Sample) -> dict[str, Any]:
    """Encode a run's figures and latest sample for sending."""
    return {
        "run": run,
        "results": results,
        "figures": figures.to_message(),
        "sample": asdict(sample),
    }


def decode(message: dict[str, Any]) -> tuple[Figures, Sample]:
    """Decode the figures and the sample of a message, ignoring fields of other versions."""
    # Not at the top: figures import dask, and a machine without a GPU should fail at once.
    from ....storage.store.history import Sample
    from ..figures import Figures, from_fields

    return Figures.from_message(message["figures"]), from_fields(Sample, message["sample"])
