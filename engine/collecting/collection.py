"""`Collection`: what a call of `collect` returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...storage.targets.target import Target
from ..monitoring.collecting.collect_figures import CollectFigures
from .ledger.collection_keys import part_key
from .ledger.ledger import Ledger
from .ledger.retrying import failures
from .outcome import REASONS

if TYPE_CHECKING:
    import pandas as pd


class Collection:
    """A corpus as `collect` left it.

    Attributes
    ----------
    corpus : str
        Its path or URL, as it was given: for `open_corpus` and `submit`.
    figures : CollectFigures
        Numbers of items listed, kept, skipped and failed, and the time and bytes that it took.
    complete : bool
        Whether the source is exhausted and every item is decided.
    """

    def __init__(
        self, corpus: str, target: Target, figures: CollectFigures, *, complete: bool
    ) -> None:
        self.corpus, self.figures, self.complete = corpus, figures, complete
        self._target = target

    @property
    def counts(self) -> Mapping[str, int]:
        """Numbers of items: ``kept``, and by reason those that were not kept."""
        return {"kept": self.figures.kept, **self.figures.reasons}

    @property
    def parts(self) -> list[str]:
        """Names of the corpus's files, in order."""
        ledger = Ledger.read(self._target)
        return [] if ledger is None else [part_key(n) for n in range(ledger.state.parts)]

    def failed(self) -> pd.DataFrame:
        """Return the items that failed, of all sources of the corpus.

        Returns
        -------
        DataFrame
            Columns ``key``, ``url``, ``reason``, ``detail`` and ``meaning``.
        """
        import pandas as pd

        ledger = Ledger.read(self._target)
        columns = ["key", "url", "reason", "detail"]
        found: list[dict[str, Any]] = [] if ledger is None else list(failures(ledger))
        frame = pd.DataFrame(found, columns=columns)
        frame["meaning"] = frame["reason"].map(REASONS)
        return frame

    def __repr__(self) -> str:
        now = self.figures
        rest = "" if self.complete else f", {now.reason or 'not complete'}"
        return f"<Collection {self.corpus!r}: {now.counted}{rest}>"
