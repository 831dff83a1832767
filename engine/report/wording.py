"""Formatting of numbers in a report, and the text alternatives of its pictures."""

from __future__ import annotations

from ...storage.store.history import Timeline
from .numbers import Distribution
from .prime_map import PrimeMap

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

BASES = {
    "calibrated": "measured on this machine by its calibration",
    "scaled": "not measured here: scaled from the advisor's reference machine",
    "arithmetic": "not measured: calculated from the device's data sheet",
}
"""The origin of the kernels' speed limit, by `Prediction.basis`."""


def number(value: float) -> str:
    """Return a number with five digits; integers below a million in full.

    >>> [number(x) for x in (0, 117659, 0.379928046, 1.0427e20, -2.5, 1.5e-7, 65536.7, 2e6)]
    ['0', '117,659', '0.37993', '1.0427 × 10²⁰', '-2.5', '1.5 × 10⁻⁷', '65,537', '2 × 10⁶']
    """
    if value == 0 or 1e-4 <= abs(value) < 1e6:
        if float(value).is_integer() or abs(value) >= 1e4:
            return f"{value:,.0f}"
        return f"{float(f'{value:.5g}'):,}"
    mantissa, exponent = f"{value:.4e}".split("e")
    return f"{float(mantissa):g} × {power_of_ten(int(exponent))}"


def power_of_ten(exponent: float) -> str:
    """Return a power of ten in superscript.

    >>> power_of_ten(-3)
    '10⁻³'
    """
    return "10" + f"{exponent:g}".translate(_SUPERSCRIPTS)


def of_distribution(found: Distribution) -> str:
    """Describe a histogram."""
    low, middle, high = map(number, found.quantiles[1:4])
    scale = ", on a logarithmic scale" if found.is_log else ""
    return (
        f"Histogram of {found.name} over {found.sampled:,} texts{scale}: from "
        f"{number(found.least)} to {number(found.most)}, median {middle}, half of the texts "
        f"between {low} and {high}."
    )


def of_rate(line: Timeline, window: float) -> str:
    """Describe the picture of a run's speed, averaged over `window` seconds."""
    rates = line.rates("rows_done", window)
    seconds = line.samples[-1].seconds if line.samples else 0.0
    return (
        f"Texts per second over the {seconds:,.0f} seconds of the last run: at most "
        f"{max(rates, default=0):,.0f}, {rates[-1] if rates else 0:,.0f} at its end."
    )


def of_memory(line: Timeline) -> str:
    """Describe the picture of a run's memory."""
    held = max((sample.memory or 0 for sample in line.samples), default=0) / 2**30
    spilled = max((sample.spilled or 0 for sample in line.samples), default=0) / 2**30
    return (
        f"Memory over the last run: all workers together held at most {held:.2f} GiB, "
        f"and spilled at most {spilled:.2f} GiB to disk."
    )


def of_map(found: PrimeMap) -> str:
    """Describe the map of prime bases."""
    first, second = found.explained
    kinds = f", coloured by {found.column or 'their strongest dhātu'}" if found.kinds else ""
    return (
        f"Scatter plot of {len(found.points):,} texts{kinds}: the first two principal components "
        f"of their prime bases, with {100 * first:.0f} % and {100 * second:.0f} % of the variance."
    )
