"""A folder whose every object is written by `put`, for stand-ins that change what `put` does."""

from __future__ import annotations

from collections.abc import Mapping

from paninifs.storage.targets.local import LocalTarget


class OneByOneTarget(LocalTarget):
    """A folder that writes objects one after another, in order."""

    grouped = False

    def put_all(self, *steps: Mapping[str, bytes]) -> None:
        for step in steps:
            for key, data in step.items():
                self.put(key, data)
