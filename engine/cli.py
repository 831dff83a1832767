"""The command ``paninifs``: what a notebook does, from a shell. Words and exit codes only."""

from __future__ import annotations

import atexit
import gc
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from .. import __version__
from ..storage.errors import BackendUnavailable, PaniniError, UnencryptedScheduler, UsageError
from ..storage.normal_forms import NormalForms
from ..storage.quarantine import first_quarantined
from ..storage.redaction import shown
from ..storage.target import open_target
from .doors import LOOPBACK
from .terminal import as_json_text, one_line, plain

DONE, FAILED, USAGE, QUARANTINED, INTERRUPTED = 0, 1, 2, 3, 130

app = typer.Typer(
    name="paninifs",
    help="Dhātu weights, prime bases and ambiguity for corpora of any size.",
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 done with quarantined rows, 130 stopped.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_REASONS = 5
_STOP_SECONDS = 10.0
_out = Console(highlight=False, soft_wrap=True, emoji=False)
_err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


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


Results = Annotated[str, typer.Argument(help="The results store: a folder or URL.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        _out.print(__version__)
        raise typer.Exit(DONE)


@app.command()
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
            help="'parquet', 'jsonl', 'csv', 'tsv', 'text' (a line is a text) or 'document' (a "
            "file is). By each file's ending when left out."
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
            "NVIDIA GPUs; or a scheduler's address. Chosen by the corpus's size when left out."
        ),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            help="'cpu', 'cuda' or, slow, 'reference': what the workers compute with. As the "
            "cluster is, when left out."
        ),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Worker processes, or GPUs.")] = None,
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
    as_json: Json = False,
) -> None:
    """Compute the default graph for a CORPUS and store it in RESULTS.

    An interrupted run goes on where it stopped when the same command is given again.

    Example: paninifs run sentences.jsonl results.zarr
    """
    if len(corpus) < 2:
        raise typer.BadParameter("give a corpus and, last, where the results go")
    if cluster == "cuda":
        with _errors():
            _require_gpus(workers)
    from ..graphs.graph import default_graph
    from ..graphs.kernels import require as require_backend
    from ..storage.cleaning import Cleaning
    from ..storage.corpus import open_corpus
    from .cluster import cluster_for, connect
    from .run import submit

    *urls, results = corpus
    with _errors():
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
            _err.print(f"note: {plain(name)} is of no known format and is left out")
        if cluster is None:
            sized = workers or threads or memory or host != LOOPBACK
            cluster = "cpu" if sized else cluster_for(source.nbytes)
            if cluster == "threads":
                _err.print(
                    "note: a small corpus; threads of this process do it (processes: --cluster cpu)"
                )
        with connect(
            cluster, workers=workers, threads=threads, memory=memory, host=host, quiet=as_json
        ) as client:
            started = submit(
                default_graph(),
                source,
                results,
                client=client,
                backend=backend,
                shard_rows=shard_rows,
                on_error="raise" if on_error is OnError.raise_ else "quarantine",
                fresh=fresh,
                extend=extend,
                mirror=mirror,
                progress=not as_json,
            )
            try:
                summary = started.result()
            except KeyboardInterrupt:
                started.cancel()
                with suppress(PaniniError, TimeoutError):  # before the cluster goes
                    started.result(timeout=_STOP_SECONDS)
                _err.print(
                    f"\nstopped; {plain(shown(results))} keeps what is done. To go on: run again"
                )
                raise typer.Exit(INTERRUPTED) from None
            progress = started.status()
    if as_json:
        _print_json(asdict(summary) | {"seconds": progress.elapsed})
    else:
        _print_summary(summary, progress, results, mirror)
    if summary.quarantined or summary.files_unread:
        raise typer.Exit(QUARANTINED)


@app.command()
def devices(as_json: Json = False) -> None:
    """Say what this machine computes with, and what to install for it."""
    from .hardware import cpu, gpus, rapids, why_no_gpu

    with _errors():
        processor = cpu()
    found, why, installed = gpus(), why_no_gpu(), rapids()
    if as_json:
        _print_json(
            {
                "cpu": asdict(processor),
                "gpus": [
                    asdict(gpu)
                    | {
                        "extra": gpu.extra,
                        "advice": gpu.advice,
                        "trouble": installed and installed.trouble_with(gpu),
                    }
                    for gpu in found
                ],
                "why_no_gpu": why,
                "rapids": installed and asdict(installed),
            }
        )
        return
    _pairs(
        {
            "cpu": f"{processor.name}, {processor.cores} cores",
            "SHA-256": f"{processor.hashing} ({processor.what}); "
            f"can take {', '.join(processor.usable)}",
        }
    )
    for gpu in found:
        _pairs({f"gpu {gpu.cuda_name}": f"{gpu}; {gpu.advice}"})
        trouble = installed and gpu.extra and installed.trouble_with(gpu)
        if trouble:
            _out.print(f"[yellow]but[/] {plain(trouble)}")
    if why:
        _pairs({"gpu": f"none ({why})"})


@app.command()
def status(results: Results, as_json: Json = False) -> None:
    """Say how far a store is, and who is writing it."""
    from .overview import status_of

    with _errors():
        found = status_of(results)
    if as_json:
        _print_json(asdict(found))
        return
    state = "complete" if found.complete else "unfinished; run it again to go on"
    _pairs(
        {
            "store": f"{found.results} ({state})",
            "texts": f"{found.rows_done:,} done and {found.quarantined:,} quarantined "
            f"of {found.rows:,}",
            "shards": f"{found.shards_done:,} of {found.shards:,}, {found.shard_rows:,} texts each",
            "files that could not be read": f"{found.files_unread:,}",
            "being written by": found.writer or "nobody",
            "begun": found.created,
            "fingerprint": found.fingerprint,
        }
    )


