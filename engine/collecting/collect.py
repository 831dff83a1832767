"""`collect`: fills a corpus from a source."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...storage import COLLECTION_FOLDER
from ...storage.errors import LeaseLost, UsageError
from ...storage.filesystems.redaction import shown
from ...storage.messages.tracebacks import short_traceback
from ...storage.store.leases.lease import Lease
from ...storage.targets.open import open_target
from ..monitoring.collect_progress import CollectProgress
from ..monitoring.collecting.host_activity import HostActivity, Wait
from ..monitoring.display.collect_display import followed
from .collect_limits import Limits
from .collection import Collection
from .collector import Collector, CollectSpec, ToolBox
from .describing import EndedSession, describe
from .extraction.documents.html_pages.html_extractors import TRAFILATURA, require_html_extractor
from .extraction.pool_size import pool_size
from .ledger.database_location import database_folder, require_writable
from .ledger.ledger import Ledger, require_own
from .ledger.source_state import settings_of
from .pipeline.own_loop import Abandoned, run_in_thread
from .pipeline.session import Pace, Tools
from .pipeline.source_check import require_source
from .source import Source

if TYPE_CHECKING:
    from .pipeline.item_flow import Flow
    from .web.limits.hosts import HostFigures
    from .web.request_policy import RequestPolicy

_log = logging.getLogger(__name__)

MOST_DOCUMENT_BYTES = 64 << 20
"""Default for the largest document, in bytes."""

_QUEUED = 2
"""Items per host that are handed to `web` beyond the host's number of connections."""


@short_traceback
def collect(
    source: str | Source,
    corpus: str | PathLike[str],
    *,
    contact: str | None = None,
    options: Mapping[str, Any] | None = None,
    rate: float = 2.0,
    connections: int = 2,
    rates: Mapping[str, float] | None = None,
    allow_hosts: Iterable[str] = (),
    max_items: int | None = None,
    max_bytes: int | None = None,
    max_seconds: float | None = None,
    max_dollars: float | None = None,
    dollars_per_hour: float = 0.0,
    dollars_per_gib: float = 0.0,
    most_document_bytes: int = MOST_DOCUMENT_BYTES,
    html: str = TRAFILATURA,
    retry_failed: bool = False,
    refresh: bool = False,
    append: bool = False,
    flush_minutes: float = 10.0,
    processes: int | None = None,
    progress: bool = True,
    verbose: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    cache: str | PathLike[str] | None = None,
) -> Collection:
    """Fill a corpus from a source, politely, without duplicates, and resumably.

    Items are listed, fetched within the limits of each host, turned into text, and written in the
    order of listing as Parquet files, which `open_corpus` and `submit` read, also while more are
    added. Which rows are kept, and their order, depends on the source and on the servers' answers,
    not on timing or the number of connections. The same call resumes after any interruption,
    fetches nothing again that is stored already, and appends what the source has added since.

    Parameters
    ----------
    source : str or Source
        A text that `source_of` accepts (``"arxiv:cs.CL"``, ``"urls.txt"``, ``"documents/"``), or a
        `Source` object.
    corpus : str or path
        A folder for the corpus, or a URL of one; nothing else may be in it.
    contact : str, optional
        An e-mail address or a web page, sent with every request. Required for public hosts.
    options : mapping, optional
        Options of the source, if `source` is a str.
    rate, connections
        Maximum requests per second, and maximum connections, per host. Limits that a source's
        operator publishes cannot be raised.
    rates : mapping, optional
        Requests per second by host.
    allow_hosts : iterable of str
        Hosts that may have a private or local address.
    max_items, max_bytes, max_seconds, max_dollars : optional
        Limits over all sessions: items listed, bytes received, seconds, US dollars.
    dollars_per_hour, dollars_per_gib : float
        Prices of this machine and of what it receives, for `max_dollars`.
    most_document_bytes : int
        Size of the largest document that is accepted, in bytes.
    html : {"trafilatura", "resiliparse"}
        What extracts the main text of web pages: trafilatura, or resiliparse, which is several
        times faster and keeps more of menus and notices. A collection is resumed with the one that
        it was begun with.
    retry_failed : bool
        Retry items that failed for a transient reason; those that are kept now are appended.
    refresh : bool
        List all items again, ask servers which have changed, and append those.
    append : bool
        Add a source from which the corpus was already collected, with other settings.
    flush_minutes : float
        Minutes after which decided items are committed, however few.
    processes : int, optional
        Number of processes that extract texts; by default one per processor.
    progress, verbose : bool
        Show progress; show details too.
    storage_options : mapping, optional
        For fsspec, if `corpus` is a URL.
    cache : path, optional
        Folder on a local disk for the working database; by default the user's cache.

    Returns
    -------
    Collection

    Raises
    ------
    UsageError
        An argument is wrong, the folder holds other files, or another collector is writing there
        (`LeaseHeld`).
    PaniniError
        Collecting failed; what was decided is kept, and the same call resumes.
    KeyboardInterrupt
        The user interrupted it; likewise.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from paninifs.engine.collecting.listed_item import Item, Page
    >>> class Rhymes(Source):
    ...     name = "rhymes"
    ...
    ...     async def pages(self, web, cursor):
    ...         texts = ["Humpty Dumpty sat on a wall.", "Little Jack Horner sat in the corner."]
    ...         items = [Item(key=str(n), text=text, lang="en") for n, text in enumerate(texts)]
    ...         yield Page(items=tuple(items), cursor="end")
    >>> found = collect(Rhymes(), mkdtemp(), progress=False)
    >>> found.counts["kept"], found.complete, found.parts
    (2, True, ['part-000000.parquet'])
    """
    chosen = _source(source, options)
    require_source(chosen)
    limits = Limits(
        items=max_items,
        received_bytes=max_bytes,
        seconds=max_seconds,
        dollars=max_dollars,
        dollars_per_hour=dollars_per_hour,
        dollars_per_gib=dollars_per_gib,
    )
    url = os.fspath(corpus)
    target = open_target(url, storage_options)
    spec = CollectSpec(
        source=chosen,
        target=target,
        folder=database_folder(target.url, cache),
        html=require_html_extractor(html),
        limits=limits,
        pace=Pace(flush_seconds=_minutes(flush_minutes), extracting=2 * pool_size(processes)),
        retry_failed=retry_failed,
        refresh=refresh,
        append=append,
    )
    policy = _policy(
        chosen,
        contact=contact or "",
        per_second=rate,
        connections_per_host=connections,
        rates=dict(rates or {}),
        allow_hosts=frozenset(allow_hosts),
        most_bytes=most_document_bytes,
    )
    counting = CollectProgress(most_items=max_items, most_bytes=max_bytes, most_seconds=max_seconds)
    began = datetime.now(UTC)
    require_own(target)
    require_writable(spec.folder, "give another folder as cache=, or set XDG_CACHE_HOME")
    require_writable(policy.cache, "set XDG_CACHE_HOME to a folder that can be written")
    with (
        Lease.acquire(open_target(_beside(url), storage_options)) as lease,
        followed(
            counting,
            source=chosen.name,
            corpus=shown(url),
            progress_shown=progress,
            verbose=verbose,
        ),
    ):
        held = (lease.ticket, open_target(_beside(url), storage_options))
        collector = Collector(spec, _toolbox(policy, processes, html), counting, held)

        def described() -> Ledger | None:
            ended = EndedSession(
                source=chosen,
                html=html,
                given=source if isinstance(source, str) else "",
                contact=contact or "",
                limits={name: value for name, value in vars(limits).items() if value},
                began=began,
                figures=counting.snapshot(),
            )
            ledger = Ledger.read(target)
            if ledger is not None:
                describe(target, ledger, ended)
            return ledger

        try:
            _run(collector, counting)
        except (Abandoned, LeaseLost):
            raise  # without cards: they would take time, or are the new owner's task
        except BaseException:
            try:
                described()
            except Exception:  # noqa: BLE001 (what has failed before is what the user needs to know)
                _log.warning("could not write the data card of %s", shown(url), exc_info=True)
            raise
        ledger = described()
    complete = ledger is not None and all(one.complete for one in ledger.state.sources)
    return Collection(url, target, counting.snapshot(), complete=complete)


