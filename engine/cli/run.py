"""The command ``paninifs run``: what a notebook does with a corpus, from a shell."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...storage.errors import BackendUnavailable, PaniniError
from ...storage.filesystems.redaction import shown
from ...storage.formats.registry import FORMATS
from ...storage.store.quarantine import first_quarantined
from ...storage.targets.open import open_target
from ..cluster.network import LOOPBACK
from ..rendering.terminal import one_line, plain
from .console import (
    FAILED,
    INTERRUPTED,
    QUARANTINED,
    Json,
    err,
    errors,
    out,
    pairs,
    print_duplicates,
    print_json,
    warn_of_forms,
)
from .rehearsal import print_rehearsal

if TYPE_CHECKING:
    from ...storage.store.lifecycle import Summary
    from ..run.handle import Run

_REASONS = 5
_STOP_SECONDS = 10.0


class OnError(StrEnum):
    """What becomes of a row that cannot be used."""

    quarantine = "quarantine"
    raise_ = "raise"


class Unicode(StrEnum):
    """The normal forms that texts can be brought into."""

    NFC = "NFC"
    NFD = "NFD"
    NFKC = "NFKC"
    NFKD = "NFKD"


def run(
    corpus: Annotated[
        list[str],
        typer.Argument(
            metavar="CORPUS... RESULTS",
            help="Files, a glob in quotes, a folder or a URL; last, where the results go.",
        ),
    ],
    text: Annotated[str, typer.Option(help="Column that holds the text.")] = "text",
    id: Annotated[
        str | None, typer.Option(help="Column that identifies a text; 'id' where there is one.")
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option(help="Column to store beside the results; repeatable.")
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            help=f"Format of the files: {', '.join(FORMATS)} ('text' has one text per line, "
            "'document' one per file). By each file's ending when left out."
        ),
    ] = None,
    strip_markup: Annotated[
        bool, typer.Option("--strip-markup", help="Take the text of HTML or XML: no tags.")
    ] = False,
    unicode: Annotated[
        Unicode | None, typer.Option(help="Bring texts into a Unicode normal form.")
    ] = None,
    collapse_whitespace: Annotated[
        bool, typer.Option("--collapse-whitespace", help="One space for every run of white space.")
    ] = False,
    min_chars: Annotated[
        int | None, typer.Option(min=1, help="Quarantine a text that is shorter, once cleaned.")
    ] = None,
    max_chars: Annotated[
        int | None, typer.Option(min=1, help="Quarantine a text that is longer, once cleaned.")
    ] = None,
    mark_duplicates: Annotated[
        bool, typer.Option("--mark-duplicates", help="Mark texts that came before.")
    ] = False,
    cluster: Annotated[
        str | None,
        typer.Option(
            help="'cpu': processes of this machine; 'threads': threads of one process; 'cuda': its "
            "NVIDIA GPUs; or a scheduler's address. By the corpus's size and the machine "
            "when left out."
        ),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            help="'cpu', 'cuda' or, slow, 'reference': what the workers compute with. As the "
            "cluster is, when left out."
        ),
    ] = None,
    workers: Annotated[
        str | None,
        typer.Option(
            metavar="N|FEW-MANY",
            help="Worker processes, or GPUs; as 1-8, processes that come and go as there is work.",
        ),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads a worker.")] = None,
    memory: Annotated[str | None, typer.Option(help="Memory a worker, as 1GiB.")] = None,
    host: Annotated[
        str,
        typer.Option(
            help="The interface on which a cluster of this machine listens; others than loopback "
            "need TLS (deploy/README.md)."
        ),
    ] = LOOPBACK,
    shard_rows: Annotated[
        int | None, typer.Option(min=1, help="Rows a shard, a power of two.")
    ] = None,
    on_error: Annotated[
        OnError, typer.Option(help="Set rows that cannot be used aside, or stop at the first.")
    ] = OnError.quarantine,
    fresh: Annotated[bool, typer.Option("--fresh", help="Discard earlier results.")] = False,
    extend: Annotated[
        bool,
        typer.Option("--extend", help="Append the texts of new files; what is done is kept."),
    ] = False,
    mirror: Annotated[
        str | None,
        typer.Option(
            help="A second place, as gs://bucket/results.zarr or a mounted Drive: finished shards "
            "are copied there as the run goes on, and brought back where they are missing."
        ),
    ] = None,
    priority: Annotated[
        int,
        typer.Option(
            help="Where runs share a cluster, the tasks of that with the higher one come first."
        ),
    ] = 0,
    sample: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="TEXTS",
            help="Only try so many texts from all over the corpus, as 1000, and say what time, "
            "memory, disk and money all of them will take; RESULTS is not touched.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compute the default graph for a CORPUS and store it in RESULTS.

    An interrupted run goes on where it stopped when the same command is given again.

    Example: paninifs run sentences.jsonl results.zarr
    """
    if len(corpus) < 2:
        raise typer.BadParameter("give a corpus and, last, where the results go")
    size = None if workers is None else _workers(workers)
    if cluster == "cuda" and not isinstance(size, tuple):
        with errors():
            _require_gpus(size)
    from ...graphs.graph import default_graph
    from ...graphs.kernels import require as require_backend
    from ...storage.cleaning.steps import Cleaning
    from ...storage.corpus.corpus import open_corpus
    from ..cluster.connect import connect
    from ..hardware.selection import cluster_for
    from ..run.submit import submit

    *urls, results = corpus
    with errors():
        if backend is not None:
            require_backend(backend)
        clean = Cleaning(
            markup=strip_markup,
            unicode=unicode.value if unicode else None,
            whitespace=collapse_whitespace,
            min_chars=min_chars,
            max_chars=max_chars,
            duplicates=mark_duplicates,
        )
        source = open_corpus(urls, text=text, id=id, keep=keep or [], format=format, clean=clean)
        for name in source.ignored:
            err.print(f"note: {plain(name)} is of no known format and is left out")
        if cluster is None:
            sized = size or threads or memory or host != LOOPBACK
            cluster = cluster_for(source.nbytes, backend, sized=bool(sized))
            if cluster == "threads":
                err.print(
                    "note: a small corpus; threads of this process do it (processes: --cluster cpu)"
                )
        with connect(
            cluster, workers=size, threads=threads, memory=memory, host=host, quiet=as_json
        ) as client:
            same: Any = {
                "client": client,
                "backend": backend,
                "shard_rows": shard_rows,
                "fresh": fresh,
                "extend": extend,
            }
            if sample is not None:
                print_rehearsal(default_graph(), source, results, sample, same, mirror, as_json)
                return
            started = submit(
                default_graph(),
                source,
                results,
                **same,
                on_error="raise" if on_error is OnError.raise_ else "quarantine",
                mirror=mirror,
                priority=priority,
                progress=not as_json,
            )
            summary = _awaited(started, results)
            progress = started.status()
    if as_json:
        cost = started.bill and asdict(started.bill)
        told = started.record and started.record.to_json()
        print_json(asdict(summary) | {"seconds": progress.elapsed, "cost": cost, "run": told})
    else:
        _print_summary(summary, progress, results, mirror)
    if summary.quarantined or summary.files_unread:
        raise typer.Exit(QUARANTINED)


