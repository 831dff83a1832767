"""`SentGraph`: a run's graph on its way to the workers: sent once, loaded once per process.

A block may refer to much data, such as a table of word vectors, so the graph is not part of every
task. The client leaves it with dask's scheduler. The first task of a run in a worker process
fetches it, loads it, and checks whether the worker sees the corpus and the store. A corpus that
lies in memory is sent with it.

dask's own ways would not do: data that was scattered is lost with its worker, and tasks that depend
on a common task are all sent to the worker that has its result.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import socket
import sys
import sysconfig
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

import cloudpickle
from distributed.protocol.serialize import to_serialize
from distributed.utils import sync
from distributed.worker import get_worker

from ...graphs.graph import Graph
from ...storage.errors import LeaseLost, UnfitWorker
from ...storage.rows.in_memory import InMemory
from ...storage.store.leases.lease import LeaseTicket
from ...storage.targets.target import Target

if TYPE_CHECKING:
    from distributed import Client

KEEP_SECONDS = 30.0
"""Time after which a worker drops a graph that no task uses."""

_KEY = ("paninifs", "graphs")
"""Key of the scheduler's metadata under which graphs are left, one per store: the graph of a client
that was killed is replaced when the run is resumed."""


@dataclass(frozen=True)
class GraphKey:
    """What a task carries to find its run's graph."""

    store: str
    version: str  # of the run, and of the way in which the graph was pickled


class Sendable(Protocol):
    """A graph, or an objective: what can be sent to workers."""

    def pickled(self) -> bytes:
        """Return it as it is sent."""


class Requirement(Protocol):
    """What a worker must see to take part; see `Visible`."""

    @property
    def target(self) -> Target:
        """The store."""

    @property
    def ticket(self) -> LeaseTicket:
        """The lease under which it is written."""

    def problem(self) -> str | None:
        """Return what this process does not see, with the remedy, or None."""

    def hold(self) -> Sequence[InMemory]:
        """Return what this process holds from now on."""


class SentGraph:
    """A run's graph, or a climb's objective, left with the scheduler. Used by the client.

    Parameters
    ----------
    pickled : bytes
        The graph when the run was submitted; see `Graph.pickled`.

    Attributes
    ----------
    key : GraphKey
        Of the version that was sent last.
    pickled : bytes
        The graph as it is sent.
    """

    def __init__(
        self, client: Client, graph: Sendable, pickled: bytes, visible: Requirement
    ) -> None:
        self._client, self._graph, self._visible = client, graph, visible
        self.pickled = pickled
        # A path may mean another disk on another host that shares the cluster.
        store = f"{socket.gethostname()} {visible.target.url}"
        self._store = hashlib.sha256(store.encode(errors="surrogatepass")).hexdigest()[:16]
        self._by_value: list[ModuleType] = []
        self.key: GraphKey | None = None

    def send(self) -> GraphKey:
        """Leave the graph with the scheduler, unless it is there; return its key."""
        if self.key is None:
            key = GraphKey(self._store, uuid.uuid4().hex)
            sent = {
                "version": key.version,
                "graph": to_serialize(self.pickled),
                "visible": to_serialize(cloudpickle.dumps(self._visible)),
            }
            self._client.set_metadata([*_KEY, self._store], sent)
            self.key = key
        return self.key

    def include(self, module: str) -> bool:
        """Pickle the code of a module with the graph from now on; return whether that may help.

        It may if the module is the user's own, so that workers elsewhere cannot import it. It does
        not if the module belongs to an installed package, or if its code is pickled already.

        Raises
        ------
        GraphError
            The code cannot be pickled.
        """
        own = sys.modules.get(module.partition(".")[0])
        if own is None or own in self._by_value or _is_installed(own):
            return False
        self._by_value.append(own)
        self.key = None
        with self._included():
            self.pickled = self._graph.pickled()
        return True

    def withdraw(self) -> None:
        """Remove the graph from the scheduler."""
        if self.key is not None:
            self.key = None
            self._client.set_metadata([*_KEY, self._store], None)

    def check_owner(self) -> None:
        """Raise `LeaseLost` if another process owns the store: then no worker is to blame."""
        self._visible.ticket.check(self._visible.target)

    def dumps(self, value: Any) -> bytes:
        """Pickle a value that refers to the graph, without the graph; see `loads`."""
        buffer = io.BytesIO()
        with self._included():
            _Pickler(buffer).dump(value)
        return buffer.getvalue()

    @contextmanager
    def _included(self) -> Iterator[None]:
        with ExitStack() as registered:
            for module in self._by_value:
                cloudpickle.register_pickle_by_value(module)
                registered.callback(cloudpickle.unregister_pickle_by_value, module)
            yield


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    def persistent_id(self, value: object) -> tuple[str, ...] | None:
        """Return the names of the blocks of the graph, or of a part of it: a stage."""
        return tuple(block.name for block in value) if isinstance(value, Graph) else None


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes, graph: Graph) -> None:
        super().__init__(io.BytesIO(data))
        self._graph = graph

    def persistent_load(self, names: tuple[str, ...]) -> Graph:
        return self._graph if len(names) == len(self._graph) else self._graph.only(names)


