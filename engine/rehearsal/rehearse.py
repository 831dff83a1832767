"""`rehearse`: a spread sample of a corpus taken the whole way, and what all of it will take.

The sample is run as the whole would be, on the same workers. How its time becomes that of the whole
is in `pace`, what is run in `trial`, how it is shown in `showing`.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...graphs.fingerprint.labels import keep_known_labels
from ...graphs.fusion import is_default
from ...graphs.graph import Graph
from ...graphs.kernels import NUMERIC_VERSION
from ...storage.corpus.corpus import Corpus
from ...storage.corpus.index import CorpusIndex
from ...storage.corpus.partition import FEW_SHARDS, SHARDS_AIMED_AT, Sharding
from ...storage.corpus.survey import Survey, survey
from ...storage.errors import UsageError
from ...storage.formats.registry import FORMATS
from ...storage.store.extension import as_known
from ...storage.store.layout import stored_fields
from ...storage.store.lifecycle import Existing, refuse_mismatch
from ...storage.store.manifest import Manifest, facts_of, read_index, read_manifest
from ...storage.store.shards import StoreLayout, done_shards
from ...storage.targets.open import open_target
from ...storage.targets.target import Target
from ..cluster.connect import backend_of
from ..cluster.location import elsewhere
from ..monitoring.projection import Projection
from ..run.memory_plan import project
from ..run.submit import newest_client, require_usable
from ..worker.task import Readiness, readiness
from .cost_model import look, measured_pace
from .estimate import store_bytes
from .sample_index import REACH_BYTES, work_of
from .trial_run import Trials, scratch_beside

if TYPE_CHECKING:
    from distributed import Client

    from ..costs.bill import Bill

ROWS = 1000


@dataclass(frozen=True)
class Rehearsal:
    """What a sample says of the whole. Made by `rehearse`; its text is for people."""

    rows: int  # of the corpus, those that will be set aside included
    counted: bool  # whether that is exact; else it is by the fronts of some files
    files: int
    text_bytes: int  # of all texts, as the sample has them
    sampled: int  # rows that were looked at
    quarantined: int  # of those, set aside
    reasons: tuple[str, ...]  # why: the first of them
    block_seconds: Mapping[str, float]  # of a thread, for a text, by block
    threads: int  # of all workers
    shards: int
    shard_rows: int
    tasks: int
    counting: float  # seconds that counting the rows takes, of those below
    seconds: float  # from the submission to the end, on these workers
    disk: int  # bytes of the store
    free: int | None  # bytes there are for it; None where nobody says
    memory: Projection  # of a worker
    bill: Bill | None  # what the run will cost, here and elsewhere; None where a note says why
    rows_before: int  # that the results have already
    took: float  # seconds that finding this out took
    notes: tuple[str, ...]  # what a user should know of how the corpus will be read

    @property
    def quarantined_share(self) -> float:
        """Of all rows, as the sample has it."""
        return self.quarantined / self.sampled

    @property
    def seconds_left(self) -> float:
        """Of `seconds`, those for the rows that the results do not have yet; they are counted."""
        if not self.rows_before:
            return self.seconds
        return (self.seconds - self.counting) * (self.rows - self.rows_before) / self.rows

    def __str__(self) -> str:
        from .showing import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from .showing import as_html

        return as_html(self)


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
    r"""Try a graph on a spread sample of a corpus; say what the whole will take.

    The sample is run the whole way, on the cluster, into a scratch store beside `results`, which is
    removed; `results` is not touched. Where texts are done in a moment, as many more are timed as
    take some seconds.

    Parameters
    ----------
    graph, corpus
        As for `submit`.
    results : str, path or Target, optional
        Where the store is to be: how fast that place is counts. A temporary folder when left out.
    rows : int
        Texts of the sample.
    client, backend, shard_rows, fresh, extend, storage_options
        As for `submit`.

    Raises
    ------
    UsageError
        What `submit` would refuse.
    PaniniError
        What would end the run, where the sample meets it.

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
    if not isinstance(rows, int) or rows < 1:
        raise UsageError(f"a sample is a whole number of texts, at least one, not {rows!r}")
    require_usable(graph, corpus, shard_rows, "quarantine", backend)
    began = time.perf_counter()
    client = client or newest_client()
    backend = backend or backend_of(client)
    target = _opened(results, storage_options)
    manifest = None
    if target is not None:
        manifest = None if fresh else read_manifest(target)
        described = graph.describe()
        if manifest is not None:
            corpus = as_known(corpus, manifest)
            described = keep_known_labels(described, manifest.facts["graph"])
        existing: Existing = "discard" if fresh else "extend" if extend else "resume"
        facts = facts_of(corpus, described, NUMERIC_VERSION)
        refuse_mismatch(target, facts, shard_rows, existing)
    lanes = sum(client.nthreads().values())
    surveyed = survey(corpus)
    index, counting = surveyed.index, surveyed.seconds
    with scratch_beside(results, storage_options, client) as scratch:
        size = shard_rows or (manifest.shard_rows if manifest else None)
        layout = _layout(graph, index, scratch, size)
        trials = Trials(graph, corpus, surveyed, scratch, client, backend)
        look(trials, index, lanes, lanes)  # what is slow only once is done by then
        looked = look(trials, index, rows, lanes)
        pace, longest = measured_pace(trials, index, layout.shard_rows, looked, lanes)
    ready: Readiness = client.submit(readiness, backend, pure=False).result()
    sampled = looked.summary
    text_bytes = sampled.text_bytes * index.rows // sampled.rows
    seconds = counting + pace.seconds(work_of(index, layout.shard_rows, lanes))
    bill, unbilled = _billed(graph, index, text_bytes, seconds, client)
    return Rehearsal(
        index.rows,
        surveyed.counted,
        len(index.files),
        text_bytes,
        sampled.rows,
        sampled.quarantined,
        looked.reasons,
        {name: spent / sampled.rows for name, spent in looked.block_seconds.items()},
        lanes,
        layout.shards,
        layout.shard_rows,
        len(index.partitions(layout.shard_rows)),
        counting,
        seconds,
        store_bytes(layout, longest.sizes, longest.summary),
        _free(target),
        project(ready, index, layout, index.stretches(0, index.rows), corpus.opener),
        bill,
        _rows_done(target, manifest),
        time.perf_counter() - began,
        (*index.notes, *_sample_notes(surveyed), *unbilled),
    )


