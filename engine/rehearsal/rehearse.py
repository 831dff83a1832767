"""`rehearse`: runs a sample of a corpus from reading to writing, and estimates the whole run.

The sample is run as the whole corpus would be, on the same workers. How its time is extrapolated is
in `cost_model`, how trial runs are made in `trial_run`, how the result is shown in `rehearsal`.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ...graphs.fusion import is_default
from ...graphs.graph import Graph
from ...storage.corpus.corpus import Corpus
from ...storage.corpus.index import CorpusIndex
from ...storage.corpus.survey import Survey, survey
from ...storage.errors import UsageError
from ...storage.formats.registry import FORMATS
from ...storage.messages.tracebacks import short_traceback
from ...storage.store.manifest import read_index, read_manifest
from ...storage.store.shards import done_shards
from ...storage.targets.target import Target
from ..cluster.location import remote_location
from ..cluster.remote_call import answer, submit_call
from ..run.spec import RunSpec
from ..run.worker_memory import project
from ..worker.readiness import Readiness, prepared
from .cost_model import fit_cost_model, run_sample
from .estimate import store_bytes
from .rehearsal import Rehearsal
from .sample_index import REACH_BYTES, work_of
from .trial_run import TrialRunner, scratch_beside

if TYPE_CHECKING:
    from distributed import Client

    from ..costs.bill import Bill

ROWS = 1000
"""Default number of texts in a sample."""


@short_traceback
def rehearse(
    graph: Graph,
    corpus: Corpus,
    results: str | os.PathLike[str] | Target | None = None,
    *,
    rows: int = ROWS,
    client: Client | None = None,
    backend: str | None = None,
    shard_rows: int | None = None,
    fresh: bool = False,
    extend: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> Rehearsal:
    r"""Run a graph on a sample of a corpus, and estimate what the whole corpus will take.

    The sample is spread over the corpus. It is run on the cluster, from reading to writing, into a
    scratch store beside `results` that is removed afterwards; `results` is not touched. If that
    takes less than a few seconds, more texts are timed.

    Parameters
    ----------
    graph, corpus
        As for `submit`.
    results : str, path or Target, optional
        Where the store will be, as its speed matters. By default a temporary folder.
    rows : int
        Texts in the sample.
    client, backend, shard_rows, fresh, extend, storage_options
        As for `submit`.

    Raises
    ------
    UsageError
        `submit` would refuse the run.
    PaniniError
        The sample ran into an error that would end the run.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> import paninifs as pf
    >>> folder = Path(mkdtemp())
    >>> _ = (folder / "a.txt").write_text("un\ndeux\n" * 5000)
    >>> with pf.connect("threads", quiet=True) as client:
    ...     found = pf.rehearse(pf.default_graph(), pf.open_corpus(folder / "a.txt"))
    >>> found.rows, found.sampled, found.quarantined, found.shards
    (10000, 1000, 0, 3)
    """
    _require_sample(rows)
    with ExitStack() as stack:
        target, options = results, storage_options
        if target is None:
            folder = stack.enter_context(TemporaryDirectory(prefix="paninifs-sample-"))
            target, options = Path(folder) / "results.zarr", None
        spec = RunSpec.of(
            graph,
            corpus,
            target,
            client=client,
            backend=backend,
            shard_rows=shard_rows,
            fresh=fresh,
            extend=extend,
            storage_options=options,
        )
        if results is None and remote_location(spec.client) is not None:
            raise UsageError(
                "the cluster is not on this machine, so give the location of the results (results=)"
            )
        rehearsal = rehearse_run(spec, scratch_beside(target, options), rows=rows)
    return rehearsal if results is not None else replace(rehearsal, free=None)


def rehearse_run(
    spec: RunSpec, scratch: AbstractContextManager[Target], *, rows: int = ROWS
) -> Rehearsal:
    """Rehearse a run, including its mirror, as `rehearse` does.

    Parameters
    ----------
    scratch : context manager
        Provides the target of the trial runs; see `scratch_beside`.
    """
    _require_sample(rows)
    began = time.perf_counter()
    threads = sum(spec.client.nthreads().values())
    surveyed = survey(spec.corpus)
    index, counting = surveyed.index, surveyed.seconds
    layout = spec.layout(index)
    with scratch as target:
        trials = TrialRunner(spec, surveyed, target)
        run_sample(trials, index, threads, threads)  # warms up: some things are slow only once
        sample_run = run_sample(trials, index, rows, threads)
        model, longest = fit_cost_model(trials, index, layout.shard_rows, sample_run, threads)
    ready: Readiness = answer(submit_call(spec.client, prepared, spec.backend).result())
    sampled = sample_run.summary
    text_bytes = sampled.text_bytes * index.rows // sampled.rows
    seconds = counting + model.seconds(work_of(index, layout.shard_rows, threads))
    bill, bill_notes = _billed(spec, index, text_bytes, seconds)
    return Rehearsal(
        rows=index.rows,
        counted=surveyed.counted,
        files=len(index.files),
        text_bytes=text_bytes,
        sampled=sampled.rows,
        quarantined=sampled.quarantined,
        reasons=sample_run.reasons,
        block_seconds={
            name: spent / sampled.rows for name, spent in sample_run.block_seconds.items()
        },
        threads=threads,
        shards=layout.shards,
        shard_rows=layout.shard_rows,
        tasks=len(index.partitions(layout.shard_rows)),
        counting=counting,
        seconds=seconds,
        disk=store_bytes(layout, longest.sizes, longest.summary),
        free=_free(spec.target),
        memory=project(ready, index, layout, index.stretches(0, index.rows), spec.corpus.opener),
        bill=bill,
        rows_before=_rows_done(spec),
        took=time.perf_counter() - began,
        notes=(*spec.corpus.notes, *index.notes, *_sample_notes(surveyed), *bill_notes),
    )


def _require_sample(rows: int) -> None:
    if not isinstance(rows, int) or rows < 1:
        raise UsageError(f"the sample must be a whole number of texts, at least one, not {rows!r}")


def _rows_done(spec: RunSpec) -> int:
    """Return the number of rows already done, in the results or else in the mirror."""
    for target in spec.targets:
        manifest = None if spec.manifest is None else read_manifest(target)
        if manifest is not None:
            markers = done_shards(target, manifest.layout(read_index(target, manifest)))
            return sum(marker.rows for marker in markers.values() if not marker.provisional)
    return 0


def _free(target: Target) -> int | None:
    """Return the bytes free for a store on a disk; None if it is elsewhere."""
    if "://" in target.url:
        return None
    return shutil.disk_usage(next(one for one in Path(target.url).parents if one.is_dir())).free


def _billed(
    spec: RunSpec, index: CorpusIndex, text_bytes: int, seconds: float
) -> tuple[Bill | None, list[str]]:
    """Return what the run will cost, or a note why that is unknown."""
    try:
        return _bill(spec, index, text_bytes, seconds), []
    except Exception as error:  # noqa: BLE001 (the measurements are valid, whatever the run costs)
        return None, [f"the cost of the run is not known: {error}"]


def _bill(spec: RunSpec, index: CorpusIndex, text_bytes: int, seconds: float) -> Bill:
    from ..costs.bill import bill
    from ..costs.work import Work

    largest = max(index.files, key=lambda one: one.file.size).file
    work = Work(index.rows, text_bytes / index.rows, format=largest.format)
    return bill(work if is_default(spec.graph) else None, seconds, remote_location(spec.client))


def _sample_notes(surveyed: Survey) -> list[str]:
    """Return notes on what the sample does not cover."""
    notes = []
    if not surveyed.counted:
        notes.append(
            "a corpus this large is counted only by the run; here the number of rows is estimated "
            f"from the beginnings of {len(surveyed.fronts):,} of its files"
        )
    reach = REACH_BYTES if surveyed.counted else 0  # else only a beginning, shorter still, was read
    front = [
        one.file.name
        for one in surveyed.index.files
        if (one.lengths and one.lengths.nbytes > reach)
        and (one.file.sequential or (not surveyed.counted and FORMATS[one.file.format].front_only))
    ]
    if front:
        names = ", ".join(front[:3]) + (", ..." if len(front) > 3 else "")
        notes.append(f"{names}: cannot be read from the middle, so only its beginning is sampled")
    return notes
