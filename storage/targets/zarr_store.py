"""`TargetStore`: a `Target` as a Zarr store, read with retries and never from cached listings.

Zarr reads a missing object as fill values. So where storage fails now and then, or has stale
listings, results are read as they were written: through a target.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from functools import lru_cache
from typing import Any

from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)
from zarr.core.buffer import Buffer, BufferPrototype

from .local import is_temporary
from .target import Target

_CACHED = 4
"""Number of objects cached, as a shard is read in pieces: at most 256 MiB, usually less."""


class TargetStore(Store):
    """A read-only Zarr store.

    Parameters
    ----------
    target : Target
        The target to read from.
    others : mapping of str to bytes, optional
        Objects by key that the target does not have.
    """

    supports_writes = False
    supports_deletes = False
    supports_listing = True

    def __init__(self, target: Target, others: Mapping[str, bytes] | None = None) -> None:
        super().__init__(read_only=True)
        self._target, self._others = target, dict(others or {})
        self._object = lru_cache(_CACHED)(self._read)

    def _read(self, key: str) -> bytes | None:
        return self._others[key] if key in self._others else self._target.get(key)

    def __reduce__(self) -> tuple[type[TargetStore], tuple[Target, Mapping[str, bytes]]]:
        """Pickle the target, without cached objects."""
        return TargetStore, (self._target, self._others)

    def __eq__(self, value: object) -> bool:
        """Compare by URL."""
        return isinstance(value, TargetStore) and value._target.url == self._target.url

    def __hash__(self) -> int:
        """Hash by URL, as equality compares."""
        return hash(self._target.url)

    def __str__(self) -> str:
        """Return the URL."""
        return self._target.url

    async def get(
        self,
        key: str,
        prototype: BufferPrototype,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Return an object or a range of its bytes; None if the object does not exist."""
        data = await asyncio.to_thread(self._object, key)
        return None if data is None else prototype.buffer.from_bytes(_part(data, byte_range))

    async def get_partial_values(
        self,
        prototype: BufferPrototype,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        """Return ranges of several objects."""
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    async def exists(self, key: str) -> bool:
        """Return whether an object exists."""
        return await asyncio.to_thread(self._object, key) is not None

    async def set(self, key: str, value: Buffer) -> None:  # noqa: ARG002 (the signature of Store)
        """Raise: the store is read-only."""
        self._check_writable()

    async def delete(self, key: str) -> None:  # noqa: ARG002 (the signature of Store)
        """Raise: the store is read-only."""
        self._check_writable()

    async def list(self) -> AsyncIterator[str]:
        """Yield every key."""
        async for key in self.list_prefix(""):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Yield the keys that start with a prefix."""
        for key in await asyncio.to_thread(self._target.sizes):
            if key.startswith(prefix) and not is_temporary(key):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Yield the names in a folder."""
        folder = f"{prefix.strip('/')}/".lstrip("/")
        names: dict[str, Any] = {}
        async for key in self.list_prefix(folder):
            names[key.removeprefix(folder).split("/")[0]] = None
        for name in names:
            yield name


def _part(data: bytes, byte_range: ByteRequest | None) -> bytes:
    match byte_range:
        case RangeByteRequest():
            return data[byte_range.start : byte_range.end]
        case OffsetByteRequest():
            return data[byte_range.offset :]
        case SuffixByteRequest():
            return data[-byte_range.suffix :]
    return data
