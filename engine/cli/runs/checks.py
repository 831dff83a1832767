"""Checks of the options of ``paninifs run``, and the choices that follow from them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import typer

from ....storage.errors import BackendUnavailable
from ....storage.messages.names import listed
from ...rendering.terminal import plain
from ..console import FAILED, err

if TYPE_CHECKING:
    from ....graphs.graph import Graph
    from ....storage.corpus.corpus import Corpus

COUNTED_FIRST = 16 << 20
"""Size in bytes up to which a corpus is indexed and checked before a cluster is started."""


def opened_corpus(urls: Sequence[str], **options: Any) -> Corpus:
    """Open a corpus, and note which files are left out."""
    from ....storage.corpus.open_corpus import open_corpus

    source = open_corpus(list(urls), **options)
    if source.ignored:
        skipped = listed(PurePath(name).name for name in source.ignored)
        err.print(f"note: skipped, as their format is unknown: {plain(skipped)}")
    return source


def chosen_cluster(
    cluster: str | None, nbytes: int, backend: str | None, *, sized: bool, verbose: bool
) -> str | None:
    """Return the cluster that the user names, or else the fastest one for so many bytes."""
    from ...hardware.selection import cluster_for

    if cluster is not None:
        return cluster
    found = cluster_for(nbytes, backend, sized=sized)
    if verbose and found == "threads":
        err.print(
            "note: the corpus is small, so threads of this process compute it; to use "
            "worker processes, give --cluster cpu"
        )
    return found


def check_first(graph: Graph, corpus: Corpus, results: str, **options: Any) -> None:
    """Raise the errors that can be found before a cluster is started, which takes seconds."""
    from ...run.spec import plan_run

    plan = plan_run(graph, corpus, results, **options)
    if plan.manifest is None and corpus.nbytes <= COUNTED_FIRST:
        corpus.index  # noqa: B018 (counted now, and kept)


def require_sense(corpus: list[str], *, quiet: bool, verbose: bool) -> None:
    """Raise a usage error if arguments are missing or contradictory."""
    if len(corpus) < 2:
        raise typer.BadParameter("give a corpus and, as the last argument, RESULTS")
    if quiet and verbose:
        raise typer.BadParameter("--quiet and --verbose exclude each other")


def worker_range(option: str) -> int | tuple[int, int]:
    """Parse a number of workers, or a minimum and a maximum.

    >>> worker_range("4"), worker_range("1-8")
    (4, (1, 8))
    """
    found = re.fullmatch(r"(\d+)(?:-(\d+))?", option)
    few, many = (int(number) for number in (found[1], found[2] or found[1])) if found else (0, 0)
    if many < 1 or few > many:
        raise typer.BadParameter("--workers must be a number, such as 4, or a range, such as 1-8")
    return (few, many) if found and found[2] else many


def require_usable_gpus(workers: int | None) -> None:
    """Exit at once if too few GPUs are usable; a missing GPU is a failure, not wrong usage."""
    from ...cluster.cuda import require_gpus

    try:
        require_gpus(workers)
    except BackendUnavailable as error:
        err.print(f"[red]failed:[/] {plain(str(error))}")
        raise typer.Exit(FAILED) from error
