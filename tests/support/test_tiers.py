"""The plugins `tiers` and `units`, with small files of planted tests."""

from __future__ import annotations

import json
import os
from importlib import import_module

import pytest
from paths import SUPPORT
from tiers import STARTERS

TIERS_OF_ALL = """
    import json
    from pathlib import Path

    import pytest
    from tiers import TIER

    def pytest_collection_finish(session):
        tiers = {item.name: item.stash[TIER] for item in session.items}
        marked = all(item.get_closest_marker(tiers[item.name]) for item in session.items)
        Path("tiers.json").write_text(json.dumps(tiers | {"marked": marked}))

    @pytest.fixture
    def nothing():
        return 1

    @pytest.fixture
    def server():
        import subprocess
        return subprocess.Popen(["true"])

    @pytest.fixture
    def through(server):
        return server
"""
HELPER = """
    import subprocess
    import paninifs as pf

    class Shell:
        def run(self):
            subprocess.run(["true"])

    class Quiet:
        pass

    def cluster():
        return pf.connect()

    def deeper():
        return cluster()
"""
COLLECTED = """
    import functools
    import subprocess
    from contextlib import contextmanager
    from threading import Thread

    import helper
    import pytest
    from distributed import LocalCluster
    from helper import Quiet, Shell, deeper
    from paninifs import connect

    def quiet():
        "Names `connect`, and subprocess.run, in words alone."

    @contextmanager
    def connected():
        with connect() as client:
            yield client

    class Mine(LocalCluster):
        pass

    TABLE = {"quiet": [quiet], "cluster": (1, functools.partial(deeper))}
    BELOW = {"process": {"all": [Shell]}}

    def test_unit(): assert quiet
    def test_unit_with_a_fixture(nothing, tmp_path): pass
    def test_unit_with_words(): assert "subprocess.run" and quiet.__doc__
    def test_unit_with_a_thread(): Thread(target=quiet).start()
    def test_unit_with_a_class(): Quiet()
    @pytest.mark.parametrize("value", ["server", 1])
    def test_unit_with_parameters(value): pass

    def test_cluster_by_name(): connect()
    def test_cluster_by_import():
        from distributed import Client
        Client("x")
    def test_cluster_by_a_helper(): helper.deeper()
    def test_cluster_by_a_manager():
        with connected(): pass
    def test_cluster_by_a_class(): Mine()
    def test_cluster_by_a_table(): TABLE["cluster"]
    @pytest.mark.parametrize("make", [helper.cluster])
    def test_cluster_by_a_parameter(make): make()
    def test_cluster_within():
        def inner(): return [connect for _ in "ab"]
        inner()
    def test_cluster_by_a_command():
        from typer.testing import CliRunner
        CliRunner().invoke(None, ["run", "corpus"])
    def test_unit_by_another_command():
        from typer.testing import CliRunner
        CliRunner().invoke(None, ["show", "store"])

    def test_service_by_name(): subprocess.run(["true"])
    def test_service_by_a_method(): Shell().run()
    def test_service_by_a_table(): BELOW["process"]
    def test_service_by_a_fixture(through): pass
    @pytest.mark.usefixtures("server")
    def test_service_by_a_mark(): pass
    @pytest.mark.parametrize("name", ["server"])
    def test_service_by_the_name_of_a_fixture(request, name): request.getfixturevalue(name)
    @pytest.mark.parametrize("name", ["nothing"])
    def test_unit_by_the_name_of_a_fixture(request, name): request.getfixturevalue(name)
    def test_service_and_cluster(server): connect()
    def test_service_by_pytester(pytester): pass
"""


