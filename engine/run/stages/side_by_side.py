"""`planned_by_memory`: whether a run's models are computed in one pass over the texts, or in turn.

Models whose memory fits into a worker side by side share a pass, so that each text is read once.
Otherwise each pass has the models that fit, and a process closes those of the pass before. The
results are the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from dask.utils import format_bytes
from distributed import KilledWorker

from ....storage.messages.names import listed
from ....storage.store.stages.record import Stages
from ...cluster.remote_call import answer, submit_call
from ...monitoring.events import Event, Notice
from ...worker.sent_graph import SentGraph
from ...worker.setup_memory import Memory, SetupMemory, measure_setups
from ..dispatch import Dispatch
from ..spec import RunSpec
from .plan import StagePlan

_log = logging.getLogger(__name__)


def planned_by_memory(
    spec: RunSpec, dispatch: Dispatch, sent: SentGraph, publish: Callable[[Event], None]
) -> RunSpec:
    """Return the specification with passes whose models fit into a worker's memory together.

    What a store has begun stays as it is. Nothing is measured for a single model.
    """
    known = Stages.read(spec.begun, spec.manifest) if spec.manifest is not None else None
    begun = {name for names in known.blocks for name in names} if known else set()
    names = [
        block.name
        for block in spec.graph.maps
        if block.setup and not block.per_thread and block.name not in begun
    ]
    if len(names) < 2:
        return spec
    try:
        memory = _measured(spec, dispatch, sent, names)
    except KilledWorker:  # perhaps it had too little memory
        memory = SetupMemory(Memory(0, dict.fromkeys(names, 1)), Memory())
    except Exception as error:  # noqa: BLE001 (the trial of the graph reports it, with the block)
        dispatch.stopping.require_going()
        _log.info("the memory of %s was not measured: %s", listed(names), error)
        return spec
    if memory.fits(names):
        return spec
    stages = StagePlan.of(spec.graph, spec.stages.described, known, memory.fits)
    publish(Notice(_notice(memory, names)))
    return replace(spec, stages=stages).over(spec.corpus)


def _measured(
    spec: RunSpec, dispatch: Dispatch, sent: SentGraph, names: Sequence[str]
) -> SetupMemory:
    """Measure what blocks make by their ``setup``, on the worker that is ready first."""
    dispatch.readiness()
    with dispatch.watched():
        call = submit_call(
            spec.client,
            measure_setups,
            sent.send(),
            list(names),
            spec.backend,
            priority=spec.priority + 1,
        )
        measured: SetupMemory = answer(call.result())
        return measured


def _notice(memory: SetupMemory, names: list[str]) -> str:
    short = memory.device if memory.host.fits(names) else memory.host
    each = [f"{name!r} {format_bytes(short.taken.get(name, 0))}" for name in names]
    return (
        f"what the setup of {listed(names)} makes does not fit side by side into the "
        f"{format_bytes(short.room or 0)} that a worker's "
        f"{'GPU' if short is memory.device else 'process'} has for it ({', '.join(each)}), so they "
        "are computed in turn, in passes over the corpus"
    )
