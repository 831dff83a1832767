"""Targets round another: one that repeats what may pass, one that reads back what it wrote."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from ..filesystems.retry import permanent_errors, retried
from .target import Target

T = TypeVar("T")


class _Guard:
    def __init__(self, inner: Target) -> None:
        self._inner = inner

    @property
    def url(self) -> str:
        """As the target within."""
        return self._inner.url

    @property
    def storage_options(self) -> Mapping[str, Any]:
        """As the target within."""
        return self._inner.storage_options

    @property
    def slow_to_create(self) -> bool:
        """As the target within."""
        return self._inner.slow_to_create

    def get(self, key: str) -> bytes | None:
        """As the target within."""
        return self._inner.get(key)

    def put(self, key: str, data: bytes) -> None:
        """As the target within."""
        self._inner.put(key, data)

    def create(self, key: str, data: bytes) -> bool:
        """As the target within."""
        return self._inner.create(key, data)

    def delete(self, keys: Iterable[str]) -> None:
        """As the target within."""
        self._inner.delete(keys)

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """As the target within."""
        return self._inner.sizes(prefix)


class ReadBackTarget(_Guard):
    """For places that may say that a write succeeded when it did not: a mount, a Drive."""

    def put(self, key: str, data: bytes) -> None:
        """Write a whole object; raise OSError where something else is read back."""
        self._inner.put(key, data)
        if self._inner.get(key) != data:
            raise self._torn(key)

    def create(self, key: str, data: bytes) -> bool:
        """Write an object only where there is none; raise OSError as `put` does."""
        if not self._inner.create(key, data):
            return False
        found = self._inner.get(key)
        if found is None:
            raise self._torn(key)
        if found != data and (data.startswith(found) or found.startswith(data)):
            # Half an object of one's own would keep everybody out for good.
            self._inner.delete([key])
            raise self._torn(key)
        return found == data  # else another writer was there at the same moment

    def _torn(self, key: str) -> OSError:
        return OSError(errno.EIO, f"{self.url}/{key} is not what was written")


class RetryingTarget(_Guard):
    """Repeats what fails in a way that may pass, and says what does not: `patience`, `refusal`."""

    def get(self, key: str) -> bytes | None:
        """Return an object, or None where there is none."""
        return _asked(f"reading {self.url}/{key}", lambda: self._inner.get(key))

    def put(self, key: str, data: bytes) -> None:
        """Write a whole object."""
        _asked(f"writing {self.url}/{key}", lambda: self._inner.put(key, data))

    def create(self, key: str, data: bytes) -> bool:
        """Write an object only where there is none.

        An object that is there and holds these very bytes was written by an attempt whose answer
        was lost; so what is created has to be unique to its writer.
        """
        created = _asked(f"creating {self.url}/{key}", lambda: self._inner.create(key, data))
        return created or self.get(key) == data

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects."""
        every = list(keys)
        _asked(f"deleting from {self.url}", lambda: self._inner.delete(every))

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """List the objects under a folder."""
        return _asked(f"listing {self.url}", lambda: self._inner.sizes(prefix))


def _asked(doing: str, call: Callable[[], T]) -> T:
    with permanent_errors(doing):
        return retried(doing, call)
