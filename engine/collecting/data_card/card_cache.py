"""`CardCache`: what a data card needs beyond the ledger, cached beside the corpus.

Parts are counted once, by the session that finds them new. If the cache is lost or damaged, the
parts are read once more; only the descriptions of sources collected earlier are lost.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from ....storage.errors import ResultsDamaged
from ....storage.targets.target import Target
from .part_tally import PartTally

CACHE_KEY = "_collection/card.json"


@dataclass
class CardCache:
    """What was known when the card was last written."""

    identity: str
    """Identity of the corpus; a corpus that was begun again has another one."""
    created: str
    """When the first session began: ISO 8601, UTC."""
    objects: int = 0
    """Number of ledger objects whose parts are counted."""
    parts: list[PartTally] = field(default_factory=list)
    sources: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Each source's description of itself, by its identity."""

    @classmethod
    def read(cls, target: Target, identity: str, created: str) -> CardCache:
        """Return the cache of a corpus; an empty one if there is none, or it cannot be used."""
        try:
            known = json.loads(target.get(CACHE_KEY) or b"{}")
            if known["identity"] != identity:
                return cls(identity, created)
            return cls(
                identity=identity,
                created=str(known["created"]),
                objects=int(known["objects"]),
                parts=[PartTally.from_json(one) for one in known["parts"]],
                sources={str(name): dict(one) for name, one in known["sources"].items()},
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            return cls(identity, created)

    def count(
        self, target: Target, objects: int, part_of: Callable[[int], tuple[str, str] | None]
    ) -> None:
        """Count the parts that were committed since the last call.

        Parameters
        ----------
        target : Target
            The corpus.
        objects : int
            Number of objects of its ledger.
        part_of : callable
            Given an object's number, returns name and SHA-256 of the part that it committed; None
            if it has none.

        Raises
        ------
        ResultsDamaged
            A part is missing, or is not the one that was committed.
        """
        if self.objects > objects:  # the ledger was restored from an earlier copy
            self.objects, self.parts = 0, []
        for number in range(self.objects, objects):
            part = part_of(number)
            if part is not None:
                self.parts.append(_tally(target, *part))
            self.objects = number + 1

    def write(self, target: Target) -> None:
        """Write the cache."""
        text = json.dumps(asdict(self), ensure_ascii=False)
        target.put(CACHE_KEY, text.encode("utf-8", "backslashreplace"))


def _tally(target: Target, name: str, digest: str) -> PartTally:
    data = target.get(name)
    if data is None:
        raise ResultsDamaged(f"{target.url}/{name} is missing: restore it")
    found = PartTally.of(name, data)
    if found.sha256 != digest:
        raise ResultsDamaged(f"{target.url}/{name} is not what was written: restore it")
    return found
