"""`GrowingCorpus`: a collected corpus that may still grow, of which only committed parts are read.

A part is committed by the object of the ledger that was written after it. Until then, another
collector may replace it. `follow` decides when to look again.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ....storage.corpus.corpus import Corpus
from ....storage.corpus.open_corpus import open_corpus
from ....storage.errors import CorpusNotFound, ResultsDamaged, UsageError
from ....storage.filesystems.redaction import shown
from ....storage.targets.open import open_target
from ..ledger.collection_keys import LEDGER_FOLDER, STATE_KEY, ledger_key, ledger_numbers, part_key
from ..ledger.ledger_object import STATE_METADATA

MOST_PARTS = 10**9
"""Maximum plausible number of parts in a ledger."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How far a collection has come."""

    complete: bool
    parts: int  # committed ones
    stopped: str = ""  # why it has ended before it was complete, if it has


class GrowingCorpus:
    """A folder that a collection writes parts of a corpus to.

    Parameters
    ----------
    url : str or path
        The folder.
    options : mapping
        Options of `open_corpus`.
    """

    def __init__(self, url: str | os.PathLike[str], options: Mapping[str, Any]) -> None:
        self._url, self._options = os.fspath(url), dict(options)
        self.name = shown(self._url)
        self._target = open_target(self._url, self._options.get("storage_options"))
        self._counted = ("", 0)  # the newest object of the ledger, and the parts that it counts

    def standing(self) -> Standing:
        """Return how far the collection is.

        Raises
        ------
        UsageError
            The folder is not that of a collection.
        ResultsDamaged
            What the collection wrote is damaged.
        """
        # Read before the parts are counted, so that none is missed when it says "complete".
        state = self._state()
        stopped = "" if state["complete"] else str(state.get("why") or state.get("ended") or "")
        return Standing(complete=state["complete"], parts=self._parts(), stopped=stopped)

    def opened(self, parts: int) -> Corpus | None:
        """Return the corpus of the first parts; None as long as the listing lacks one of them."""
        if not parts:
            return None
        try:
            corpus = open_corpus(self._url, **self._options)
        except CorpusNotFound:
            return None
        named = {file.name: file for file in corpus.files}
        names = [part_key(number) for number in range(parts)]
        if not all(name in named for name in names):
            return None
        files = tuple(named[name] for name in names)
        return replace(corpus, files=files, ignored=(), notes=())

    def _state(self) -> Mapping[str, Any]:
        data = self._target.get(STATE_KEY)
        if data is None:
            raise UsageError(
                f"{self.name} has no {STATE_KEY}, so it is not the folder of a collection: "
                "collect into it with paninifs collect, or use paninifs run --extend (pf.submit, "
                "extend=True) whenever files were added"
            )
        try:
            state = json.loads(data)
        except ValueError:
            state = None
        if not isinstance(state, dict) or not isinstance(state.get("complete"), bool):
            raise ResultsDamaged(
                f"{STATE_KEY} of {self.name} is damaged: it does not say whether the collection is "
                "complete; collect again to write it anew"
            )
        return state

    def _parts(self) -> int:
        """Return the number of parts that the newest object of the ledger counts."""
        numbers = ledger_numbers(self._target.sizes(LEDGER_FOLDER))
        if not numbers:
            return 0
        newest = ledger_key(numbers[-1])
        if self._counted[0] != newest:
            data = self._target.get(newest)
            if data is None:  # it is being replaced by a collector that resumed
                return self._counted[1]
            self._counted = newest, self._parts_in(newest, data)
        return self._counted[1]

    def _parts_in(self, key: str, data: bytes) -> int:
        import pyarrow.parquet as pq
        from pyarrow import ArrowException

        try:
            metadata = pq.read_metadata(io.BytesIO(data)).metadata or {}
            parts = json.loads(metadata[STATE_METADATA])["parts"]
        except (ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            raise ResultsDamaged(
                f"{key} of {self.name} is damaged: it does not say how many parts are committed "
                f"({type(error).__name__})"
            ) from error
        if type(parts) is not int or not 0 <= parts <= MOST_PARTS:
            raise ResultsDamaged(f"{key} of {self.name} is damaged: it counts {parts!r:.40} parts")
        return parts
