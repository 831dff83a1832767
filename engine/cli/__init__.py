"""The command ``paninifs``: options, output and exit codes, one file per subject.

The commands only parse options and print results; the public API does the work. Nothing imports
this folder, and it may import everything in `engine`.
"""

from __future__ import annotations

import atexit
import gc
import warnings
from typing import Annotated

import typer

from ... import __version__
from ...storage.errors import UnencryptedScheduler
from . import advise, bench, cite, graph, machine, report, results, run, stores
from .collection.collect import collect
from .console import DONE, out
from .corpora.dedup import dedup
from .experiments.climb import climb
from .experiments.nsm import nsm
from .stopping import Stopping

app = typer.Typer(
    name="paninifs",
    help="Compute dhātu weights, prime bases and ambiguity for text corpora of any size.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done with quarantined rows, "
    "130 interrupted (143 by SIGTERM, 129 by SIGHUP).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
commands = (
    collect,
    run.run,
    graph.graph,
    advise.advise,
    bench.bench,
    machine.devices,
    stores.status,
    stores.verify,
    stores.repair,
    stores.drop,
    stores.show,
    report.report,
    results.peek,
    results.export,
    cite.cite,
    nsm,
    climb,
    dedup,
)
for command in commands:
    app.command()(command)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        out.print(__version__)
        raise typer.Exit(DONE)


def _warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,  # noqa: ARG001 (part of Python's signature)
) -> str:
    """Format a warning for users of the command, without the line of code that raised it."""
    where = "warning" if issubclass(category, UnencryptedScheduler) else f"{filename}:{lineno}"
    return f"{where}: {category.__name__}: {message}\n"


def main() -> None:
    """Run the command."""
    # Imports create a million objects and no garbage; collections during them cost half a second at
    # the start, and as much at exit.
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)
    warnings.formatwarning = _warning
    stopping = Stopping()
    try:
        app()
    except BaseException as reason:  # noqa: BLE001 (raised again, or replaced by an exit)
        stopping.end(reason)