def _awaited(started: Run, results: str) -> Summary:
    """Return what a run made; with Ctrl-C, stop it and end."""
    try:
        return started.result()
    except KeyboardInterrupt:
        started.cancel()
        with suppress(PaniniError, TimeoutError):  # before the cluster goes
            started.result(timeout=_STOP_SECONDS)
        err.print(f"\nstopped; {plain(shown(results))} keeps what is done. To go on: run again")
        raise typer.Exit(INTERRUPTED) from None


def _workers(said: str) -> int | tuple[int, int]:
    """Read a number of workers, or how few and how many.

    >>> _workers("4"), _workers("1-8")
    (4, (1, 8))
    """
    found = re.fullmatch(r"(\d+)(?:-(\d+))?", said)
    few, many = (int(number) for number in (found[1], found[2] or found[1])) if found else (0, 0)
    if many < 1 or few > many:
        raise typer.BadParameter("--workers is a number, as 4, or the fewest and most, as 1-8")
    return (few, many) if found and found[2] else many


def _require_gpus(workers: int | None) -> None:
    """End at once where there is no GPU to use: the machine's fault, not the command's."""
    from ..cluster.cuda import require_gpus

    try:
        require_gpus(workers)
    except BackendUnavailable as error:
        err.print(f"[red]failed:[/] {plain(str(error))}")
        raise typer.Exit(FAILED) from error


def _print_summary(summary: Any, progress: Any, results: str, mirror: str | None) -> None:
    pairs(
        {
            "results": summary.results + (f", mirrored to {shown(mirror)}" if mirror else ""),
            "texts": f"{summary.done:,} of {summary.rows:,} done, "
            f"{summary.quarantined:,} quarantined",
            "text": f"{summary.text_bytes / 1e6:,.1f} MB in {summary.shards:,} shards",
            "time": f"{progress.elapsed:.1f} s ({progress.texts_per_second:,.0f} texts/s)"
            if progress.rows_done > progress.rows_before
            else "none; it was complete",
        }
    )
    if summary.files_unread:
        out.print(f"[yellow]{summary.files_unread:,} file(s) could not be read[/]")
    if summary.null_ids or summary.repeated_ids:
        out.print(f"ids: {summary.null_ids:,} missing, {summary.repeated_ids:,} repeated")
    print_duplicates(summary)
    warn_of_forms(summary)
    entries, every = first_quarantined(open_target(results), _REASONS)
    for entry in entries:
        out.print(f"[yellow]set aside:[/] {plain(one_line(str(entry)))}")
    if entries:
        more = f"all {every:,} entries" if every > _REASONS else "and their bytes"
        out.print(f"{more}: {plain(summary.results)}/quarantine.parquet")
    out.print(f"next: paninifs show {plain(summary.results)}")
