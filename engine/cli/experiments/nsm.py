"""The command ``paninifs nsm``: the NSM–Greimas experiments on models."""

from __future__ import annotations

from typing import Annotated

import typer

from ...rendering.terminal import plain
from ..console import Json, errors, out, print_json


def nsm(
    report: Annotated[
        str, typer.Option("--out", metavar="OUT.html", help="The page to write.")
    ] = "nsm-report.html",
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL",
            help="Name, folder or URL of an embedding model; repeatable. Without it, only the "
            "baselines are measured.",
        ),
    ] = None,
    lang: Annotated[
        list[str] | None,
        typer.Option(
            help="Forms of the primitives: 'fr' (as in the research project, without accents), "
            "'fr-accents', 'en' or 'sa'; repeatable. By default 'fr'."
        ),
    ] = None,
    primitives: Annotated[
        str | None, typer.Option(metavar="FILE", help="Your own primitives, as JSON.")
    ] = None,
    squares: Annotated[
        str | None, typer.Option(metavar="FILE", help="Your own squares, as JSON.")
    ] = None,
    sentences: Annotated[
        str | None, typer.Option(metavar="FILE", help="Your own sentences, as JSON Lines.")
    ] = None,
    results: Annotated[
        str | None,
        typer.Option(metavar="RESULTS", help="The store; by default OUT.zarr, next to the page."),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Of clusters, permutations, subsamples and random vectors.")
    ] = 0,
    permutations: Annotated[int, typer.Option(min=1, help="Permutations per test.")] = 2000,
    subsamples: Annotated[
        int, typer.Option(min=0, help="Subsamples per interval; 0 for no intervals.")
    ] = 100,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Discard what the store holds and start over.")
    ] = False,
    cluster: Annotated[
        str,
        typer.Option(
            help="'threads': threads of this process; 'cpu': processes on this machine; 'cuda': "
            "its NVIDIA GPUs; or the address of a scheduler."
        ),
    ] = "threads",
    as_json: Json = False,
) -> None:
    """Test whether models' vectors agree with semantic primitives, squares and isotopies."""
    from ...cluster.connect import connect
    from ...nsm.experiment import nsm as experiment
    from ..stopping import stoppable

    with (
        errors(),
        connect(cluster, quiet=True) as client,
        stoppable(results or report),
    ):
        found = experiment(
            model or [],
            report,
            results=results,
            primitives=primitives,
            squares=squares,
            sentences=sentences,
            languages=lang or ["fr"],
            seed=seed,
            permutations=permutations,
            subsamples=subsamples,
            client=client,
            fresh=fresh,
            progress=not as_json,
        )
    if as_json:
        print_json(found.to_json())
        return
    for verdict in found.verdicts:
        out.print(f"- {plain(verdict)}")
    out.print(
        f"{plain(str(found.path))}: open it in a browser; the store is {plain(found.results)}"
    )
