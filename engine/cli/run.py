"""The command ``paninifs run``: compute a graph for a corpus, or rehearse it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from ...storage.formats.registry import FORMATS
from ..hardware.loopback import LOOPBACK
from .console import (
    QUARANTINED,
    Json,
    errors,
)
from .corpus_options import Delimiter, Encoding, Escape, Quote, dialect_options
from .graph_files.options import Added, Embedded, OwnGraph, chosen_graph
from .rehearsal import print_rehearsal
from .runs.checks import (
    check_first,
    chosen_cluster,
    opened_corpus,
    require_sense,
    require_usable_gpus,
    worker_range,
)
from .runs.following import UNKNOWN_BYTES, follow_corpus, growing_corpus, require_followable
from .stopping import stoppable
from .summary import Level, print_run


class OnError(StrEnum):
    """What to do with a row that cannot be used."""

    quarantine = "quarantine"
    raise_ = "raise"


class Unicode(StrEnum):
    """The Unicode normal forms that texts can be converted to."""

    NFC = "NFC"
    NFD = "NFD"
    NFKC = "NFKC"
    NFKD = "NFKD"


def run(
    corpus: Annotated[
        list[str],
        typer.Argument(
            metavar="CORPUS... RESULTS",
            help="Files, a quoted glob, a folder or a URL; the last argument is where the results "
            "are written.",
        ),
    ],
    graph: OwnGraph = None,
    add: Added = None,
    embed: Embedded = None,
    text: Annotated[str, typer.Option(help="Column that holds the text.")] = "text",
    id: Annotated[
        str | None,
        typer.Option(help="Column that identifies a text; by default 'id' if there is one."),
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option(help="Column to store with the results; repeatable.")
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            help=f"Format of the files: {', '.join(FORMATS)} ('text' has one text per line, "
            "'document' one per file); by default inferred from each file's ending."
        ),
    ] = None,
    delimiter: Delimiter = None,
    quote: Quote = '"',
    escape: Escape = None,
    encoding: Encoding = None,
    strip_markup: Annotated[
        bool, typer.Option("--strip-markup", help="Remove the tags of HTML or XML.")
    ] = False,
    unicode: Annotated[
        Unicode | None, typer.Option(help="Convert texts to a Unicode normal form.")
    ] = None,
    collapse_whitespace: Annotated[
        bool,
        typer.Option(
            "--collapse-whitespace",
            help="Replace consecutive whitespace with one space, and trim both ends.",
        ),
    ] = False,
    min_chars: Annotated[
        int | None, typer.Option(min=1, help="Quarantine texts that are shorter after cleaning.")
    ] = None,
    max_chars: Annotated[
        int | None, typer.Option(min=1, help="Quarantine texts that are longer after cleaning.")
    ] = None,
    mark_duplicates: Annotated[
        bool, typer.Option("--mark-duplicates", help="Mark texts that repeat an earlier one.")
    ] = False,
    cluster: Annotated[
        str | None,
        typer.Option(
            help="'cpu': processes on this machine; 'threads': threads of one process; 'cuda': "
            "this machine's NVIDIA GPUs; or the address of a scheduler. The default depends on the "
            "hardware and on the size of the corpus."
        ),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            help="How the workers compute: 'cpu', 'cuda' or 'reference' (slow); by default the "
            "one that the cluster was started for."
        ),
    ] = None,
    workers: Annotated[
        str | None,
        typer.Option(
            metavar="N|MIN-MAX",
            help="Number of worker processes or GPUs. With a range such as 1-8, processes are "
            "started and stopped as the amount of work changes.",
        ),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads per worker.")] = None,
    memory: Annotated[str | None, typer.Option(help="Memory per worker, such as 1GiB.")] = None,
    host: Annotated[
        str,
        typer.Option(
            help="Address on which a cluster on this machine listens. Addresses other than "
            "loopback need TLS (see deploy/docs/clusters.md)."
        ),
    ] = LOOPBACK,
    shard_rows: Annotated[
        int | None, typer.Option(min=1, help="Rows per shard, a power of two.")
    ] = None,
    on_error: Annotated[
        OnError, typer.Option(help="Quarantine rows that cannot be used, or stop at the first.")
    ] = OnError.quarantine,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Discard earlier results and start over.")
    ] = False,
    extend: Annotated[
        bool,
        typer.Option("--extend", help="Append the texts of new files to earlier results."),
    ] = False,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow",
            help="Analyse a CORPUS while `paninifs collect` fills it: append new texts to the "
            "results until the collection is complete.",
        ),
    ] = False,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact",
            help="Compare large corpus files by all of their bytes, not by samples, when a run "
            "resumes.",
        ),
    ] = False,
    mirror: Annotated[
        str | None,
        typer.Option(
            help="A second target, such as gs://bucket/results.zarr or a mounted Drive: finished "
            "shards are copied there during the run, and copied back if RESULTS lacks them."
        ),
    ] = None,
    priority: Annotated[
        int,
        typer.Option(
            help="If several runs share a cluster, tasks with a higher priority start first."
        ),
    ] = 0,
    sample: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="TEXTS",
            help="Process only a sample of the corpus, such as 1000 texts, and predict the time, "
            "memory, disk and cost of the whole run; RESULTS is not touched.",
        ),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print only warnings and errors.")
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose",
            "-v",
            help="Print more about the run: its memory, what limited it, its cost here and "
            "elsewhere.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Compute dhātu weights, prime bases and ambiguity for a CORPUS, and store them in RESULTS.

    --graph computes blocks of your own instead, --add computes them too. An interrupted run resumes
    when the same command is given again.

    Example: paninifs run sentences.jsonl results.zarr
    """
    require_sense(corpus, quiet=quiet, verbose=verbose)
    require_followable(corpus[:-1], follow=follow, sample=sample)
    worker_count = None if workers is None else worker_range(workers)
    if cluster == "cuda" and not isinstance(worker_count, tuple):
        with errors():
            require_usable_gpus(worker_count)
    from ...graphs.kernels import require as require_backend
    from ...storage.cleaning.steps import Cleaning
    from ..cluster.connect import connect
    from ..run.submit import submit

    *urls, results = corpus
    with errors():
        if backend is not None:
            require_backend(backend)
        chosen = chosen_graph(graph, add, embed)
        clean = Cleaning(
            markup=strip_markup,
            unicode=unicode.value if unicode else None,
            whitespace=collapse_whitespace,
            min_chars=min_chars,
            max_chars=max_chars,
            duplicates=mark_duplicates,
        )
        opening: Any = {
            "text": text,
            "id": id,
            "keep": keep or [],
            "format": format,
            "clean": clean,
            **dialect_options(delimiter, quote, escape, encoding),
            "exact": exact,
        }
        growing = growing_corpus(urls[0], opening) if follow else None
        source = None if follow else opened_corpus(urls, **opening)
        choices: Any = {
            "backend": backend,
            "shard_rows": shard_rows,
            "fresh": fresh,
            "extend": extend,
        }
        others: Any = {
            "on_error": "raise" if on_error is OnError.raise_ else "quarantine",
            "mirror": mirror,
            "priority": priority,
        }
        nbytes = UNKNOWN_BYTES
        if source is not None:
            check_first(chosen, source, results, **choices, **others)
            nbytes = source.nbytes
        sized = bool(worker_count or threads or memory or host != LOOPBACK)
        cluster = chosen_cluster(cluster, nbytes, backend, sized=sized, verbose=verbose)
        size: Any = {"workers": worker_count, "threads": threads, "memory": memory}
        with connect(cluster, **size, host=host, quiet=quiet or as_json) as client:
            choices["client"] = client
            if sample is not None and source is not None:
                print_rehearsal(
                    chosen,
                    source,
                    results,
                    rows=sample,
                    options=choices,
                    mirror=mirror,
                    as_json=as_json,
                )
                return
            others |= {"progress": not (quiet or as_json), "verbose": verbose}
            with stoppable(results):
                if growing is not None:
                    started = follow_corpus(chosen, growing, results, **choices, **others)
                else:
                    started = submit(chosen, source, results, **choices, **others)
                summary = started.result()
            progress = started.status()
    level: Level = "json" if as_json else "quiet" if quiet else "verbose" if verbose else "normal"
    print_run(started, progress, results, mirror=mirror, level=level)
    if summary.quarantined or summary.files_unread:
        raise typer.Exit(QUARANTINED)
