"""``paninifs run --follow``: analyses a corpus while it is collected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from ...rendering.terminal import plain
from ..console import err

if TYPE_CHECKING:
    from ....graphs.graph import Graph
    from ...collecting.following.growing_corpus import GrowingCorpus
    from ...run.handle import Run

UNKNOWN_BYTES = 1 << 40
"""Assumed size of a growing corpus, in bytes."""


def require_followable(corpora: Sequence[str], *, follow: bool, sample: int | None) -> None:
    """Raise a usage error if the options of ``paninifs run`` contradict ``--follow``."""
    if not follow:
        return
    if len(corpora) != 1:
        raise typer.BadParameter("--follow takes one CORPUS, the folder that is collected")
    if sample is not None:
        raise typer.BadParameter("--follow and --sample exclude each other")


def growing_corpus(url: str, opening: Mapping[str, Any]) -> GrowingCorpus:
    """Return the corpus, or raise if it is not collected; `opening` are for `open_corpus`."""
    from ...collecting.following.growing_corpus import GrowingCorpus

    corpus = GrowingCorpus(url, opening)
    corpus.standing()  # raises before a cluster is started, which takes seconds
    return corpus


def follow_corpus(graph: Graph, corpus: GrowingCorpus, results: str, **options: Any) -> Run:
    """Run a graph until the collection is complete; return the last run, which has ended.

    Parameters
    ----------
    **options
        Options of `submit`; `extend` is implied.
    """
    from ...collecting.following.follow import followed

    def say(sentence: str) -> None:
        if options["progress"]:
            err.print(plain(sentence))

    options.pop("extend")
    return followed(graph, corpus, results, say=say, **options)
