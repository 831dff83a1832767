"""The runs of this process that go on, and what happens to them at its end.

A run goes on in the background, and ends with the process. A script that has submitted a run and
reaches its end, or the end of its client's ``with`` block, waits for it; one that ends with an
exception, and a notebook that is closed, stop it.
"""

from __future__ import annotations

import builtins
import concurrent.futures.thread  # noqa: F401 (it is to be shut down after this module's runs)
import os
import sys
import threading
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from ...cluster.leaving import before_leaving

STOP_SECONDS = 10.0
"""Seconds to wait for a run that was stopped, so that its lease is released."""

CLOSED = (
    "the client was closed before the run had finished: call run.result() before client.close(), "
    "or before its 'with' block ends; submit again to resume"
)
"""Message for a run whose client was closed."""


def is_closed(client: Any) -> bool:
    """Return whether a client was closed, or is about to be: its calls may then never return."""
    return getattr(client, "status", "running") in ("closing", "closed")


class Going(Protocol):
    """The part of a `Background` that is needed here."""

    noun: str
    again: str
    results: str
    cancelled: bool

    @property
    def done(self) -> bool:
        """Whether it has ended."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has ended."""

    def result(self, timeout: float | None = None) -> Any:
        """Wait for its result."""

    def cancel(self) -> None:
        """Stop it."""

    def abandon(self) -> None:
        """Release what it holds of the store, if it does not stop."""

    def is_on(self, client: Any) -> bool:
        """Return whether it uses a client."""


_active: list[Going] = []
_unheard: dict[int, str] = {}
"""Errors of failed runs whose result has not been requested yet."""
_lock = threading.Lock()
_hooks: list[bool] = []  # not empty: the hooks below are installed


def going() -> Sequence[Going]:
    """Return the runs that have not ended yet, the oldest first."""
    with _lock:
        return list(_active)


def await_cancelled(url: str) -> None:
    """Wait for the end of the runs into a store that were cancelled in this process."""
    for run in going():
        if run.results == url and run.cancelled:
            run.wait(STOP_SECONDS)


def is_interactive() -> bool:
    """Return whether a person types the commands of this process, one after the other."""
    return bool(sys.flags.interactive) or hasattr(sys, "ps1") or hasattr(builtins, "get_ipython")


def began(run: Going) -> None:
    """Note that a run has begun."""
    with _lock:
        _active.append(run)
        if not _hooks:
            _hooks.append(True)
            os.register_at_fork(after_in_child=_active.clear)  # the child lacks their threads
            before_leaving.append(_leave)
            # Not atexit, whose functions run when no thread pool takes work any more. Python has
            # no public name for this.
            register = getattr(threading, "_register_atexit", None)
            if register is not None:
                register(_at_exit)


def ended(run: Going, error: BaseException | None) -> None:
    """Note that a run has ended, and why."""
    with _lock:
        _active.remove(run)
        if error is not None and not run.cancelled:
            _unheard[id(run)] = f"the {run.noun} of {run.results} failed: {error}"


def heard(run: Going) -> None:
    """Note that the result of a run was asked for."""
    _unheard.pop(id(run), None)


def stop(runs: Iterable[Going]) -> None:
    """Stop runs, and wait a little for each to end."""
    stopped = list(runs)
    for run in stopped:
        run.cancel()
    for run in stopped:
        run.wait(STOP_SECONDS)


def _leave(client: Any, in_order: bool) -> None:
    """Wait for a client's runs at the end of its block; stop them if the block raised."""
    _finish(
        [run for run in going() if run.is_on(client) and not run.cancelled],
        in_order,
        "at the end of the client's 'with' block",
    )


def _at_exit() -> None:
    runs = [run for run in going() if not run.cancelled]
    raised = hasattr(sys, "last_type") or hasattr(sys, "last_exc")  # of the script
    _finish(runs, not raised and not is_interactive(), "before the program ends")
    if not is_interactive():
        for why in list(_unheard.values()):
            _say(why)


def _finish(runs: list[Going], in_order: bool, when: str) -> None:
    if not runs:
        return
    try:
        if in_order:
            for run in runs:
                _say(
                    f"waiting for the {run.noun} of {run.results} {when}; call its result() to "
                    "wait for it earlier. Ctrl-C stops it"
                )
                run.wait()
            return
    except BaseException:
        _stop_aloud(runs)
        raise
    _stop_aloud(runs)


def _stop_aloud(runs: list[Going]) -> None:
    going = [run for run in runs if not run.done]
    if going:
        _say(
            "stopping; if blocks run on threads of this process, the call that is going on is "
            "waited for, at most half a minute"
        )
    stop(going)
    for run in going:
        _say(f"the {run.noun} was stopped; {run.results} keeps what is done. {run.again}")


def _say(sentence: str) -> None:
    print(f"paninifs: {sentence}", file=sys.stderr, flush=True)  # noqa: T201 (for the user)
