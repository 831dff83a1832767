"""The commands that inspect a store: ``paninifs status``, ``verify`` and ``show``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ..rendering.terminal import one_line, plain
from .console import (
    FAILED,
    CorpusPath,
    Json,
    Results,
    errors,
    fitted,
    out,
    pairs,
    print_duplicates,
    print_json,
    warn_of_forms,
)

if TYPE_CHECKING:
    from ..results.overview import StageStatus


def status(results: Results, as_json: Json = False) -> None:
    """Print how much of RESULTS is done, and which process is writing it."""
    from ..results.overview import status_of

    with errors():
        found = status_of(results)
    if as_json:
        print_json(asdict(found))
        return
    state = "complete" if found.complete else "unfinished; run again to finish it"
    pairs(
        {
            "store": f"{found.results} ({state})",
            "texts": f"{found.rows_done:,} done and {found.quarantined:,} quarantined "
            f"of {found.rows:,}",
            "shards": f"{found.shards_done:,} of {found.shards:,}, {found.shard_rows:,} texts each",
            "unreadable files": f"{found.files_unread:,}",
            "being written by": found.writer or "no process",
            "created": found.created,
            "fingerprint": found.fingerprint,
            **{f"stage {one.name}": _stage(one) for one in found.stages},
        }
    )


def _stage(stage: StageStatus) -> str:
    """Return how far a later stage is, in words."""
    failed = f", {stage.quarantined:,} texts failed" if stage.quarantined else ""
    if stage.is_reduction:
        return "reduction, done" if stage.shards_done else "reduction, not done"
    hidden = "" if stage.listed else ", not listed until the run ends"
    return f"{stage.shards_done:,} of {stage.shards:,} shards{failed}{hidden}"


def verify(
    results: Results,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Check about this many texts; all by default.")
    ] = None,
    corpus: CorpusPath = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="MODEL",
            help="Where an embedding model is now, if not where the runs found it; repeatable.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Recompute RESULTS from the corpus and compare every bit; exit with 1 if any differs."""
    from ..results.verify import verify as check

    with errors():
        found = check(results, sample=sample, corpus=corpus, models=models or ())
    if as_json:
        print_json(asdict(found) | {"passed": found.passed})
    else:
        recomputed = ", ".join(found.recomputed)
        how = f"recomputed ({plain(recomputed)})" if recomputed else "compared, none recomputed"
        out.print(
            f"{found.rows:,} texts read again and {how}; "
            f"stored bytes of {found.shards:,} shard(s) compared with their digests"
        )
        own = plain(", ".join(found.digest_only))
        for block, why in found.not_recomputed.items():
            out.print(f"not recomputed: {plain(block)}: {plain(why)}")
        for problem in found.problems:
            out.print(f"[red]wrong:[/] {plain(problem)}")
        passed = f"[green]verified[/]{f', except how {own} computes' if own else ''}"
        out.print(passed if found.passed else "[red]not verified[/]")
        if not found.passed:
            out.print(f"next: paninifs repair {plain(found.results)}, and run again")
    if not found.passed:
        raise typer.Exit(FAILED)


def repair(
    results: Results,
    failed: Annotated[
        bool, typer.Option("--failed", help="Also take back texts that a block failed for.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Take damaged shards of RESULTS back, so that the next run computes them again."""
    from ..results.repair import repair as take_back

    with errors():
        shards = take_back(results, failed=failed)
    if as_json:
        print_json({"shards": shards})
    elif shards:
        out.print(f"{len(shards):,} shard(s) taken back; run the same command again")
    else:
        out.print("nothing to repair: every stored byte is as it was written")


def drop(
    results: Results,
    blocks: Annotated[list[str], typer.Argument(metavar="BLOCK...", help="Blocks added later.")],
    as_json: Json = False,
) -> None:
    """Remove from RESULTS what blocks of a later stage have made."""
    from ..results.drop import drop as remove

    with errors():
        removed = remove(results, *blocks)
    if as_json:
        print_json({"removed": removed})
    else:
        out.print(f"removed: {plain(', '.join(removed))}")


def show(
    results: Results,
    by: Annotated[
        str | None,
        typer.Option(
            help="Array to rank texts by: 'ambiguity_normalised' by default, or the first array "
            "with one number per text."
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=0, help="How many texts to print.")] = 10,
    corpus: CorpusPath = None,
    as_json: Json = False,
) -> None:
    """Print what RESULTS holds, and its texts with the largest values."""
    from ..results.located import beginning
    from ..results.overview import overview

    with errors():
        found = overview(results, by=by, top=top, corpus=corpus)
    if as_json:
        print_json(asdict(found))
        return
    state = found.status
    pairs(
        {
            "store": f"{state.results} ({'complete' if state.complete else 'unfinished'})",
            "texts": f"{state.rows_done:,} done and {state.quarantined:,} quarantined "
            f"of {state.rows:,}",
        }
    )
    if found.summary:
        print_duplicates(found.summary)
    warn_of_forms(state)
    arrays = Table("array", "dtype and shape", "block", box=None, pad_edge=False)
    block_of = {field: name for name, fields in found.blocks.items() for field in fields}
    for name, kind in found.arrays.items():
        arrays.add_row(plain(name), plain(kind), plain(block_of.get(name, "")))
    out.print(arrays)
    if reductions := [stage for stage in state.stages if stage.is_reduction]:
        out.print("\nreductions, which paninifs.open_reduction(RESULTS, NAME) reads:")
        for reduction in reductions:
            out.print(f"{plain(reduction.name)}{'' if reduction.shards_done else ' (not done)'}")
    if found.ranked:
        out.print(f"\nlargest [bold]{plain(found.ranked_by or '')}[/]:")
    for one in found.ranked:
        fitted(f"{one.value:.6g}  {one_line(one.id)}  {beginning(one.text)}")
