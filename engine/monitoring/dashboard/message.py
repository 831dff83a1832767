"""The message that the client of a run or a climb sends to dask's scheduler, and its topic.

`telemetry` sends it, `monitored_runs` receives it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ....storage.store.history import Sample
    from ..climb_figures import ClimbFigures, ClimbSample
    from ..figures import Figures

TOPIC = "paninifs"
"""Topic of dask's events under which every run reports its figures; also the tab's page."""

CLIMB_TOPIC = "paninifs-climb"
"""Topic under which every climb does. Another one, as schedulers with an older version of the
engine take everything under `TOPIC` for a run's."""

TOPICS: Mapping[str, str] = {"run": TOPIC, "climb": CLIMB_TOPIC}
"""Topic by the kind of what is reported."""


def encode(
    run: str, results: str, figures: Figures | ClimbFigures, sample: Sample | ClimbSample
) -> dict[str, Any]:
    """Encode the figures and the latest sample of a run or a climb for sending."""
    return {
        "run": run,
        "results": results,
        "figures": figures.to_message(),
        "sample": asdict(sample),
    }


def decode(
    message: dict[str, Any], kind: str
) -> tuple[Figures, Sample] | tuple[ClimbFigures, ClimbSample]:
    """Decode the figures and the sample of a message, ignoring fields of other versions."""
    # Not at the top: figures import dask, and a machine without a GPU should fail at once.
    from ....storage.store.history import Sample
    from ..climb_figures import ClimbFigures, ClimbSample
    from ..figure_declaration import from_fields
    from ..figures import Figures

    if kind == "climb":
        sample = from_fields(ClimbSample, message["sample"])
        return ClimbFigures.from_message(message["figures"]), sample
    return Figures.from_message(message["figures"]), from_fields(Sample, message["sample"])
