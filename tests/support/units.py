"""Keeps unit tests honest: they start nothing, and take at most a second of processor time.

A pytest plugin; `tiers` says which tests are unit tests. While one of them runs, an attempt to
start a process, a dask cluster or a listening server fails with a message that says what to do.
Threads that were there before the test, such as those of the session's cluster, are let alone.

The limit is processor time of this process, all threads together, in the test's call. A busy
machine does not change it much, as it would the time on the clock. The first test that imports a
package, compiles a kernel or fills a cache pays for the others, so a test over the limit is run
once more, and fails if it is over it both times.
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
from _pytest.runner import runtestprotocol
from tiers import TIER

LIMIT = 1.0
"""Seconds of processor time in the call of a unit test."""

OVER_LIMIT = (
    "This unit test took {0:.2f} s of processor time, and when it was run again {1:.2f} s; "
    "the limit is {2:g} s. Make it smaller, or give the reason: "
    '@pytest.mark.slow("compiles every kernel").'
)
NOT_REPEATED = "This unit test took {0:.2f} s of processor time and fails when it is run again: {1}"
STARTED = (
    "A unit test must not start {}. Without it the test is faster; otherwise start it in the "
    "test's or a fixture's own code, or in a helper in the tests' folders, by a name listed in "
    "tests/support/tiers.py (STARTERS); then it is a test of the tier `cluster` or `service`."
)

PROCESSES = {"os.fork", "os.forkpty", "os.posix_spawn", "os.system", "subprocess.Popen"}
"""Audit events that start a process."""

COMPILERS = {"cpp", "g++"}
"""Allowed: the stand-in for CuPy has the host compile what NVRTC would compile in the process."""

_SECONDS = pytest.StashKey[float]()


class _Watch:
    """Refuses what the thread of a unit test, and those that it starts, must not do."""

    current = None  # while a unit test runs

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
            pytest.fail(self.refused)  # no `except Exception` hides it
        raise RuntimeError(self.refused)


def _audit(event, arguments):
    watch = _Watch.current
    if watch is None:
        return
    if event == "subprocess.Popen" and arguments[0] in COMPILERS:
        return
    if event in PROCESSES:
        watch.refuse(f"a process ({event}{arguments[:1] if arguments else ''})")
    elif event == "socket.bind":
        bound, address = arguments
        if bound.family in (socket.AF_INET, socket.AF_INET6) and bound.type == socket.SOCK_STREAM:
            watch.refuse(f"a server (it binds {address})")


def _guard(owner, name, what):
    """Let a method refuse while a unit test runs."""
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
    with suppress(ImportError):  # on a machine with a GPU, CuPy and little else
        import distributed

        _guard(distributed.SpecCluster, "__init__", "a dask cluster")
        _guard(distributed.Client, "__init__", "a dask client")


def pytest_configure():
    _add_audit_hook()


@functools.cache
def _add_audit_hook():
    sys.addaudithook(_audit)  # once: it cannot be taken off


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
    reports, seconds = _run(item, nextitem)
    is_slow = seconds > LIMIT and item.get_closest_marker("slow") is None
    if is_slow and all(report.passed for report in reports):
        item._initrequest()
        again, seconds_again = _run(item, nextitem)
        failed = [report for report in again if not report.passed]
        if failed:
            _fail(reports, NOT_REPEATED.format(seconds, failed[0].longreprtext))
        elif seconds_again > LIMIT:
            _fail(reports, OVER_LIMIT.format(seconds, seconds_again, LIMIT))
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _run(item, nextitem):
    """Run a test under the watch; return its reports and the processor time of its call."""
    _guard_classes()
    _Watch.current = _Watch()
    try:
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
    finally:
        _Watch.current = None
    return reports, item.stash.get(_SECONDS, 0.0)


def _fail(reports, message):
    (call,) = [report for report in reports if report.when == "call"]
    call.outcome, call.longrepr = "failed", message