@pytest.fixture
def planted(pytester, monkeypatch):
    """Run planted tests with the two plugins, in a process of their own."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(SUPPORT), os.environ["PYTHONPATH"]]))

    def run(tests, *arguments, conftest="", **modules):
        pytester.makeconftest(conftest)
        pytester.makepyfile(test_planted=tests, **modules)
        plugins = ("-p", "pytester", "-p", "tiers", "-p", "units", "-p", "no:cacheprovider")
        return pytester.runpytest_subprocess(*plugins, *arguments)

    run.path = pytester.path
    return run


def test_the_tier_is_that_of_all_that_a_test_reaches(planted):
    ran = planted(COLLECTED, "--collect-only", conftest=TIERS_OF_ALL, helper=HELPER)
    assert ran.ret == 0
    tiers = json.loads((planted.path / "tiers.json").read_text())
    assert tiers.pop("marked")
    assert len(tiers) == 26
    assert {name: tier for name, tier in tiers.items() if tier != name.split("_")[1]} == {}


def test_doctests_have_tiers_too(planted):
    examples = '''
        def add(a, b):
            """
            >>> add(1, 2)
            3
            """
            return a + b

        def start():
            """
            >>> import subprocess
            >>> _ = subprocess.run(["true"])
            """
    '''
    ran = planted(examples, "--doctest-modules", "-m", "service", "-v")
    ran.assert_outcomes(passed=1, deselected=1)
    ran.stdout.fnmatch_lines(["*test_planted.start PASSED*"])


HIDDEN = """
    import importlib
    import os
    import socket
    import threading
    from contextlib import suppress

    import pytest

    def named(module, name):
        return getattr(importlib.import_module(module), name)

    def test_a_process(): named("subprocess", "run")(["true"])
    def test_a_fork():
        if named("os", "fork")() == 0:
            os._exit(0)
    def test_a_worker(): named("multiprocessing", "Process")(target=print).start()
    def test_a_cluster(): named("distributed", "LocalCluster")(processes=False)
    def test_a_client(): named("distributed", "Client")("tcp://127.0.0.1:9")
    def test_a_server(): named("socket", "create_server")(("127.0.0.1", 0))
    def test_a_thread_that_listens():
        def listen():
            with suppress(RuntimeError):
                named("socket", "create_server")(("127.0.0.1", 0))
        thread = threading.Thread(target=listen)
        thread.start()
        thread.join()
    def test_an_error_that_is_caught():
        with suppress(Exception):
            named("subprocess", "run")(["true"])

    @pytest.fixture
    def started():
        return named("subprocess", "run")(["true"])

    def test_a_fixture(started): pass

    def test_allowed_are_other_sockets(tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)  # a socket's path may have only a hundred bytes
        for one in socket.socketpair():
            one.close()
        with socket.socket(socket.AF_UNIX) as one, socket.socket(type=socket.SOCK_DGRAM) as other:
            one.bind("s")
            other.bind(("127.0.0.1", 0))
    def test_allowed_is_a_compiler(): named("subprocess", "run")(["cpp", "--version"])
    def test_allowed_is_another_tier():
        import subprocess
        subprocess.run(["true"])
"""


def test_a_unit_test_that_starts_something_fails(planted):
    ran = planted(HIDDEN, "-W", "ignore")
    ran.assert_outcomes(failed=8, errors=1, passed=3)
    assert ran.stdout.str().count("Failed: A unit test must not start") >= 8
    for what in ("a process (subprocess.Popen", "a process (os.fork", "a process (multiprocessing"):
        ran.stdout.fnmatch_lines([f"*must not start {what}*"])
    ran.stdout.fnmatch_lines(["*must not start a dask cluster*tests/support/tiers.py (STARTERS)*"])
    ran.stdout.fnmatch_lines(["*must not start a server (it binds ('127.0.0.1', 0))*"])


TIMED = """
    import time

    import pytest

    def busy(seconds=0.2):
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass

    times = []

    def test_busy(): busy()
    @pytest.mark.slow("computes for long")
    def test_busy_with_a_reason(): busy()
    def test_busy_the_first_time():
        if "first" not in times:
            busy()
        times.append("first")
    def test_busy_and_never_again():
        assert "never" not in times
        times.append("never")
        busy()
    def test_waits(): time.sleep(0.2)
    def test_is_quick(): pass
    def test_busy_and_wrong():
        busy()
        assert False
    def test_of_another_tier():
        import subprocess
        busy(0.2 if subprocess.run else 0)
    @pytest.fixture
    def prepared():
        busy()
    def test_busy_in_a_fixture(prepared): pass

    def documented():
        \"\"\"
        >>> _ = "documented" in times or busy()
        >>> times.append("documented")
        \"\"\"
"""


def test_a_unit_test_over_the_limit_fails(planted):
    ran = planted(
        TIMED,
        "-v",
        "--doctest-modules",
        conftest="import units\nunits.LIMIT, units.LOOP_SECONDS = 0.1, 9",
    )
    ran.assert_outcomes(failed=3, passed=7)
    for name, outcome in [
        ("busy", "FAILED"),
        ("busy_with_a_reason", "PASSED"),
        ("busy_the_first_time", "PASSED"),
        ("busy_and_never_again", "FAILED"),
        ("waits", "PASSED"),
        ("busy_and_wrong", "FAILED"),
        ("of_another_tier", "PASSED"),
        ("busy_in_a_fixture", "PASSED"),
    ]:
        ran.stdout.fnmatch_lines([f"*::test_{name} {outcome}*"])
    ran.stdout.fnmatch_lines(["*more than 0.15 s. Make it smaller, or give the reason: @*"])
    ran.stdout.fnmatch_lines(["*and fails when it is run again: *"])


@pytest.mark.parametrize("mark", ["slow", "slow()", "soak", "soak(reason='x')", "slow(3)"])
def test_a_marker_needs_its_reason(planted, mark):
    tests = f"import pytest\n@pytest.mark.{mark}\ndef test_it(): pass\n"
    ran = planted(tests, "-o", "markers=slow\nsoak")
    assert ran.ret == pytest.ExitCode.USAGE_ERROR
    ran.stderr.fnmatch_lines(["*test_it: @pytest.mark.s* needs a reason, as in @pytest.mark.*"])


def test_what_the_package_starts_is_where_the_table_says():
    for name in STARTERS:
        if name.startswith("paninifs."):
            module, _, function = name.rpartition(".")
            assert callable(getattr(import_module(module), function))
