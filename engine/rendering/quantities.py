"""Formatting of durations, dollars and compute units."""

from __future__ import annotations

import numpy as np


def duration(seconds: float) -> str:
    """Return a duration, to two or three significant figures.

    >>> [duration(x) for x in (0.04, 9.6, 75, 5400, 300_000)]
    ['0.04 s', '9.6 s', '75 s', '90 min', '83 h']
    """
    for unit, length in (("s", 1), ("min", 60)):
        if seconds < 100 * length:
            return f"{_figure(seconds / length)} {unit}"
    return f"{_figure(seconds / 3600)} h"


def dollars(amount: float) -> str:
    """Return an amount of US dollars; a small amount never becomes zero.

    >>> [dollars(x) for x in (0, 0.00042, 1.5, 1234, -6)]
    ['$0', '$0.00042', '$1.50', '$1,234', '-$6.00']
    """
    sign, amount = ("-", -amount) if amount < 0 else ("", amount)
    if amount == 0:
        return "$0"
    if amount < 0.01:
        return f"{sign}${_two(amount)}"
    return f"{sign}${amount:,.2f}" if amount < 1000 else f"{sign}${amount:,.0f}"


def units(amount: float) -> str:
    """Return an amount of compute units.

    >>> [units(x) for x in (0, 0.034, 54, 1)]
    ['0 units', '0.034 units', '54 units', '1 unit']
    """
    figure = _figure(amount)
    return f"{figure} unit" + ("" if figure == "1" else "s")


def times(ratio: float) -> str:
    """Return a ratio as a factor.

    >>> times(1.234), times(42.1)
    ('1.2', '42')
    """
    return _figure(ratio)


def _two(value: float) -> str:
    """Return a number to two significant figures, never in scientific notation.

    >>> _two(0.0000193), _two(2.0)
    ('0.000019', '2')
    """
    return np.format_float_positional(value, precision=2, fractional=False, trim="-")


def _figure(value: float) -> str:
    return _two(value) if value < 10 else f"{value:,.0f}"
