"""Footers of Parquet files, changed number by number: what no writer would write."""

from __future__ import annotations

from contextlib import suppress


def span(data: bytes) -> tuple[int, int]:
    """Return where the footer's metadata start and stop in a file."""
    length = int.from_bytes(data[-8:-4], "little")
    return len(data) - 8 - length, len(data) - 8


def with_footer(data: bytes, footer: bytes) -> bytes:
    """Return a file with another footer."""
    start, _ = span(data)
    return data[:start] + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def with_numbers(data: bytes, old: int, new: int) -> bytes:
    """Return a file in whose footer every number `old` is `new`."""
    start, stop = span(data)
    footer = data[start:stop]
    for begin, end, value in reversed(numbers(footer)):
        if value == old:
            footer = footer[:begin] + varint(new) + footer[end:]
    return with_footer(data, footer)


def numbers(footer: bytes) -> list[tuple[int, int, int]]:
    """Return start, stop and value of each number in a footer, as far as it can be read."""
    return _Numbers(footer).found


def varint(value: int) -> bytes:
    """Return a number as Thrift's compact protocol writes it."""
    left, out = (value << 1 ^ value >> 63) & (2**64 - 1), bytearray()
    while left > 127:
        out.append(left & 127 | 128)
        left >>= 7
    return bytes([*out, left])


class _Numbers:
    """Walks a footer, and notes start, stop and value of each number in it."""

    def __init__(self, footer: bytes) -> None:
        self._footer = footer
        self.found: list[tuple[int, int, int]] = []
        with suppress(LookupError, RecursionError):
            self._struct(0)

    def _unsigned(self, at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            value |= (self._footer[at] & 127) << shift
            shift += 7
            at += 1
            if self._footer[at - 1] < 128:
                return value, at

    def _struct(self, at: int) -> int:
        while head := self._footer[at]:
            at += 1
            if not head >> 4:
                _, at = self._unsigned(at)
            at = self._value(head & 15, at)
        return at + 1

    def _list(self, at: int) -> int:
        head = self._footer[at]
        count, at = self._unsigned(at + 1) if head >> 4 == 15 else (head >> 4, at + 1)
        for _ in range(count):
            at = self._value(3 if head & 15 in (1, 2) else head & 15, at)
        return at

    def _number(self, at: int) -> int:
        value, end = self._unsigned(at)
        self.found.append((at, end, value >> 1 ^ -(value & 1)))
        return end

    def _string(self, at: int) -> int:
        length, at = self._unsigned(at)
        return at + length

    def _value(self, kind: int, at: int) -> int:
        walk = {
            **dict.fromkeys((1, 2), lambda at: at),
            3: lambda at: at + 1,
            **dict.fromkeys((4, 5, 6), self._number),
            7: lambda at: at + 8,
            8: self._string,
            **dict.fromkeys((9, 10), self._list),
            12: self._struct,
        }
        return walk[kind](at)
