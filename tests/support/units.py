"""Enforce the limits of unit tests: they start nothing, and use a second of processor time at most.

A pytest plugin. Which tests are unit tests is decided in `tiers`. While one of them runs, an
attempt to start a process, a dask cluster or a listening server fails, with a message that says
what to do. Threads that existed before the test, such as those of the session's cluster, are
exempt.

The limit applies to the processor time of this process, over all threads, during the test's call.
It depends less on other load than elapsed time, but it does where cores and caches are shared; so a
test fails only at one and a half times the limit, and a slower processor gets a higher one. The
first test that imports a package, compiles a kernel or fills a cache pays for later ones, so a test
over the limit is run again, and fails if it exceeds the limit both times.
"""

from __future__ import annotations

import functools
import socket
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.process import BaseProcess

import pytest
from _pytest.doctest import DoctestItem
from _pytest.runner import runtestprotocol
from tiers import TIER

LIMIT = 1.0
"""Processor time that the call of a unit test may use, in seconds."""

TOLERANCE = 1.5
"""How many times the limit a test may use where other processes share the processor's caches."""

LOOP_SECONDS = 0.026
"""Processor time of `_loop` on the machine where `LIMIT` was set, in seconds."""

OVER_LIMIT = (
    "This unit test used {0:.2f} s of processor time, and {1:.2f} s when it was run again, "
    "more than {2:.2g} s. Make it smaller, or give the reason: "
    '@pytest.mark.slow("compiles every kernel").'
)
NOT_REPEATED = (
    "This unit test used {0:.2f} s of processor time, and fails when it is run again: {1}"
)
STARTED = (
    "A unit test must not start {}. If the test can do without it, use a replacement, such as the "
    "fixture `inline` instead of a cluster. Otherwise start it in the code of the test, a fixture "
    "or a helper in the tests' folders, with a function listed in tests/support/tiers.py "
    "(STARTERS); then the test belongs to the tier `cluster` or `service`."
)

PROCESSES = {"os.fork", "os.forkpty", "os.posix_spawn", "os.system", "subprocess.Popen"}
"""Audit events of starting a process."""

COMPILERS = {"cpp", "g++"}
"""Permitted programs: the stand-in for CuPy runs g++, where CuPy compiles within the process."""

PROBES = {"file"}
"""Permitted programs: numpy_groupies asks `file` about Python when flox is first imported."""

_SECONDS = pytest.StashKey[float]()


class _Watch:
    """Refuse what a unit test must not do, in its thread and in those that it starts."""

    current = None  # the instance for the unit test that is running

    def __init__(self):
        self._test = threading.get_ident()
        self._others = {thread.ident for thread in threading.enumerate()} - {self._test}
        self.refused = None

    def refuse(self, what):
        thread = threading.get_ident()
        if thread in self._others:
            return
        self.refused = STARTED.format(what)
        if thread == self._test:
            pytest.fail(self.refused)  # an `except Exception` in the test does not hide it
        raise RuntimeError(self.refused)


def _audit(event, arguments):
    watch = _Watch.current
    if watch is None:
        return
    if event == "subprocess.Popen" and arguments[0] in {*COMPILERS, *PROBES}:
        return
    if event in PROCESSES:
        watch.refuse(f"a process ({event}{arguments[:1] if arguments else ''})")
    elif event == "socket.bind":
        bound, address = arguments
        if bound.family in (socket.AF_INET, socket.AF_INET6) and bound.type == socket.SOCK_STREAM:
            watch.refuse(f"a server (it binds {address})")


def _guard(owner, name, what):
    """Make a method fail while a unit test runs."""
    method = vars(owner)[name]

    @functools.wraps(method)
    def guarded(*args, **kwargs):
        if _Watch.current is not None:
            _Watch.current.refuse(what)
        return method(*args, **kwargs)

    setattr(owner, name, guarded)


@functools.cache
def _guard_classes():
    _guard(BaseProcess, "start", "a process (multiprocessing)")
    with suppress(ImportError):  # `make test-gpu` needs only CuPy and pytest
        import distributed

        _guard(distributed.SpecCluster, "__init__", "a dask cluster")
        _guard(distributed.Client, "__init__", "a dask client")


def pytest_configure():
    _add_audit_hook()


@functools.cache
def _add_audit_hook():
    sys.addaudithook(_audit)  # once, because it cannot be removed


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    began = time.process_time()
    try:
        result = yield
    finally:
        item.stash[_SECONDS] = time.process_time() - began
    if _Watch.current is not None and _Watch.current.refused:
        pytest.fail(_Watch.current.refused, pytrace=False)
    return result


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    if item.stash.get(TIER, None) != "unit":
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    # A doctest loses its module's names when it ends, and the second run needs them.
    names = dict(item.dtest.globs) if isinstance(item, DoctestItem) else {}
    reports, seconds = _run(item, nextitem)
    exempt = any(map(item.get_closest_marker, ("slow", "gpu")))
    if seconds > LIMIT and not exempt and all(report.passed for report in reports):
        item._initrequest()
        if names:
            item.dtest.globs.update(names)
        again, seconds_again = _run(item, nextitem)
        failed = [report for report in again if not report.passed]
        if failed:
            _fail(reports, NOT_REPEATED.format(seconds, failed[0].longreprtext))
        elif min(seconds, seconds_again) > (most := _most()):
            _fail(reports, OVER_LIMIT.format(seconds, seconds_again, most))
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _run(item, nextitem):
    """Run a test; return its reports and the processor time of its call, in seconds."""
    _guard_classes()
    _Watch.current = _Watch()
    try:
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
    finally:
        _Watch.current = None
    return reports, item.stash.get(_SECONDS, 0.0)


def _most():
    """Return at how many seconds a test fails on this processor."""
    return TOLERANCE * LIMIT * max(1.0, _loop() / LOOP_SECONDS)


def _loop():
    """Return the processor time of a fixed loop, in seconds: how fast this processor is now."""
    began, value = time.process_time(), 0
    for number in range(1_000_000):
        value ^= number
    return time.process_time() - began


def _fail(reports, message):
    (call,) = [report for report in reports if report.when == "call"]
    call.outcome, call.longrepr = "failed", message
