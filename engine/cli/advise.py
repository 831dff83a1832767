"""The command ``paninifs advise``: which machine to use for some work, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ...storage.errors import UsageError
from ..advisor.question import STAGES, Stage
from ..costs.work import KINDS, Kind, Model, Work
from ..rendering.terminal import plain
from .console import Json, errors, out, print_json
from .corpus_options import Delimiter, Encoding, Escape, Quote, dialect_options

if TYPE_CHECKING:
    from ..advisor.advice import Advice


def advise(
    corpus: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CORPUS",
            help="Files, a quoted glob, a folder or a URL. Alternatively, give --texts.",
        ),
    ] = None,
    texts: Annotated[int | None, typer.Option(min=1, help="Number of texts.")] = None,
    mean_bytes: Annotated[
        float | None,
        typer.Option(
            min=0, help="Mean size of a text in UTF-8 bytes, with --texts; 100 by default."
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(help="Column of the corpus that holds the text; 'text' by default."),
    ] = None,
    format: Annotated[
        str | None, typer.Option(help="Format of the corpus, such as 'parquet' or 'jsonl'.")
    ] = None,
    delimiter: Delimiter = None,
    quote: Quote = '"',
    escape: Escape = None,
    encoding: Encoding = None,
    kind: Annotated[
        str | None,
        typer.Option(help=f"Kind of work: {' or '.join(map(repr, KINDS))} (with --model)."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=PARAMS",
            help="Embedding model with its number of parameters, such as my-model=110M; SBERT, "
            "E5-Large-V2 and BGE-M3 need no number. Repeatable.",
        ),
    ] = None,
    runs: Annotated[int | None, typer.Option(min=1, help="Runs per month.")] = None,
    plan: Annotated[
        str | None,
        typer.Option(help="Your plan: 'free', 'pro', 'pro+', 'payg' or 'rented'."),
    ] = None,
    units: Annotated[
        float | None, typer.Option(min=0, help="Compute units that you have left.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option(min=0, help="US dollars per month, in addition to the plan.")
    ] = None,
    deadline: Annotated[
        float | None, typer.Option(help="Hours within which a run has to finish.")
    ] = None,
    stage: Annotated[
        str | None,
        typer.Option(help=f"Purpose of the runs: {' or '.join(map(repr, STAGES))}."),
    ] = None,
    value_of_time: Annotated[
        float | None, typer.Option(min=0, help="Value of an hour of waiting, in US dollars.")
    ] = None,
    free: Annotated[
        list[str] | None,
        typer.Option(help="Machine that costs you nothing at present; repeatable."),
    ] = None,
    catalogue: Annotated[
        str | None,
        typer.Option(
            help="TOML file with your own figures, which override the shipped ones; or 'seed2', "
            "the frozen guide of November 2025."
        ),
    ] = None,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose",
            "-v",
            help="Also print a reason for each machine, comparisons, and the sources of prices.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Rank machines for a CORPUS or a number of texts by time and cost, with reasons.

    Example: paninifs advise --texts 1000000 --mean-bytes 200 --plan pro --runs 20
    """
    from ..advisor.advise import advise as ask

    with errors():
        found = ask(
            _work(
                corpus or [],
                texts=texts,
                mean_bytes=mean_bytes,
                text=text,
                format=format,
                dialect=dialect_options(delimiter, quote, escape, encoding),
                kind=kind,
                models=model or [],
                catalogue=catalogue,
            ),
            runs_per_month=runs,
            plan=plan,
            units_left=units,
            budget=budget,
            deadline=deadline,
            stage=cast("Stage | None", stage),  # checked by `advise`
            value_of_time=value_of_time,
            free=free or [],
            catalogue=catalogue,
        )
    if as_json:
        print_json(_document(found))
    else:
        _print(found, verbose=verbose)


def _work(
    corpus: list[str],
    *,
    texts: int | None,
    mean_bytes: float | None,
    text: str | None,
    format: str | None,
    dialect: Mapping[str, Any],
    kind: str | None,
    models: list[str],
    catalogue: str | None,
) -> Work | None:
    """Return the described work; None if only the frozen guide is requested."""
    from ..advisor.advise import SEED2

    if bool(corpus) and texts is not None:
        raise UsageError("give a corpus or --texts, not both")
    if mean_bytes is not None and texts is None:
        raise UsageError("--mean-bytes needs --texts; the bytes of a corpus are counted")
    if text is not None and not corpus:
        raise UsageError("--text names a column of a corpus, but no corpus is given")
    parsed = tuple(_model(option) for option in models)
    work = cast("Kind", kind or ("embedding" if models else "hashing"))  # checked by `Work`
    if corpus:
        from ...storage.corpus.open_corpus import open_corpus

        source = open_corpus(corpus, text=text or "text", format=format, **dialect)
        counted = Work.on(source)
        return replace(counted, kind=work, models=parsed)
    if texts is None:
        if catalogue == SEED2 and not (models or kind or format):
            return None
        raise UsageError("give a corpus, or --texts and --mean-bytes")
    length = 100.0 if mean_bytes is None else mean_bytes
    return Work(texts, length, work, format or "parquet", parsed)


def _model(text: str) -> Model:
    """Return the model given as NAME=PARAMS, or as a known name."""
    from ..advisor.models import known_models, model

    name, equals, number = text.partition("=")
    if not equals:
        if name in known_models():
            return model(name)
        known = ", ".join(known_models())
        raise UsageError(
            f"give the parameters of {name!r}, such as {name}=110M; models known by name: {known}"
        )
    scale = {"K": 10**3, "M": 10**6, "B": 10**9, "G": 10**9}.get(number[-1:].upper(), 1)
    try:
        parameters = round(float(number if scale == 1 else number[:-1]) * scale)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{text!r}: the parameters must be a number, such as 110000000 or 110M"
        ) from error
    if parameters < 1:
        raise UsageError(f"{text!r}: a model has at least one parameter")
    return Model(name, parameters)


def _print(found: Advice, *, verbose: bool) -> None:
    from rich.table import Table

    from ..advisor.advice import BRIEF, HEADINGS, sections, table, title

    shown = Table(title=plain(title(found)), title_justify="left", box=None, pad_edge=False)
    for heading in HEADINGS:
        of = f" {found.question.span}" if heading in ("units", "dollars") else ""
        shown.add_column(plain(heading + of), overflow="fold")
    for row in table(found):
        shown.add_row(*(plain(cell) for cell in row))
    out.print(shown, soft_wrap=False)
    shown_sections = [one for one in sections(found) if verbose or one[0] in BRIEF]
    for name, sentences in shown_sections:
        out.print(f"\n[bold]{plain(name)}[/]")
        for sentence in sentences:
            out.print(f"  {plain(sentence)}")
    if not verbose:
        out.print("\nmore (each machine, comparisons, sources of prices): --verbose")


def _document(found: Advice) -> dict[str, Any]:
    """Return the advice as JSON."""
    return {
        "catalogue": found.catalogue,
        "as_of": found.as_of,
        "recommended": list(found.recommended),
        "why": list(found.why),
        "differs": list(found.differs),
        "sources": list(found.sources),
        "machines": [
            {
                "name": row.name,
                "verdict": row.verdict,
                "reasons": list(row.reasons),
                "label": row.label,
                "prediction": row.prediction and asdict(row.prediction),
                "cost": row.cost and asdict(row.cost),
                "returns": [asdict(one) for one in row.returns],
            }
            for row in found.rows
        ],
    }
