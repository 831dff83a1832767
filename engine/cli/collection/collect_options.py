"""Parses option values of ``paninifs collect``: rates by host, sizes, times, source options."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any

import typer

_SECONDS = {"": 1, "s": 1, "min": 60, "h": 3600, "d": 86_400}


def rates_of(given: Iterable[str]) -> dict[str, float]:
    """Parse requests per second by host, from strings ``NAME=RATE``.

    >>> rates_of(["a.example=0.5", "B.example=4"])
    {'a.example': 0.5, 'b.example': 4.0}
    """
    rates: dict[str, float] = {}
    for one in given:
        host, _, number = one.rpartition("=")
        try:
            rate = float(number)
        except ValueError:
            rate = 0.0
        if not host or not 0 < rate < math.inf or "/" in host:
            raise typer.BadParameter(
                f"--host must be a host's name and its requests per second, such as "
                f"a.example=0.5, not {one!r}"
            )
        rates[host.lower()] = rate
    return rates


def bytes_of(given: str | None) -> int | None:
    """Parse a size such as ``10GB``, in bytes.

    >>> bytes_of("1.5 GB"), bytes_of("2MiB"), bytes_of(None)
    (1500000000, 2097152, None)
    """
    if given is None:
        return None
    from dask.utils import parse_bytes

    try:
        found = parse_bytes(given)
    except ValueError:
        found = 0
    if found < 1:
        raise typer.BadParameter(f"--max-bytes must be a size such as 10GB, not {given!r}")
    return found


def seconds_of(given: str | None) -> float | None:
    """Parse a time such as ``90min`` (s, min, h or d), in seconds.

    >>> seconds_of("90min"), seconds_of("2 h"), seconds_of("30")
    (5400.0, 7200.0, 30.0)
    """
    if given is None:
        return None
    parts = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|min|h|d|)\s*", given)
    found = float(parts[1]) * _SECONDS[parts[2]] if parts else 0.0
    if not 0 < found < math.inf:
        raise typer.BadParameter(f"--max-time must be a time such as 90min, not {given!r}")
    return found


def options_of(given: Iterable[str]) -> dict[str, Any]:
    """Parse options of a source, from strings ``KEY=VALUE``.

    Numbers, ``true`` and ``false`` get their types; values in double quotes are strings.

    >>> options_of(["set=cs", "rows=50", "full_text=true", 'year="2020"', "query=a=b"])
    {'set': 'cs', 'rows': 50, 'full_text': True, 'year': '2020', 'query': 'a=b'}
    """
    options: dict[str, Any] = {}
    for one in given:
        key, equals, text = one.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or not key.isidentifier():
            raise typer.BadParameter(f"--option must be KEY=VALUE, such as set=cs, not {one!r}")
        if key in options:
            raise typer.BadParameter(f"--option {key} is given twice")
        options[key] = _value(text)
    return options


def _value(text: str) -> Any:
    try:
        found = json.loads(text)
    except ValueError:
        return text
    finite = not isinstance(found, float) or math.isfinite(found)
    return found if isinstance(found, bool | int | float | str) and finite else text
