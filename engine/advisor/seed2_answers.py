"""The answers of the frozen guide, and how today's answers differ from them, with causes.

The guide's decision matrix itself is in `seed2`.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...storage.errors import UsageError
from ..costs.catalogue import Machine
from ..rendering.quantities import dollars
from .feasibility import Row, Tier, Verdict
from .question import Question
from .seed2.matrix import Answer, Cell, Criterion, GuideMachine, Mark, Ruling, Seed2, seed2

VERDICTS: dict[Mark, Verdict] = {"ok": "yes", "warn": "possible", "no": "no"}
_TIERS: dict[Mark, Tier] = {"ok": Tier.READY, "warn": Tier.DELAYED, "no": Tier.IMPOSSIBLE}
_FIGURES = ("cores", "ram_gb", "memory_gb", "fp16_tflops")


def answer_of_seed2(
    matrix: Seed2, question: Question
) -> tuple[tuple[Row, ...], tuple[str, ...], tuple[str, ...]]:
    """Return the frozen guide's rows, recommendation and reasons for a question.

    Its rows have no predictions or costs of this engine; their labels are the guide's own.

    Raises
    ------
    UsageError
        A machine in `free` is unknown to the guide.
    """
    unknown = sorted(question.free - matrix.backends.keys())
    if unknown:
        names = ", ".join(matrix.backends)
        raise UsageError(f"no machine {unknown[0]!r} in the catalogue 'seed2'; it has: {names}")
    ruling = matrix.rule(inputs_of(matrix, question))
    rows = [_row(one, ruling) for one in matrix.backends.values()]
    rank = {name: at for at, name in enumerate(ruling.recommend)}
    rows.sort(key=lambda row: (rank.get(row.name, len(rank)), row.tier))
    return tuple(rows), ruling.recommend, _why(matrix, ruling, question)


def differences(rows: Sequence[Row], question: Question) -> tuple[str, ...]:
    """Return how ranked rows differ from the catalogue "seed2", one sentence per cause.

    The recommendation is compared, and each backend's verdict with its cell in the deciding row of
    the matrix.
    """
    matrix = seed2()
    ruling = matrix.rule(inputs_of(matrix, question))
    sentences = _recommendation(rows, ruling)
    by_name = {row.name: row for row in rows}
    for backend in matrix.backends.values():
        row = by_name.get(backend.name)
        if row is not None:
            sentences += _verdict(backend, row, ruling, question)
    return tuple(sentences)


def inputs_of(matrix: Seed2, question: Question) -> dict[str, Answer]:
    """Return the inputs of the matrix that a question provides."""
    found: dict[str, Answer] = {}
    if question.budget is not None and question.budget < matrix.limited_below:
        found["budget"] = "limited"
    if question.deadline is not None:
        found["deadline"] = True
    if question.work is not None:
        found["corpus_sentences"] = question.work.texts
        if question.work.models:
            found["models"] = len(question.work.models)
    if question.runs_per_month is not None:
        found["runs_per_month"] = question.runs_per_month
    if question.stage is not None:
        found["stage"] = question.stage
    return found


def _cell(backend: GuideMachine, criterion: Criterion) -> Cell:
    """Return the cell of a criterion for a backend."""
    return criterion.cells[backend.column]


def _row(backend: GuideMachine, ruling: Ruling) -> Row:
    figures = {name: backend.figures[name] for name in _FIGURES if name in backend.figures}
    machine = Machine(
        name=backend.name, title=backend.name, kind=backend.kind, backend=backend.backend, **figures
    )
    price = f"{dollars(backend.usd_month)} per month" if backend.usd_month else "free"
    general = f"{price}, availability {backend.availability}; {backend.verdict}"
    if ruling.decided_by is None:
        recommended = backend.name in ruling.recommend
        verdict: Verdict = "yes" if recommended else "no"
        tier = Tier.READY if recommended else Tier.IMPOSSIBLE
        return Row(machine=machine, verdict=verdict, tier=tier, reasons=(general,))
    cell = _cell(backend, ruling.decided_by)
    label = cell.label
    stated = (f"stated by the guide, not a prediction: {label}",) if label else ()
    return Row(
        machine=machine,
        verdict=VERDICTS[cell.mark],
        tier=_TIERS[cell.mark],
        reasons=(*stated, general),
        label=cell.time,
    )


def _why(matrix: Seed2, ruling: Ruling, question: Question) -> tuple[str, ...]:
    take = " -> ".join(ruling.recommend)
    if ruling.decided_by is None:
        sentences = [
            f"{take}: the general advice of a guide of {matrix.date}; no criterion applies"
        ]
    else:
        decisive = ruling.decided_by
        sentences = [f"{take}: by the row '{decisive.id}' of a guide of {matrix.date}"]
        sentences += [
            f"the row '{one.id}' recommends {' -> '.join(one.recommend)}, but has lower precedence"
            for one in ruling.overruled
        ]
    if question.plan is not None or question.free:
        sentences.append("the guide ignores the plan, and which machines are free for you")
    sentences.append(
        "the guide is frozen: prices, times and free machines are those of its date, right or wrong"
    )
    if question.work is not None and question.work.kind == "hashing":
        sentences.append("the guide is about sentence embeddings; this work is hashing")
    return tuple(sentences)


def _recommendation(rows: Sequence[Row], ruling: Ruling) -> list[str]:
    able = [row.name for row in rows if row.tier <= Tier.DELAYED]
    if able[:1] == list(ruling.recommend[:1]):
        return []
    here = able[0] if able else "none"
    row = f" by its row '{ruling.decided_by.id}'" if ruling.decided_by else ""
    sentences = [f"seed2 recommends {' -> '.join(ruling.recommend)}{row}; here {here} is first"]
    known = seed2().backends
    if able and able[0] not in known:
        sentences.append(f"{able[0]}: unknown to seed2")
    return sentences


def _verdict(backend: GuideMachine, row: Row, ruling: Ruling, question: Question) -> list[str]:
    if ruling.decided_by is not None:
        then = VERDICTS[_cell(backend, ruling.decided_by).mark]
    else:
        then = "yes" if backend.name in ruling.recommend else "no"
    sentences = []
    if then != row.verdict:
        # The most important reason is first; without any against a machine, the time is last.
        because = row.reasons[-1 if row.tier is Tier.READY else 0]
        sentences.append(f"{row.name}: seed2 says {then}; here {row.verdict}: {because}")
    sentences += _price(backend, row)
    hashing = question.work is not None and question.work.kind == "hashing"
    if row.machine.kind == "tpu" and hashing:
        sentences.append(
            f"{row.name}: seed2 avoids TPUs because sentence-transformers does not run on them, "
            "which does not matter for hashing"
        )
    return sentences


def _price(backend: GuideMachine, row: Row) -> list[str]:
    """Note a machine that was free in the guide and no longer is, or the reverse."""
    if row.cost is None or row.tier is Tier.IMPOSSIBLE:
        return []
    free = not row.units and row.usd == 0
    if free == (backend.usd_month == 0):
        return []
    if free:
        return [f"{row.name}: ${backend.usd_month:g} per month in seed2; here it is free"]
    return [f"{row.name}: free in seed2; here it costs compute units or dollars"]
