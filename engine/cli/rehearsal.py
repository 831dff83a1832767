"""The output of ``paninifs run --sample``: what the whole run will take, and how to start it.

The sample itself is run by `rehearsal`.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from ...storage.filesystems.redaction import shown
from ..rendering.terminal import plain
from .console import INTERRUPTED, err, out, pairs, print_json

if TYPE_CHECKING:
    from ...graphs.graph import Graph
    from ...storage.corpus.corpus import Corpus


def print_rehearsal(
    graph: Graph,
    corpus: Corpus,
    results: str,
    *,
    rows: int,
    options: Mapping[str, Any],
    mirror: str | None,
    as_json: bool,
) -> None:
    """Process a sample and print the prediction for the whole corpus."""
    from ..rehearsal.rehearsal import lines_of
    from ..rehearsal.rehearse import rehearse_run
    from ..rehearsal.trial_run import scratch_beside
    from ..run.spec import RunSpec

    if not as_json:
        err.print(f"sampling {rows:,} texts spread over the corpus")
    try:
        spec = RunSpec.of(graph, corpus, results, mirror=mirror, **options)
        found = rehearse_run(spec, scratch_beside(results), rows=rows)
    except KeyboardInterrupt:
        err.print("\nstopped; the sample is removed")
        raise typer.Exit(INTERRUPTED) from None
    if as_json:
        print_json(
            asdict(found)
            | {
                "quarantined_share": found.quarantined_share,
                "seconds_left": found.seconds_left,
                "memory": asdict(found.memory) | {"nbytes": found.memory.nbytes},
            }
        )
        return
    pairs(lines_of(found))
    if mirror is not None:
        out.print(f"note: copying to {plain(shown(mirror))} is not included in the time")
    for note in found.notes:
        out.print(f"note: {plain(note)}")
    out.print(f"to run the whole corpus: {plain(whole_command(sys.argv[1:]))}")


def whole_command(words: Sequence[str]) -> str:
    """Return the command without `--sample`.

    >>> whole_command(["run", "my texts.jsonl", "--sample", "1000", "out.zarr"])
    "paninifs run 'my texts.jsonl' out.zarr"
    >>> whole_command(["run", "a.jsonl", "out.zarr", "--sample=1000"])
    'paninifs run a.jsonl out.zarr'
    """
    kept = []
    rest = iter(words)
    for word in rest:
        if word == "--sample":
            next(rest, None)
        elif not word.startswith("--sample="):
            kept.append(word)
    return shlex.join(["paninifs", *kept])