def _run(collector: Collector, progress: CollectProgress) -> Flow:
    """Run a collector, and report how it ended."""
    try:
        flow = run_in_thread(collector)
    except KeyboardInterrupt:
        progress.finished("stopped", "it was interrupted")
        raise
    except BaseException as error:
        progress.finished("failed", str(error) or type(error).__name__)
        raise
    assert flow.ending is not None
    progress.finished(flow.ending, flow.why)
    return flow


def _source(source: str | Source, options: Mapping[str, Any] | None) -> Source:
    if isinstance(source, str | PathLike):
        from .sources.source_registry import source_of

        return source_of(os.fspath(source), **(options or {}))
    if isinstance(source, type) and issubclass(source, Source):
        raise UsageError(f"source must be an object of the class: {source.__name__}(...)")
    if not isinstance(source, Source):
        raise UsageError(
            f"source must be a text such as 'arxiv:cs.CL' or a Source, not {source!r:.80}"
        )
    if options:
        raise UsageError("options= needs a source that is named by a str, such as 'arxiv:cs.CL'")
    settings_of(source)
    return source


def _minutes(value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise UsageError(f"flush_minutes must be a positive number, not {value!r}")
    return value * 60


def _beside(corpus: str) -> str:
    """Return the URL of the folder of the ledger, which the lease is in."""
    base = corpus if corpus.endswith("://") else f"{corpus.rstrip('/')}/"
    return f"{base}{COLLECTION_FOLDER}"


def _policy(source: Source, **settings: Any) -> RequestPolicy:
    from .web.request_policy import RequestPolicy

    return RequestPolicy(**settings).sharing(source.name, source.limits)


def _toolbox(policy: RequestPolicy, processes: int | None, html: str) -> ToolBox:
    """Return a function that makes a session's tools: web client, processes, language model."""

    @asynccontextmanager
    async def tools(folder: Path) -> AsyncIterator[Tools]:  # noqa: ARG001
        from .extraction.pool import ExtractionPool
        from .extraction.text_language import language_of
        from .web.http_web import HttpWeb

        async with HttpWeb(policy) as web, ExtractionPool(processes, html=html) as pool:
            yield Tools(
                web=web,
                pool=pool,
                detect=language_of,
                received=lambda: web.received,
                # A few are queued for the host's next turn, so that no turn is wasted.
                connections=lambda host: policy.limit_of(host).connections + _QUEUED,
                hosts=lambda: {name: _activity(name, one) for name, one in web.hosts.items()},
            )

    return tools


def _activity(name: str, one: HostFigures) -> HostActivity:
    """Return the figures of a host in the form that displays take."""
    waiting: Wait = ""
    seconds = None
    if one.paused:
        waiting, seconds = "retry-after", one.paused
    elif one.asking:
        waiting = "answer"
    elif one.waiting:
        waiting, seconds = "rate", 1 / one.per_second
    return HostActivity(
        host=name,
        requests=one.requests,
        received_bytes=one.received,
        waiting=waiting,
        wait_seconds=seconds,
        last_error=one.last_error,
    )