@app.command()
def verify(
    results: Results,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Check about this many texts; all when left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Read the corpus again, compute again, and compare every bit. Exit code 1 if one differs."""
    from .verify import verify as check

    with _errors():
        found = check(results, sample=sample)
    if as_json:
        _print_json(asdict(found) | {"passed": found.passed})
    else:
        _out.print(
            f"{found.rows:,} texts read again and recomputed ({', '.join(found.recomputed)}), "
            f"the bytes of {found.shards:,} shards compared with their digests"
        )
        if found.digest_only:
            _out.print(f"by digest only (your own blocks): {', '.join(found.digest_only)}")
        for problem in found.problems:
            _out.print(f"[red]wrong:[/] {plain(problem)}")
        _out.print("[green]verified[/]" if found.passed else "[red]not verified[/]")
    if not found.passed:
        raise typer.Exit(FAILED)


@app.command()
def show(
    results: Results,
    by: Annotated[str, typer.Option(help="The array to rank by.")] = "ambiguity_normalised",
    top: Annotated[int, typer.Option(min=0, help="How many texts to print.")] = 10,
    as_json: Json = False,
) -> None:
    """Print what a store holds, and its most ambiguous texts."""
    from .overview import overview

    with _errors():
        found = overview(results, by=by, top=top)
    if as_json:
        _print_json(asdict(found))
        return
    state = found.status
    _pairs(
        {
            "store": f"{state.results} ({'complete' if state.complete else 'unfinished'})",
            "texts": f"{state.rows_done:,} done and {state.quarantined:,} quarantined "
            f"of {state.rows:,}",
        }
    )
    if found.summary:
        _print_duplicates(found.summary)
    _warn_of_forms(state)
    arrays = Table("array", "dtype and shape", "block", box=None, pad_edge=False)
    block_of = {field: name for name, fields in found.blocks.items() for field in fields}
    for name, kind in found.arrays.items():
        arrays.add_row(plain(name), plain(kind), plain(block_of.get(name, "")))
    _out.print(arrays)
    if found.ranked:
        _out.print(f"\nlargest [bold]{plain(by)}[/]:")
    for one in found.ranked:
        text = one_line(one.text)
        start = text if len(text) <= 160 else f"{text[:157]}..."
        _out.print(f"{one.value:.6g}  {plain(one_line(one.id))}  {plain(start)}")


def _require_gpus(workers: int | None) -> None:
    """End at once where there is no GPU to use: the machine's fault, not the command's."""
    from .cuda_cluster import require_gpus

    try:
        require_gpus(workers)
    except BackendUnavailable as error:
        _err.print(f"[red]failed:[/] {plain(str(error))}")
        raise typer.Exit(FAILED) from error


@contextmanager
def _errors() -> Iterator[None]:
    """Turn the engine's errors into one sentence and an exit code."""
    try:
        yield
    except UsageError as error:
        _err.print(f"[red]error:[/] {plain(str(error))}")
        raise typer.Exit(USAGE) from error
    except (PaniniError, OSError) as error:
        _err.print(f"[red]failed:[/] {plain(str(error))}")
        raise typer.Exit(FAILED) from error


def _print_summary(summary: Any, progress: Any, results: str, mirror: str | None) -> None:
    _pairs(
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
        _out.print(f"[yellow]{summary.files_unread:,} file(s) could not be read[/]")
    if summary.null_ids or summary.repeated_ids:
        _out.print(f"ids: {summary.null_ids:,} missing, {summary.repeated_ids:,} repeated")
    _print_duplicates(summary)
    _warn_of_forms(summary)
    entries, every = first_quarantined(open_target(results), _REASONS)
    for entry in entries:
        _out.print(f"[yellow]set aside:[/] {plain(one_line(str(entry)))}")
    if entries:
        more = f"all {every:,} entries" if every > _REASONS else "and their bytes"
        _out.print(f"{more}: {plain(summary.results)}/quarantine.parquet")
    _out.print(f"next: paninifs show {plain(summary.results)}")


def _print_duplicates(summary: Any) -> None:
    if summary.duplicates is not None:
        _pairs({"duplicates": f"{summary.duplicates:,}, marked in the array 'duplicate'"})


def _warn_of_forms(found: Any) -> None:
    warning = NormalForms(found.not_nfc, found.not_nfd).warning
    if warning:
        _err.print(f"[yellow]warning:[/] {plain(warning)}")


def _pairs(rows: dict[str, str]) -> None:
    for name, value in rows.items():
        _out.print(f"[bold]{plain(name)}[/]: {plain(value)}")


def _print_json(document: dict[str, Any]) -> None:
    sys.stdout.write(as_json_text(document) + "\n")


def _warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,  # noqa: ARG001 (as Python calls it)
) -> str:
    """Word a warning for somebody who has no code to look at."""
    where = "warning" if issubclass(category, UnencryptedScheduler) else f"{filename}:{lineno}"
    return f"{where}: {category.__name__}: {message}\n"


def main() -> None:
    """Run the command."""
    # Imports make a million objects and no garbage; looking for some in them takes half a second
    # on the way in, and as much on the way out.
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)
    warnings.formatwarning = _warning
    app()
