"""Thrift's compact protocol: decodes the wanted fields of a struct, and skips the others.

Every length is checked before it is believed, so that work and memory are bounded by the number of
bytes. What the fields of a Parquet footer mean is in `footer`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

from ...rows import Malformed

Wanted: TypeAlias = "Mapping[int, Wanted | None]"
"""Numbers of the wanted fields; for a struct, or a list of structs, those within it."""

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)

_NOTHING: Wanted = {}

_DEPTH = 64
"""Deepest nesting of structs and lists."""


class Binary(NamedTuple):
    """Where a string lies: its length at `at`, its bytes from `start` to `stop`."""

    at: int
    start: int
    stop: int


def decode(data: bytes, wanted: Wanted) -> dict[int, Any]:
    """Return the wanted fields that a struct has, by number.

    Integers are int, strings are `Binary`, lists and structs are lists and dicts.

    Raises
    ------
    Malformed
        The bytes end too early, or are not a struct.

    Examples
    --------
    >>> decode(bytes([0x15, 0x06, 0x18, 0x02]) + b"ab" + bytes([0]), {1: None, 2: None})
    {1: 3, 2: Binary(at=3, start=4, stop=6)}
    """
    return decode_at(data, 0, wanted)[0]


def decode_at(data: bytes, at: int, wanted: Wanted) -> tuple[dict[int, Any], int]:
    """Return the wanted fields of a struct that begins at a byte, and where it ends.

    Raises
    ------
    Malformed
        See `decode`.
    """
    try:
        found, end = _struct(data, at, wanted, 0)
    except (IndexError, struct.error):
        raise Malformed("its last field is cut off") from None
    if end > len(data):
        raise Malformed("its last field is cut off")
    return found, end


def number(fields: Mapping[int, Any], field: int) -> int | None:
    """Return an integer of a struct; None if it has none there."""
    value = fields.get(field)
    return value if type(value) is int else None


def items(fields: Mapping[int, Any], field: int) -> list[Any]:
    """Return a list of a struct, empty if it has none there."""
    value = fields.get(field)
    return value if isinstance(value, list) else []


def structs(fields: Mapping[int, Any], field: int) -> list[dict[int, Any]]:
    """Return a list of structs of a struct, empty if it has none there."""
    return [value if isinstance(value, dict) else {} for value in items(fields, field)]


def unsigned(value: int) -> bytes:
    """Return a number as it is written before the bytes of a string.

    >>> unsigned(300).hex()
    'ac02'
    """
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _struct(  # noqa: C901, PLR0912 (one loop, because it takes most of the time)
    data: bytes, at: int, wanted: Wanted, depth: int
) -> tuple[dict[int, Any], int]:
    # A footer may have millions of fields. So numbers and strings are decoded in this loop.
    if depth > _DEPTH:
        raise Malformed("its structs are nested too deeply")
    found: dict[int, Any] = {}
    field = 0
    while kind := data[at] & 15:
        head = data[at]
        at += 1
        if head > 15:
            field += head >> 4
        else:
            field, at = _signed(data, at)
        if _I16 <= kind <= _I64:
            if field in wanted:
                byte = data[at]
                if byte < 128:
                    found[field] = byte >> 1 ^ -(byte & 1)
                else:
                    found[field], at = _signed(data, at)
                    continue
            else:
                while data[at] > 127:
                    at += 1
            at += 1
        elif kind == _STRUCT:
            value, at = _struct(data, at, wanted.get(field) or _NOTHING, depth + 1)
            if field in wanted:
                found[field] = value
        elif kind == _BINARY:
            start = at
            length = data[at]
            at += 1
            if length > 127:
                length, at = _varint(data, start)
            if field in wanted:
                found[field] = Binary(start, at, at + length)
            at += length
        else:
            value, at = _value(data, at, kind, wanted.get(field) or _NOTHING, depth)
            if field in wanted:
                found[field] = value
    return found, at + 1


def _value(data: bytes, at: int, kind: int, within: Wanted, depth: int) -> tuple[Any, int]:
    match kind:
        case 5 | 6 | 4:
            return _signed(data, at)
        case 8:
            length, start = _varint(data, at)
            return Binary(at, start, start + length), start + length
        case 12:
            return _struct(data, at, within, depth + 1)
        case 9 | 10:
            return _list(data, at, within, depth + 1)
        case 1 | 2:
            return kind == _TRUE, at
        case 3:
            return data[at], at + 1
        case 7:
            return struct.unpack_from("<d", data, at)[0], at + 8
    raise Malformed(f"it has a field of the unknown kind {kind}")


def _list(data: bytes, at: int, within: Wanted, depth: int) -> tuple[list[Any], int]:
    if depth > _DEPTH:
        raise Malformed("its lists are nested too deeply")
    head = data[at]
    count, kind, at = head >> 4, head & 15, at + 1
    if count == 15:
        count, at = _varint(data, at)
    if count > len(data) - at:  # each takes a byte at least
        raise Malformed("a list is longer than the rest of it")
    kind = _BYTE if kind in (_TRUE, _FALSE) else kind  # within a list, a boolean is a byte
    values = []
    for _ in range(count):
        if kind == _STRUCT:
            value, at = _struct(data, at, within, depth + 1)
        else:
            value, at = _value(data, at, kind, within, depth)
        values.append(value)
    return values, at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    at += 1
    if byte < 128:
        return byte, at
    value, shift = byte & 127, 7
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise Malformed("a number has more than 64 bits")


def _signed(data: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return value >> 1 ^ -(value & 1), at
