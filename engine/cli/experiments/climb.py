"""The command ``paninifs climb``: hill climbing, as a file says; see `climb_config`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...rendering.quantities import duration
from ...rendering.terminal import plain
from ..console import QUARANTINED, Json, errors, out, pairs, print_json

if TYPE_CHECKING:
    from ...climbing.climb_handle import Summit

CLUSTER = "cpu"
"""Where objectives are computed by default: one that hangs can be ended with its process."""


def climb(
    config: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG.toml", help="What is climbed, and how: see deploy/docs/climb.md."
        ),
    ],
    page: Annotated[
        str | None,
        typer.Option(
            "--out", metavar="OUT.html", help="Write a page about the climbs of the store."
        ),
    ] = None,
    evaluations: Annotated[
        int | None, typer.Option(min=1, help="Budget: candidates, over all sessions.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(help="Budget: seconds, over all sessions.")
    ] = None,
    dollars: Annotated[
        float | None, typer.Option(help="Budget: the price of the machine, over all sessions.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Discard the climb's history and start over.")
    ] = False,
    cluster: Annotated[
        str | None,
        typer.Option(
            help="'cpu': processes on this machine; 'threads': threads of this process; 'cuda': "
            "its NVIDIA GPUs; or the address of a scheduler."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Look for the state with the highest score, by parallel hill climbing.

    The same command goes on where it was: after an interruption, or with a larger budget.

    Example: paninifs climb climb.toml --out climbs.html
    """
    with errors():
        given = {"evaluations": evaluations, "seconds": seconds, "dollars": dollars}
        summit = _climbed(
            config,
            page,
            {name: value for name, value in given.items() if value is not None},
            {} if cluster is None else {"kind": cluster},
            fresh=fresh,
            quiet=as_json,
        )
    if as_json:
        print_json(summit.to_json() | ({"page": page} if page else {}))
    else:
        _print(summit, config, page)
    if summit.failed:
        raise typer.Exit(QUARANTINED)


def _climbed(
    config: str,
    page: str | None,
    budget: dict[str, Any],
    cluster: dict[str, Any],
    *,
    fresh: bool,
    quiet: bool,
) -> Summit:
    from ...climbing.climb import climb as begin
    from ...climbing.climb_budget import Budget
    from ...climbing.pages.climb_page import GENERATOR
    from ...climbing.pages.climb_report import climb_report
    from ...cluster.connect import connect
    from ...report.written import page_path
    from ..stopping import stoppable
    from .climb_config import read_config

    found = read_config(config)
    limits = {**found.budget, **budget}
    Budget(**limits)  # before a cluster is started
    if page is not None:
        page_path(page, GENERATOR)
    chosen = {"kind": CLUSTER, **found.cluster, **cluster}
    with (
        connect(chosen.pop("kind"), **chosen, quiet=quiet) as client,
        stoppable(found.results, "the evaluations that are retired"),
    ):
        begun = begin(
            found.objective,
            found.space,
            found.results,
            name=found.name,
            **limits,
            **found.options,
            fresh=fresh,
            client=client,
            progress=not quiet,
        )
        summit = begun.result()
    if page is not None:
        climb_report(found.results, out=page)
    return summit


def _print(summit: Summit, config: str, page: str | None) -> None:
    failed = f", {summit.failed:,} failed" if summit.failed else ""
    rows = {
        "results": f"{summit.results}, climb {summit.name}",
        "best score": f"{summit.score:.6g}, candidate {summit.candidate:,}",
        "evaluations": f"{summit.evaluations:,}{failed}, in {duration(summit.seconds)}",
    }
    pairs(rows | dict(summit.judgement))
    if page is not None:
        out.print(f"{plain(page)}: open it in a browser")
    else:
        out.print(f"next: paninifs climb {plain(config)} --out climbs.html")
