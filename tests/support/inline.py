"""A stand-in for a dask client that runs every task in this process, when it is submitted.

It is meant for tests of what a run produces, not of how it is executed: a run takes a tenth of a
second and needs no cluster. It implements the part of `distributed.Client` that `submit` and
`rehearse` use, and the part of a worker that a task uses. Tasks are pickled as for a real worker,
and retried as often as dask would retry them.

It cannot run tasks in parallel, lose or add workers, cancel a task (none is ever in flight), show a
dashboard or return before a task has finished. Tests of these use the fixture `client`.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import threading
import time
from collections import defaultdict, deque
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace

import cloudpickle
import dask
import distributed
import psutil
from dask.sizeof import sizeof
from distributed.deploy.local import LocalCluster

ADDRESS = "inproc://this-process"


class _Cluster(LocalCluster):
    """A local cluster of threads, as far as the engine checks; it starts nothing."""

    processes = False
    status = distributed.Status.closed

    def __init__(self):
        pass

    def __repr__(self):
        return "no cluster: tasks run in this process"

    _repr_html_ = None


class _Loop:
    """An event loop, as far as `distributed.utils.sync` uses it."""

    asyncio_loop = SimpleNamespace(is_closed=lambda: False)

    def add_callback(self, callback):
        async def call():
            await callback()

        threading.Thread(target=lambda: asyncio.run(call())).start()


class _Scheduler:
    """The part of a scheduler that a task uses."""

    def __init__(self, client):
        self._client = client

    async def get_metadata(self, keys, default=None):
        found = self._client.get_metadata(keys, default)
        return found and {name: getattr(value, "data", value) for name, value in found.items()}

    async def log_event(self, topic, msg):
        self._client.log_event(topic, msg)


class _Worker:
    """The part of a worker that a task uses."""

    address = ADDRESS
    id, name, nanny = "Worker-inline", "inline", None
    status = distributed.Status.running
    loop = _Loop()

    def __init__(self, client):
        self._client = client
        self.scheduler = _Scheduler(client)
        self.state = SimpleNamespace(nthreads=1)
        self.memory_manager = SimpleNamespace(memory_limit=psutil.virtual_memory().total)

    def log_event(self, topic, message):
        self._client.log_event(topic, message)

    @contextmanager
    def at_work(self):
        """Make `distributed.get_worker` return this worker."""
        from distributed import worker as module

        with ExitStack() as stack:
            stack.enter_context(module.set_thread_state(execution_state={"worker": self}, key=""))
            if hasattr(module, "_worker_cvar"):  # since dask 2026.3
                token = module._worker_cvar.set(self)
                stack.callback(module._worker_cvar.reset, token)
            yield


class _Future:
    """A finished task."""

    def __init__(self, key, value=None, error=None):
        self.key, self._value, self._error = key, value, error
        self.status = "finished" if error is None else "error"

    def done(self):
        return True

    def result(self, timeout=None):
        if self._error is not None:
            raise self._error
        return self._value

    def release(self):
        pass


class _Completed:
    """`distributed.as_completed`, for futures that are all complete."""

    def __init__(self, futures=(), *, with_results=False, raise_errors=True):
        assert with_results is not raise_errors  # what is used
        self._futures, self._with_results = deque(futures), with_results

    def add(self, future):
        self._futures.append(future)

    def is_empty(self):
        return not self._futures

    def has_ready(self):
        return bool(self._futures)

    def next(self):
        future = self._futures.popleft()
        if not self._with_results:
            return future
        try:
            return future, future.result()
        except BaseException as error:  # noqa: BLE001 (as dask gives them)
            return future, (type(error), error, None)


class InlineClient:
    """Runs tasks when they are submitted; see the module's docstring for what it cannot do."""

    direct_dashboard_link = dashboard_link = ""
    loop = "none: see _replace_as_completed"
    id = "inline"
    scheduler = None

    def __init__(self):
        _replace_as_completed()
        self.cluster = _Cluster()
        self._worker = _Worker(self)
        self._numbers = itertools.count()
        self._handlers = defaultdict(list)
        self._metadata = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, function, *args, key=None, retries=0, **options):
        """Run a task in this thread; return a future with its result or error."""
        for name in ("pure", "priority", "workers", "allow_other_workers"):
            options.pop(name, None)
        sent = cloudpickle.dumps((function, args, options))
        key = key or f"inline-{next(self._numbers)}"
        for _ in range(retries + 1):
            try:
                with self._worker.at_work():
                    called, given, named = cloudpickle.loads(sent)
                    return _Future(key, called(*given, **named))
            except Exception as error:  # noqa: BLE001 (raised by the future)
                problem = error
        return _Future(key, error=problem)

    def get(self, graph, keys, sync=True, **options):
        """Compute keys of a dask graph; return futures in the structure of the keys."""
        assert not sync
        graph = graph.__dask_graph__() if hasattr(graph, "__dask_graph__") else graph
        sent = cloudpickle.dumps(dict(graph))
        with self._worker.at_work():
            values = dask.get(cloudpickle.loads(sent), keys)
        self._sizes = {str(key): sizeof(value) for key, value in zip(keys, values, strict=True)}
        return [_Future(str(key), value) for key, value in zip(keys, values, strict=True)]

    def nbytes(self, keys, summary=True):
        return {key: self._sizes[key] for key in keys}

    def gather(self, futures):
        return [future.result() for future in futures]

    @contextmanager
    def as_current(self):
        yield self

    def run(self, function, *args):
        """Run a function on the only worker."""
        return {ADDRESS: self.submit(function, *args).result()}

    def cancel(self, futures):
        pass

    def nthreads(self):
        return {ADDRESS: 1}

    def retire_workers(self, workers):
        pass

    def register_plugin(self, plugin):
        pass

    def scheduler_info(self, n_workers=-1):
        metrics = {"cpu": 0.0, "memory": 0, "spilled_bytes": {"disk": 0}, "task_counts": {}}
        worker = {
            "metrics": metrics,
            "nthreads": 1,
            "memory_limit": self._worker.memory_manager.memory_limit,
            "status": "running",
            "last_seen": time.time(),
            "local_directory": "",
        }
        return {"workers": {ADDRESS: worker}}

    def get_metadata(self, keys, default=None):
        return self._metadata.get(tuple(keys), default)

    def set_metadata(self, keys, value):
        self._metadata[tuple(keys)] = value

    def get_events(self, topic=None):
        return ()

    def subscribe_topic(self, topic, handler):
        self._handlers[topic].append(handler)

    def unsubscribe_topic(self, topic):
        self._handlers.pop(topic, None)

    def log_event(self, topic, message):
        for handler in self._handlers.get(topic, ()):
            handler((time.time(), message))


@functools.cache
def _replace_as_completed():
    """Make `distributed.as_completed` accept the futures of an `InlineClient`."""
    original = distributed.as_completed

    @functools.wraps(original, updated=())
    def as_completed(futures=(), loop=None, **options):
        if loop is InlineClient.loop:
            return _Completed(futures, **options)
        return original(futures, loop=loop, **options)

    distributed.as_completed = as_completed
