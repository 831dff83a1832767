"""`Target`: where results land, as whole objects under keys.

Everything that the engine writes goes through `put`, `put_all` and `create` of a target, so a test
(or a mirror) that wraps one sees every write. `open` makes the target for a URL. What the objects
mean is known only in `store`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol


class Target(Protocol):
    """A folder of objects. Pickled into tasks, so it holds addresses, not connections."""

    @property
    def url(self) -> str:
        """The folder's path or URL as the user gave it, without a password."""

    @property
    def storage_options(self) -> Mapping[str, Any]:
        """Options with which fsspec reads the folder."""

    @property
    def slow_to_create(self) -> bool:
        """Whether creating even a small object takes long, so that few large ones are better."""

    @property
    def grouped(self) -> bool:
        """Whether `put_all` is more than a `put` for each object, so that a failure is of all."""

    def get(self, key: str) -> bytes | None:
        """Return an object, or None if it does not exist."""

    def put(self, key: str, data: bytes) -> None:
        """Write a whole object, replacing an existing one, as durably as the storage can."""

    def put_all(self, *steps: Mapping[str, bytes]) -> None:
        """Write whole objects as `put` does, by key, and step by step.

        No object is visible, or durable, before those of the steps before it are durable.
        """

    def create(self, key: str, data: bytes) -> bool:
        """Write an object only if it does not exist; return whether it was written."""

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; missing ones are not an error."""

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """Return the size in bytes of every object under a folder, by key; never from a cache."""
