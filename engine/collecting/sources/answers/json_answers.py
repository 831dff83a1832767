"""Parses JSON that comes from a service or a user's list, and takes values out of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ...outcome import NotKept


def parse_object(body: bytes | str, what: str) -> dict[str, Any]:
    """Return the object that a JSON document consists of.

    Raises
    ------
    NotKept
        It is not valid JSON (``damaged``), nested too deeply, or not an object (``bad-record``).
    """
    try:
        value = json.loads(body)
    except RecursionError:
        raise NotKept("too-deep", what) from None
    except ValueError as error:  # also for invalid UTF-8
        raise NotKept("damaged", f"{what}: {str(error)[:200]}") from None
    if not isinstance(value, dict):
        raise NotKept("bad-record", f"{what} is {type(value).__name__}, not an object")
    return value


def texts(fields: Mapping[str, Any], name: str) -> list[str]:
    """Return the strings of a field that holds one or a list of them; none if it is missing."""
    value = fields.get(name)
    values = value if isinstance(value, list) else [value]
    return [_clean(one) for one in values if isinstance(one, str) and one.strip()]


def text(fields: Mapping[str, Any], name: str) -> str:
    """Return the first string of a field; empty if there is none."""
    return next(iter(texts(fields, name)), "")


def _clean(value: str) -> str:
    """Return a string without surrounding space, and without halves of surrogate pairs."""
    return value.strip().encode("utf-8", "replace").decode()
