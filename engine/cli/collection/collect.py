"""The command ``paninifs collect``: collect a corpus from the web, or from documents."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict
from typing import Annotated, Any

import typer

from ....storage.filesystems.redaction import shown
from ...rendering.terminal import plain
from ..console import INTERRUPTED, QUARANTINED, Json, err, errors, out, print_json
from .collect_options import bytes_of, options_of, rates_of, seconds_of
from .collect_summary import failures_of, print_collection


def _list_sources(wanted: bool) -> None:
    if not wanted:
        return
    from ...collecting.sources.source_registry import SOURCES, options_of

    for name, one in SOURCES.items():
        out.print(f"{plain(one.example):34} {plain(one.about)}")
        out.print(f"{'':34} options: {', '.join(options_of(name))}")
    raise typer.Exit


def collect(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="What to collect: a list of addresses (urls.txt), arxiv:cs.CL, hal:QUERY, "
            "wikipedia:fr, gutenberg:fr, a folder of documents, ...: see --list-sources.",
        ),
    ],
    corpus: Annotated[
        str,
        typer.Argument(metavar="CORPUS", help="Folder or URL of the corpus, new or existing."),
    ],
    contact: Annotated[
        str | None,
        typer.Option(
            envvar="PANINIFS_CONTACT",
            help="Your e-mail address or web page, sent to servers, so that their "
            "operators can reach you. Needed for everything but local files.",
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="Option of the source (see --list-sources); repeatable."
        ),
    ] = None,
    rate: Annotated[float, typer.Option(help="Requests per second to each host, at most.")] = 2.0,
    connections: Annotated[int, typer.Option(min=1, help="Connections to each host, at most.")] = 2,
    host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=RATE",
            help="Requests per second to one host, such as a.example=0.5; repeatable. Limits that "
            "a source's operator publishes stay.",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Host that may have a private or local address; repeatable."
        ),
    ] = None,
    max_items: Annotated[
        int | None,
        typer.Option(min=1, help="Stop after this many items, over all sessions; likewise below."),
    ] = None,
    max_bytes: Annotated[
        str | None, typer.Option(help="Stop after receiving this much, such as 10GB.")
    ] = None,
    max_time: Annotated[
        str | None, typer.Option(help="Stop after this time, such as 90min.")
    ] = None,
    max_dollars: Annotated[
        float | None, typer.Option(help="Stop after this many US dollars, by the prices below.")
    ] = None,
    dollars_per_hour: Annotated[float, typer.Option(min=0, help="Price of this machine.")] = 0.0,
    dollars_per_gib: Annotated[
        float, typer.Option(min=0, help="Price of a GiB that it receives.")
    ] = 0.0,
    html: Annotated[
        str,
        typer.Option(
            help="What extracts the texts of pages: trafilatura, or resiliparse, which is several "
            "times faster and lets more of menus and notices through."
        ),
    ] = "trafilatura",
    retry_failed: Annotated[
        bool,
        typer.Option("--retry-failed", help="Retry items that failed for a transient reason."),
    ] = False,
    refresh: Annotated[
        bool,
        typer.Option("--refresh", help="List all items again, and append those that changed."),
    ] = False,
    append: Annotated[
        bool,
        typer.Option("--append", help="Add a source of this corpus again, with other options."),
    ] = False,
    metrics: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, metavar="PORT", help="Serve metrics for Prometheus on this machine."
        ),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print only what failed, warnings and errors.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print more: also which items failed, and why.")
    ] = False,
    list_sources: Annotated[  # noqa: ARG001 (its callback prints, and ends the command)
        bool,
        typer.Option(
            "--list-sources",
            is_eager=True,
            callback=_list_sources,
            help="Print the sources and their options, and exit.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Collect texts from SOURCE into CORPUS, politely and without duplicates.

    The same command resumes after any interruption, and appends new items.

    Example: paninifs collect arxiv:cs.CL corpus --contact me@example.org --max-items 1000
    """
    if quiet and verbose:
        raise typer.BadParameter("--quiet and --verbose exclude each other")
    wanted: dict[str, Any] = {
        "contact": contact,
        "rate": rate,
        "connections": connections,
        "rates": rates_of(host or []),
        "allow_hosts": tuple(allow_host or ()),
        "max_items": max_items,
        "max_bytes": bytes_of(max_bytes),
        "max_seconds": seconds_of(max_time),
        "max_dollars": max_dollars,
        "dollars_per_hour": dollars_per_hour,
        "dollars_per_gib": dollars_per_gib,
        "html": html,
        "retry_failed": retry_failed,
        "refresh": refresh,
        "append": append,
        "options": options_of(option or []),
        "progress": not (quiet or as_json),
        "verbose": verbose,
    }
    with errors():
        found = _collected(source, corpus, wanted, metrics)
    if as_json:
        print_json(_document(found))
    else:
        failures = failures_of(found) if verbose and found.figures.failed else []
        print_collection(found.figures, shown(found.corpus), quiet=quiet, listed=failures)
    if found.figures.failed:
        raise typer.Exit(QUARANTINED)


def _collected(source: str, corpus: str, wanted: dict[str, Any], metrics: int | None) -> Any:
    from ...collecting.collect import collect as begin
    from ...monitoring.collecting.collect_metrics import serve

    try:
        with nullcontext() if metrics is None else serve(metrics):
            return begin(source, corpus, **wanted)
    except KeyboardInterrupt:
        err.print(
            f"\nstopped; what was collected is kept in {plain(shown(corpus))}. To resume, collect "
            "again"
        )
        raise typer.Exit(INTERRUPTED) from None


def _document(found: Any) -> dict[str, Any]:
    figures = found.figures
    counts = {name: getattr(figures, name) for name in ("listed", "kept", "skipped", "failed")}
    return {
        "corpus": shown(found.corpus),
        "state": figures.state,
        "reason": figures.reason,
        **counts,
        "pending": figures.pending,
        "reasons": dict(figures.reasons),
        "rows": figures.rows_committed,
        "bytes": figures.bytes_committed,
        "received_bytes": figures.received_bytes,
        "seconds": round(figures.elapsed, 3),
        "hosts": [asdict(one) for one in figures.hosts],
    }
