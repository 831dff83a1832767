"""The command ``paninifs dedup``: near-duplicates of a corpus, and the corpus without them."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..console import QUARANTINED, Json, errors, out, pairs, print_json

if TYPE_CHECKING:
    from ...near_duplicates.found import NearDuplicates


class Shingles(StrEnum):
    """What shingles consist of."""

    words = "words"
    characters = "characters"


def dedup(
    corpus: Annotated[
        list[str],
        typer.Argument(
            metavar="CORPUS... STORE",
            help="Files, a quoted glob, a folder or a URL; the last argument is the store of "
            "signatures and clusters. Without a CORPUS, the store must have signatures already.",
        ),
    ],
    threshold: Annotated[
        float, typer.Option(help="Jaccard similarity at which texts are near-duplicates.")
    ] = 0.8,
    kept: Annotated[
        str | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Write the texts that are kept, one of each cluster, such as kept.parquet.",
        ),
    ] = None,
    shingles: Annotated[
        Shingles,
        typer.Option(help="Compare texts by runs of words, or of characters."),
    ] = Shingles.words,
    size: Annotated[
        int | None,
        typer.Option(min=1, help="Words or characters per run; by default 3 words, 5 characters."),
    ] = None,
    exact: Annotated[
        bool,
        typer.Option("--exact", help="Compare candidates by texts instead of signatures (slow)."),
    ] = False,
    text: Annotated[str, typer.Option(help="Column that holds the text.")] = "text",
    id: Annotated[
        str | None,
        typer.Option(help="Column that identifies a text; by default 'id' if there is one."),
    ] = None,
    extend: Annotated[
        bool, typer.Option("--extend", help="Append the texts of new files to earlier results.")
    ] = False,
    memory: Annotated[
        str, typer.Option(help="Memory for finding near-duplicates, such as 4GiB.")
    ] = "1GiB",
    workers: Annotated[int | None, typer.Option(min=1, help="Number of worker processes.")] = None,
    check: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="PAIRS", help="Compare a sample of pairs with their exact similarity."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing FILE.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Find the near-duplicates of a CORPUS by MinHash, and count them.

    Example: paninifs dedup 'corpus/*.parquet' near.zarr --out kept.parquet
    """
    *urls, store = corpus
    with errors():
        if kept is not None:
            _require_writable(kept, overwrite=overwrite)
        options: dict[str, Any] = {
            "shingles": shingles.value,
            "size": size,
            "extend": extend,
            "exact": exact,
            "memory": memory,
            "progress": not as_json,
        }
        source: dict[str, Any] = {"text": text, "id": id, "workers": workers}
        found = _found(urls, store, threshold, source, options)
        document = _document(found)
        if check is not None:
            document["check"] = vars(found.check(check))
        if kept is not None:
            document["written"] = {"file": kept, "texts": found.write(kept, overwrite=overwrite)}
    if as_json:
        print_json(document)
    else:
        _print(document)
    if document["quarantined"]:
        raise typer.Exit(QUARANTINED)


def _require_writable(kept: str, *, overwrite: bool) -> None:
    from ...near_duplicates.kept_corpus import checked_path

    checked_path(kept, overwrite)


def _found(
    urls: list[str], store: str, threshold: float, source: dict[str, Any], options: dict[str, Any]
) -> NearDuplicates:
    from ....storage.corpus.open_corpus import open_corpus
    from ...cluster.connect import connect
    from ...hardware.selection import cluster_for
    from ...near_duplicates.find import near_duplicates
    from ..stopping import stoppable

    if not urls:
        return near_duplicates(threshold=threshold, store=store, **options)
    opened = open_corpus(urls, text=source["text"], id=source["id"])
    workers = source["workers"]
    cluster = cluster_for(opened.nbytes, None, sized=bool(workers))
    quiet = not options["progress"]
    with connect(cluster, workers=workers, quiet=quiet) as client, stoppable(store):
        return near_duplicates(opened, threshold, store=store, client=client, **options)


def _document(found: NearDuplicates) -> dict[str, Any]:
    return {
        "results": found.results,
        "texts": found.texts,
        "quarantined": found.quarantined,
        "clusters": found.cluster_count,
        "near_duplicates": found.duplicates,
        "kept": found.texts - found.quarantined - found.duplicates,
        "threshold": found.threshold,
        "bands": found.bands,
        "rows_per_band": found.rows_per_band,
        "exact": found.exact,
    }


def _print(document: dict[str, Any]) -> None:
    rows = {
        "results": document["results"],
        "near-duplicates": f"{document['near_duplicates']:,} of {document['texts']:,} texts, in "
        f"{document['clusters']:,} clusters (similarity at least {document['threshold']:g})",
        "kept": f"{document['kept']:,} texts",
    }
    if document["quarantined"]:
        rows["quarantined"] = f"{document['quarantined']:,} texts, which are not compared"
    pairs(rows)
    if checked := document.get("check"):
        out.print(
            f"of a sample of {checked['pairs']:,} pairs, {checked['precision']:.1%} reach the "
            f"threshold exactly; the estimates differ by {checked['mean_error']:.3f} on average"
        )
    if written := document.get("written"):
        pairs({"file": f"{written['file']}, {written['texts']:,} texts"})