def _opened(
    results: str | os.PathLike[str] | Target | None, options: Mapping[str, Any] | None
) -> Target | None:
    return open_target(results, options) if isinstance(results, str | os.PathLike) else results


def _layout(graph: Graph, index: CorpusIndex, place: Target, size: int | None) -> StoreLayout:
    """Return how the store will be cut: as a run decides it."""
    fields = stored_fields(index.id, index.keep, graph.fields)
    aimed_at = FEW_SHARDS if place.slow_to_create else SHARDS_AIMED_AT
    row_bytes = sum(field.row_bytes for field in fields)
    chosen = Sharding(size, aimed_at, graph.text_seconds).choose(index.rows, row_bytes)
    return StoreLayout(fields, index.rows, chosen, "")


def _rows_done(target: Target | None, manifest: Manifest | None) -> int:
    if target is None or manifest is None:
        return 0
    markers = done_shards(target, manifest.layout(read_index(target, manifest))).values()
    return sum(marker.rows for marker in markers if not marker.provisional)


def _free(target: Target | None) -> int | None:
    """Return the bytes that there are for a store on a disk; None elsewhere."""
    if target is None or "://" in target.url:
        return None
    return shutil.disk_usage(next(one for one in Path(target.url).parents if one.is_dir())).free


def _billed(
    graph: Graph, index: CorpusIndex, text_bytes: int, seconds: float, client: Client
) -> tuple[Bill | None, list[str]]:
    """Return what the run will cost, or a note on what keeps that from being known."""
    try:
        return _bill(graph, index, text_bytes, seconds, client), []
    except Exception as error:  # noqa: BLE001 (what was measured is good, whatever it costs)
        return None, [f"what the run will cost is not known: {error}"]


def _bill(
    graph: Graph, index: CorpusIndex, text_bytes: int, seconds: float, client: Client
) -> Bill:
    from ..costs.bill import bill
    from ..costs.work import Work

    largest = max(index.files, key=lambda one: one.file.size).file
    work = Work(index.rows, text_bytes / index.rows, format=largest.format)
    return bill(work if is_default(graph) else None, seconds, elsewhere(client))


def _sample_notes(surveyed: Survey) -> list[str]:
    """Say what the sample is not of."""
    notes = []
    if not surveyed.counted:
        notes.append(
            "so large a corpus is counted by the run alone; here the fronts of "
            f"{len(surveyed.fronts):,} of its files say how many rows there are, about"
        )
    reach = REACH_BYTES if surveyed.counted else 0  # of a front: less than that
    front = [
        one.file.name
        for one in surveyed.index.files
        if (one.lengths and one.lengths.nbytes > reach)
        and (one.file.compression or (not surveyed.counted and FORMATS[one.file.format].front_only))
    ]
    if front:
        names = ", ".join(front[:3]) + (", ..." if len(front) > 3 else "")
        notes.append(f"{names}: cannot be entered in the middle; the sample is of the front")
    return notes
