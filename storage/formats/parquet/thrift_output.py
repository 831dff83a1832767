"""Thrift's compact protocol, written: the few kinds of values that a Parquet footer needs.

Reading it is in `thrift`. The protocol distinguishes numbers of 32 and of 64 bits, and readers take
no other than the one that they expect, so a number says which it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

from .thrift import unsigned


class I32(NamedTuple):
    """A number of 32 bits, or an enum."""

    value: int


class I64(NamedTuple):
    """A number of 64 bits."""

    value: int


Value: TypeAlias = "I32 | I64 | bytes | list[Value] | Mapping[int, Value]"
"""A number, a string, a list of values of one kind, or a struct: its fields by number."""

_I32, _I64, _BINARY, _LIST, _STRUCT = 5, 6, 8, 9, 12


def encode(fields: Mapping[int, Value]) -> bytes:
    """Return a struct.

    >>> encode({1: I32(3), 2: b"ab"}).hex()
    '15061802616200'
    """
    out, last = bytearray(), 0
    for number in sorted(fields):
        value = fields[number]
        if number - last > 15:
            raise ValueError(f"field {number} is too far from field {last}")
        out.append(number - last << 4 | _kind(value))
        out += _bytes(value)
        last = number
    return bytes([*out, 0])


def _kind(value: Value) -> int:
    if isinstance(value, I32):
        return _I32
    if isinstance(value, I64):
        return _I64
    if isinstance(value, bytes):
        return _BINARY
    return _LIST if isinstance(value, list) else _STRUCT


def _bytes(value: Value) -> bytes:
    if isinstance(value, I32 | I64):
        return unsigned(value.value << 1 ^ value.value >> 63)
    if isinstance(value, bytes):
        return unsigned(len(value)) + value
    if isinstance(value, list):
        return _list(value)
    return encode(value)


def _list(values: Sequence[Value]) -> bytes:
    kind = _kind(values[0]) if values else _BINARY
    head = bytes([len(values) << 4 | kind] if len(values) < 15 else [0xF0 | kind])
    count = unsigned(len(values)) if len(values) >= 15 else b""
    return head + count + b"".join(map(_bytes, values))
