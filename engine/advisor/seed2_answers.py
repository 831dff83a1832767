"""The answers of the frozen catalogue, and where the dated one answers otherwise, by what cause."""

from __future__ import annotations

from collections.abc import Sequence

from ...storage.errors import UsageError
from ..costs.catalogue import Machine
from ..rendering.quantities import dollars
from .feasibility import Row, Tier, Verdict
from .question import Question
from .seed2.matrix import Answer, Cell, Criterion, GuideMachine, Mark, Ruling, Seed2, seed2

VERDICTS: dict[Mark, Verdict] = {"ok": "yes", "warn": "possible", "no": "no"}
_TIERS: dict[Mark, Tier] = {"ok": Tier.READY, "warn": Tier.PATIENCE, "no": Tier.IMPOSSIBLE}
_FIGURES = ("cores", "ram_gb", "memory_gb", "fp16_tflops")


def answer_of_seed2(
    matrix: Seed2, question: Question
) -> tuple[tuple[Row, ...], tuple[str, ...], tuple[str, ...]]:
    """Return the frozen guide's rows, recommendation and reasons for a question.

    Its rows carry neither predictions nor costs of this engine: their labels are its own.

    Raises
    ------
    UsageError
        A machine was said to be free that the guide does not know.
    """
    unknown = sorted(question.free - matrix.backends.keys())
    if unknown:
        there = ", ".join(matrix.backends)
        raise UsageError(f"no machine {unknown[0]!r} in the catalogue 'seed2'; it has: {there}")
    ruling = matrix.rule(inputs_of(matrix, question))
    rows = [_row(one, ruling) for one in matrix.backends.values()]
    first = {name: place for place, name in enumerate(ruling.recommend)}
    rows.sort(key=lambda row: (first.get(row.name, len(first)), row.tier))
    return tuple(rows), ruling.recommend, _why(matrix, ruling, question)


def differences(rows: Sequence[Row], question: Question) -> tuple[str, ...]:
    """Return, a sentence a cause, where ranked rows differ from the catalogue "seed2".

    Compared are the recommendation, and each backend's verdict with the cell of the row of the
    matrix that decides.
    """
    matrix = seed2()
    ruling = matrix.rule(inputs_of(matrix, question))
    said = _recommendation(rows, ruling)
    by_name = {row.name: row for row in rows}
    for backend in matrix.backends.values():
        row = by_name.get(backend.name)
        if row is not None:
            said += _verdict(backend, row, ruling, question)
    return tuple(said)


def inputs_of(matrix: Seed2, question: Question) -> dict[str, Answer]:
    """Return the inputs of the matrix that a question gives."""
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
    """Return what a criterion says of a backend."""
    return criterion.cells[backend.column]


def _row(backend: GuideMachine, ruling: Ruling) -> Row:
    figures = {name: backend.figures[name] for name in _FIGURES if name in backend.figures}
    machine = Machine(
        name=backend.name, title=backend.name, kind=backend.kind, backend=backend.backend, **figures
    )
    price = f"{dollars(backend.usd_month)} a month" if backend.usd_month else "free"
    general = f"{price}, availability {backend.availability}; {backend.verdict}"
    if ruling.decided_by is None:
        there = backend.name in ruling.recommend
        verdict: Verdict = "yes" if there else "no"
        tier = Tier.READY if there else Tier.IMPOSSIBLE
        return Row(machine=machine, verdict=verdict, tier=tier, reasons=(general,))
    found = _cell(backend, ruling.decided_by)
    label = found.label
    said = (f"by the guide, a label and no prediction: {label}",) if label else ()
    return Row(
        machine=machine,
        verdict=VERDICTS[found.mark],
        tier=_TIERS[found.mark],
        reasons=(*said, general),
        label=found.time,
    )


def _why(matrix: Seed2, ruling: Ruling, question: Question) -> tuple[str, ...]:
    take = " -> ".join(ruling.recommend)
    if ruling.decided_by is None:
        said = [f"{take}: the general advice of a guide of {matrix.date}; nothing more was asked"]
    else:
        decisive = ruling.decided_by
        said = [f"{take}: by the row '{decisive.id}' of a guide of {matrix.date}"]
        said += [
            f"the row '{one.id}' would say {' -> '.join(one.recommend)}, and comes after it"
            for one in ruling.overruled
        ]
    if question.plan is not None or question.free:
        said.append("it weighs neither plans nor what is free to somebody: they change nothing")
    said.append("frozen: its prices, times and what is free are those of then, right or wrong")
    if question.work is not None and question.work.kind == "hashing":
        said.append("it speaks of sentence embeddings; this work is hashing")
    return tuple(said)


def _recommendation(rows: Sequence[Row], ruling: Ruling) -> list[str]:
    able = [row.name for row in rows if row.tier <= Tier.PATIENCE]
    if able[:1] == list(ruling.recommend[:1]):
        return []
    here = able[0] if able else "none"
    row = f" by its row '{ruling.decided_by.id}'" if ruling.decided_by else ""
    said = [f"seed2 recommends {' -> '.join(ruling.recommend)}{row}; here {here} is first"]
    known = seed2().backends
    if able and able[0] not in known:
        said.append(f"{able[0]}: seed2 does not know it")
    return said


def _verdict(backend: GuideMachine, row: Row, ruling: Ruling, question: Question) -> list[str]:
    if ruling.decided_by is not None:
        then = VERDICTS[_cell(backend, ruling.decided_by).mark]
    else:
        then = "yes" if backend.name in ruling.recommend else "no"
    said = []
    if then != row.verdict:
        # What weighs most is first; of one that nothing speaks against, the time is last.
        because = row.reasons[-1 if row.tier is Tier.READY else 0]
        said.append(f"{row.name}: seed2 says {then}; here {row.verdict}: {because}")
    said += _price(backend, row)
    hashing = question.work is not None and question.work.kind == "hashing"
    if row.machine.kind == "tpu" and hashing:
        said.append(
            f"{row.name}: seed2 avoids TPUs because sentence-transformers does not run on them, "
            "which says nothing of hashing"
        )
    return said


def _price(backend: GuideMachine, row: Row) -> list[str]:
    """Say that what was free is not, or the other way round."""
    if row.cost is None or row.tier is Tier.IMPOSSIBLE:
        return []
    free = not row.units and row.usd == 0
    if free == (backend.usd_month == 0):
        return []
    if free:
        return [f"{row.name}: seed2 has it for ${backend.usd_month:g} a month; here it is free"]
    return [f"{row.name}: free in seed2; here it costs compute units or dollars"]
