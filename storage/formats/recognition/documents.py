"""Texts that are not the rows of a format: pointers, pages, JSON documents, lines ending in CR.

Plain text is never refused for what it says: a page or a JSON document may be read line by line.
"""

from __future__ import annotations

import json
import re
from typing import Any

from ..lines import BOM

HEAD_BYTES = 1 << 16
"""First bytes of a file by which it is recognised. Fewer are the whole file."""

_LFS_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/\S+\r?\n"
    rb"(?:ext-[^\n]+\n)*oid \w+:[0-9a-f]+\r?\nsize \d+\s*"
)
_ANNEX_POINTER = re.compile(rb"/annex/objects/\S+\r?\n?")

_PAGE = re.compile(
    rb"<!doctype\s+html|<html[\s>].*<(?:head|body|meta|title)\b", re.IGNORECASE | re.DOTALL
)
_XML = re.compile(rb"<\?xml\s")

_ARRAY = re.compile(rb"\[\s*\{|\[[ \t]*\r?\n\s*[\[\"\d\-tfn\]]")
_ARRAY_OF_OBJECTS = re.compile(rb'\[\s*\{\s*"')
_PRETTY_OBJECT = re.compile(rb'\{[ \t]*\r?\n\s*"')
_OPEN_ENDS = (b"{", b"[", b",", b":")

_QUOTED = re.compile(rb'"[^"]*"')
_ENDS_IN_CR = "its lines end in CR alone, as on old Macs; replace it: tr '\\r' '\\n' < in > out"
_ONE_PER_LINE = "one object per line is needed: jq -c '.[]' in.json > out.jsonl"


def pointer(head: bytes) -> str | None:
    """Return that a file is not there: Git keeps its content elsewhere."""
    if _LFS_POINTER.fullmatch(head):
        return "it is a Git LFS pointer, and not the file itself; run: git lfs pull"
    if _ANNEX_POINTER.fullmatch(head):
        return "it is a git-annex pointer, and not the file itself; run: git annex get"
    return None


def page(head: bytes) -> str | None:
    """Return that a file is HTML or XML, as is often downloaded in place of data."""
    start = head.removeprefix(BOM).lstrip()
    if _PAGE.match(start):
        return (
            "it is an HTML page, perhaps of a server that asks to sign in; download the file again"
        )
    if _XML.match(start):
        return "it is XML; each file is one text with --format document (format='document')"
    return None


def not_json_lines(head: bytes) -> str | None:
    r"""Return what a file is in which hardly a line is an object.

    >>> print(not_json_lines(b'[{"text": "un"}, {"text": "deux"}]'))
    it is a JSON array; one object per line is needed: jq -c '.[]' in.json > out.jsonl
    >>> print(not_json_lines(b'[0] a log\n{"text": "un"}\n'))
    None
    """
    body = head.removeprefix(BOM).lstrip()
    if not body or isinstance(_loaded(body.partition(b"\n")[0]), dict):
        return None
    lines = [line for line in body.split(b"\n") if line.strip()]
    if len(head) == HEAD_BYTES and len(lines) > 1:
        del lines[-1]  # it is cut
    objects = sum(isinstance(_loaded(line), dict) for line in lines)
    # The last object of an array has no comma behind it, so one may be alone on its line.
    if 2 * objects >= len(lines) or (objects > 1 and 4 * objects >= len(lines)):
        return None
    if _is_array(body, lines):
        return f"it is a JSON array; {_ONE_PER_LINE}"
    if body.startswith(b"{") and len(lines) > 1 and lines[0].rstrip().endswith(_OPEN_ENDS):
        return "it is JSON over several lines; one object per line is needed: jq -c . in > out"
    if body.startswith(b"\x1e"):
        return "it is a JSON text sequence; remove its separators: tr -d '\\036' < in > out"
    if any(isinstance(_loaded(line), dict) for line in _lines_between_returns(head)):
        return _ENDS_IN_CR
    return page(head)


def _is_array(body: bytes, lines: list[bytes]) -> bool:
    """Return whether a file is one array. Lines that are arrays are rows, if bad ones."""
    first = _loaded(lines[0])
    if first is None:
        return _ARRAY.match(body) is not None
    return isinstance(first, list) and (len(lines) == 1 or any(isinstance(o, dict) for o in first))


def not_delimited(head: bytes) -> str | None:
    r"""Return what a file is that has no header of a table.

    >>> print(not_delimited(b'{"text": "un"}\n'))
    it is JSON Lines; let its name end in .jsonl, or give --format jsonl (format='jsonl')
    >>> print(not_delimited(b"[,text\n0,un\n"))
    None
    """
    body = head.removeprefix(BOM).lstrip()
    if _ARRAY_OF_OBJECTS.match(body):
        return f"it is a JSON array; {_ONE_PER_LINE}"
    if _PRETTY_OBJECT.match(body):
        return "it is JSON, and no table"
    first = _loaded(body.partition(b"\n")[0])
    if isinstance(first, dict) and first:
        return (
            "it is JSON Lines; let its name end in .jsonl, or give --format jsonl (format='jsonl')"
        )
    return ends_in_cr(head) or page(head)


def ends_in_cr(head: bytes) -> str | None:
    """Return that no line ends in LF, but several in CR."""
    if b"\n" in head:
        return None
    lines = _lines_between_returns(_QUOTED.sub(b'""', head))
    several = len(lines) > 2 or (len(lines) == 2 and head.endswith(b"\r"))
    return _ENDS_IN_CR if several else None


def _lines_between_returns(head: bytes) -> list[bytes]:
    """Return what carriage returns separate; nothing if there are line feeds."""
    if b"\n" in head:
        return []
    return [line for line in head.removeprefix(BOM).split(b"\r") if line.strip()]


def _loaded(line: bytes) -> Any:
    try:
        return json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
