"""`climb_report`: writes the page about the climbs of a store, and shows it in a notebook."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from ....storage.errors import ResultsNotFound
from ....storage.messages.tracebacks import short_traceback
from ....storage.targets.target import Target
from ...report.wording import number
from ...report.written import embedded, page_path, write_page
from ..history.open_climb import climb_target, climbs_of
from .climb_findings import Begun, find_climb
from .climb_page import GENERATOR, climb_page


@dataclass(frozen=True)
class ClimbReport:
    """A written page; as the last value of a notebook cell it is displayed."""

    path: Path  # of the HTML file
    headline: tuple[tuple[str, str], ...]  # the climbs and their best scores

    def _repr_html_(self) -> str:
        return embedded(self.path, self.headline, "PaniniFS climbs")


@short_traceback
def climb_report(
    results: str | PathLike[str],
    names: str | Sequence[str] | None = None,
    out: str | PathLike[str] = "climbs.html",
    *,
    storage_options: Mapping[str, Any] | None = None,
) -> ClimbReport:
    """Write a page about climbs: their best states, scores, summits, failures.

    Climbs of one objective and space are also compared, over the same evaluations. The page is one
    HTML file that loads nothing from the network and runs no script. Climbs may be going on. Their
    histories are read once, in pieces.

    Parameters
    ----------
    results : str or path
        The store.
    names : str or sequence of str, optional
        The climbs; by default all of the store.
    out : str or path
        The file to write, on this machine. An existing page of climbs is replaced; any other
        existing file is an error.
    storage_options : mapping, optional
        Passed to fsspec.

    Returns
    -------
    ClimbReport

    Raises
    ------
    ResultsNotFound
        There is no such climb.
    ResultsDamaged
        A part of a history is missing or damaged.
    UsageError
        `out` cannot be written to.

    Examples
    --------
    >>> import tempfile, paninifs as pf
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pf.climb_report(f"{folder}/results.zarr", out=f"{folder}/climbs.html")
    Traceback (most recent call last):
    ...
    paninifs.storage.errors.ResultsNotFound: ... has no climb yet...
    """
    page_path(out, GENERATOR)  # before anything is read
    if names is None:
        names = climbs_of(results, storage_options)
    elif isinstance(names, str):
        names = [names]
    store = os.fspath(results)
    if not names:
        raise ResultsNotFound(f"{store} has no climb yet; begin one with pf.climb")
    targets = {one: climb_target(results, one, storage_options) for one in names}
    return written_report(store, targets, out)


def written_report(
    results: str, targets: Mapping[str, Target], out: str | PathLike[str]
) -> ClimbReport:
    """Write the page about climbs, by name."""
    path = page_path(out, GENERATOR)
    begun = [Begun.read(target, name) for name, target in targets.items()]
    fewest: dict[str, int] = {}  # evaluations, of the climbs of one problem
    for one in begun:
        fewest[one.problem] = min(fewest.get(one.problem, one.evaluations), one.evaluations)
    evaluations = [fewest[one.problem] for one in begun]
    found = [find_climb(one, most) for one, most in zip(begun, evaluations, strict=True)]
    write_page(path, climb_page(results, found, evaluations))
    return ClimbReport(path, tuple((one.name, _best(one)) for one in begun))


def _best(one: Begun) -> str:
    score = one.best["score"]
    best = "no score yet" if score is None else f"best score {number(score)}"
    return f"{best}, {one.evaluations:,} evaluations"