def loads(data: bytes, graph: Graph) -> Any:
    """Unpickle what `SentGraph.dumps` pickled. Used by tasks."""
    return _Unpickler(data, graph).load()


def _is_installed(module: ModuleType) -> bool:
    """Return whether a module belongs to Python or to an installed package."""
    if module.__spec__ is None or not module.__spec__.has_location:
        return module.__name__ != "__main__"
    origin = Path(module.__spec__.origin or "")
    folders = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    return any(origin.is_relative_to(folder) for folder in folders)


# --- on a worker ----------------------------------------------------------------------------------


def this_worker() -> str | None:
    """Return the worker that runs this task and its host, in words; None outside of workers."""
    try:
        return f"worker {get_worker().address} on {socket.gethostname()}"
    except ValueError:
        return None


class CannotLoad(UnfitWorker):
    """A worker cannot load the graph, or a module that a block imports.

    Attributes
    ----------
    module : str or None
        The module that it lacks, if that is the reason.
    """

    def __init__(self, message: str, module: str | None = None) -> None:
        super().__init__(message, module)
        self.module = module

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass
class _Loaded:
    """A graph in this process; or why it cannot be used here."""

    graph: Any
    problem: CannotLoad | None
    contents: Sequence[InMemory] = ()  # files of the corpus that lie in memory
    users: int = 0
    used: float = field(default_factory=time.monotonic)


_loaded: dict[GraphKey, _Loaded] = {}
_lock = threading.Lock()


@contextmanager
def held_graph(key: GraphKey) -> Iterator[Any]:
    """Return the graph of a task, which all tasks of this process share.

    Raises
    ------
    UnfitWorker
        This worker cannot load the graph, or does not see what it must.
    LeaseLost
        The run that sent the graph has ended.
    """
    with _lock:
        loaded = _loaded.get(key)
        if loaded is None:
            loaded = _loaded[key] = _load(key)
            _drop_later(key)
        loaded.users += 1
    try:
        if loaded.graph is None:
            problem = loaded.problem
            assert problem is not None  # it is one or the other
            raise CannotLoad(*problem.args)
        yield loaded.graph
    finally:
        with _lock:
            loaded.users -= 1
            loaded.used = time.monotonic()


def _load(key: GraphKey) -> _Loaded:
    worker = get_worker()
    sent = sync(worker.loop, worker.scheduler.get_metadata, keys=[*_KEY, key.store], default=None)
    if sent is None or sent["version"] != key.version:
        raise LeaseLost("the run that this task belongs to has ended")
    here = this_worker()
    try:
        # They come from the client, whom dask trusts.
        graph, visible = (pickle.loads(sent[name]) for name in ("graph", "visible"))  # noqa: S301
    except ModuleNotFoundError as error:
        lacks = (
            f"{here} lacks the module {error.name!r}, which the blocks use: install it there, or "
            "send a file of your own with client.upload_file"
        )
        return _Loaded(None, CannotLoad(lacks, error.name))
    except Exception as error:  # noqa: BLE001 (an object's own code may raise anything)
        fails = f"{here} cannot load the blocks ({type(error).__name__}: {error})"
        return _Loaded(None, CannotLoad(fails))
    problem = visible.problem()
    if problem:
        return _Loaded(None, CannotLoad(f"{here} {problem}"))
    return _Loaded(graph, None, visible.hold())


def _drop_later(key: GraphKey) -> None:
    timer = threading.Timer(KEEP_SECONDS, _drop_unused, [key])
    timer.daemon = True
    timer.start()


def _drop_unused(key: GraphKey) -> None:
    with _lock:
        loaded = _loaded.get(key)
        if loaded is None:
            return
        if loaded.users == 0 and time.monotonic() - loaded.used >= KEEP_SECONDS:
            del _loaded[key]
            return
    _drop_later(key)
