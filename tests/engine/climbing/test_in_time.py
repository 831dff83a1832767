"""`in_time`: a function that does not return, also one that holds Python's lock."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time

import pytest

from paninifs.engine.climbing.in_time import in_time


def test_the_calls_of_a_thread_are_made_in_one_other_thread():
    seen = {in_time(threading.get_ident, 10, ends_process=False) for _ in range(5)}
    assert len(seen) == 1
    assert threading.get_ident() not in seen


def test_an_error_is_raised_again():
    with pytest.raises(ZeroDivisionError):
        in_time(lambda: 1 / 0, 10, ends_process=False)
    assert in_time(lambda: 3, 10, ends_process=False) == 3


def test_a_late_answer_is_not_the_next_ones():
    late = threading.Event()
    assert in_time(lambda: late.wait(10) and "late", 0.05, ends_process=False) is None
    late.set()
    time.sleep(0.05)
    assert in_time(lambda: "next", 10, ends_process=False) == "next"


ENDS = """
    import ctypes, sys, time
    from paninifs.engine.climbing import in_time as module
    module.GRACE_SECONDS = 0.2
    function = (lambda: time.sleep(60)) if sys.argv[1] == "sleeps" else (
        lambda: ctypes.PyDLL(None).sleep(60)  # with the lock
    )
    print(module.in_time(lambda: "first", 5, ends_process=True), flush=True)
    time.sleep(1)
    print(module.in_time(function, 0.2, ends_process=True), flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize(("how", "printed"), [("sleeps", "first\nNone\n"), ("locks", "first\n")])
def test_the_process_of_a_call_that_hangs_ends(how, printed):
    began = time.monotonic()
    command = [sys.executable, "-c", textwrap.dedent(ENDS), how]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert (ended.returncode, ended.stdout) == (1, printed), ended.stderr
    assert time.monotonic() - began < 50
