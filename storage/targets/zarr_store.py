"""`TargetStore`: a `Target` as zarr and xarray read it, waiting and never from a listing's cache.

Zarr takes a file that it is told is not there for one of fill values. So on a place that fails now
and then, or whose listings are stale, results are read as they were written: through a target.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
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

from .target import Target

_HELD = 4
"""Objects that are held, for a shard is asked for piece by piece: at most 256 MiB, mostly less."""


class TargetStore(Store):
    """A store that can only be read.

    Parameters
    ----------
    target : Target
        Where the objects are.
    """

    supports_writes = False
    supports_deletes = False
    supports_listing = True

    def __init__(self, target: Target) -> None:
        super().__init__(read_only=True)
        self._target = target
        self._object = lru_cache(_HELD)(target.get)

    def __reduce__(self) -> tuple[type[TargetStore], tuple[Target]]:
        """Travel as the address that a target is."""
        return TargetStore, (self._target,)

    def __eq__(self, value: object) -> bool:
        """Compare by place."""
        return isinstance(value, TargetStore) and value._target.url == self._target.url

    def __hash__(self) -> int:
        """Agree with equality."""
        return hash(self._target.url)

    def __str__(self) -> str:
        """Return the place."""
        return self._target.url

    async def get(
        self,
        key: str,
        prototype: BufferPrototype,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Return an object, or some of its bytes; None where there is none."""
        data = await asyncio.to_thread(self._object, key)
        return None if data is None else prototype.buffer.from_bytes(_part(data, byte_range))

    async def get_partial_values(
        self,
        prototype: BufferPrototype,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        """Return bytes of several objects."""
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    async def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        return await asyncio.to_thread(self._object, key) is not None

    async def set(self, key: str, value: Buffer) -> None:  # noqa: ARG002 (as Store has it)
        """Refuse."""
        self._check_writable()

    async def delete(self, key: str) -> None:  # noqa: ARG002 (as Store has it)
        """Refuse."""
        self._check_writable()

    async def list(self) -> AsyncIterator[str]:
        """Yield every key."""
        async for key in self.list_prefix(""):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Yield the keys that begin so."""
        for key in await asyncio.to_thread(self._target.sizes):
            if key.startswith(prefix):
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
