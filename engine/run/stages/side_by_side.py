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

from ....graphs.block import MapBlock
from ....storage.errors import RunFailed
from ....storage.messages.names import listed
from ....storage.store.stages.record import Stages
from ...cluster.remote_call import answer, submit_call
from ...monitoring.events import Event, Notice
from ...worker.readiness import Readiness
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

    Raises
    ------
    RunFailed
        A worker has less memory than one of the models takes, as its block declares.
    """
    if not any(block.setup for block in spec.graph.maps):
        return spec
    known = Stages.read(spec.begun, spec.manifest) if spec.manifest is not None else None
    begun = {name for names in known.blocks for name in names} if known else set()
    blocks = [block for block in spec.graph.maps if block.setup and block.name not in begun]
    if spec.backend != "cuda" and any(block.setup_bytes for block in blocks):
        dispatch.prepare(spec.backend)
        _require_room(dispatch.readiness(), max(blocks, key=lambda block: block.setup_bytes))
    names = [block.name for block in blocks if not block.per_thread]
    if len(names) < 2:
        return spec
    try:
        memory = _measured(spec, dispatch, sent, names)
    except KilledWorker:  # perhaps for lack of memory
        memory = SetupMemory(Memory(0, dict.fromkeys(names, 1)), Memory())
        why = f"a worker died while it made what the setup of {listed(names)} makes"
    except Exception as error:  # noqa: BLE001 (the trial of the graph reports it, with the block)
        dispatch.stopping.require_going()
        _log.info("the memory of %s was not measured: %s", listed(names), error)
        return spec
    else:
        why = _why(memory, names)
    if memory.fits(names):
        return spec
    stages = StagePlan.of(spec.graph, spec.stages.described, known, memory.fits)
    publish(Notice(f"{why}, so they are computed in turn, in passes over the corpus"))
    return replace(spec, stages=stages).over(spec.corpus)


def _measured(
    spec: RunSpec, dispatch: Dispatch, sent: SentGraph, names: Sequence[str]
) -> SetupMemory:
    """Measure what blocks make by their ``setup``, on the worker that is ready first."""
    dispatch.prepare(spec.backend)
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


def _require_room(ready: Readiness, block: MapBlock) -> None:
    """Raise `RunFailed` if the largest model is larger than a worker's memory."""
    if ready.limit and ready.resident + block.setup_bytes > ready.limit:
        raise RunFailed(
            f"the setup of block {block.name!r} takes about {format_bytes(block.setup_bytes)}, and "
            f"a worker may hold {format_bytes(ready.limit)}, of which it holds "
            f"{format_bytes(ready.resident)} when idle. This run computed nothing; give each "
            "worker more memory (--memory, or fewer --workers), and run again"
        )


def _why(memory: SetupMemory, names: list[str]) -> str:
    """Return why what some blocks make is not made side by side."""
    short = memory.device if memory.host.fits(names) else memory.host
    each = [f"{name!r} {format_bytes(short.taken.get(name, 0))}" for name in names]
    return (
        f"what the setup of {listed(names)} makes does not fit side by side into the "
        f"{format_bytes(short.room or 0)} that a worker's "
        f"{'GPU' if short is memory.device else 'process'} has for it ({', '.join(each)})"
    )
