"""`followed`: shows a collection while it is in progress."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..collect_progress import CollectProgress
from ..collecting.collect_metrics import measured
from ..collecting.collect_recorder import CollectRecorder
from . import show
from .collect_card import collect_card
from .standing import of_collection


@contextmanager
def followed(
    progress: CollectProgress, *, source: str, corpus: str, progress_shown: bool, verbose: bool
) -> Iterator[CollectRecorder]:
    """Show a collection within the block: a bar, a card, or lines in a log.

    Parameters
    ----------
    progress : CollectProgress
        The progress that the block reports to.
    source, corpus : str
        A name, and a path or URL without secrets.
    progress_shown, verbose : bool
        Whether to display anything, and details too. Metrics are exported in any case.
    """
    recorder = CollectRecorder(progress, source=source, corpus=corpus)
    with measured(recorder), recorder:
        if progress_shown:
            show(
                recorder.events,
                lambda: collect_card(recorder.figures, recorder.series, corpus),
                lambda: of_collection(recorder.figures),
                verbose=verbose,
            )
        yield recorder
