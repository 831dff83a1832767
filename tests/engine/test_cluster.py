"""Clusters by name and by address, and who can reach them."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import warnings
from types import SimpleNamespace

import dask
import distributed
import psutil
import pytest
from distributed import Security
from distributed.utils import LoopRunner

import paninifs as pf
from paninifs.engine.cluster import local as local_cluster
from paninifs.engine.cluster import network
from paninifs.engine.worker import task
from paninifs.graphs.kernels.cpu import cpu_backend
from paninifs.storage.errors import BackendUnavailable, UnencryptedScheduler, UsageError


def test_printed_dashboard_link_answers(capsys):
    with pf.connect(workers=1):
        link = capsys.readouterr().out.strip().rsplit(" ", 1)[-1]
        with urllib.request.urlopen(link, timeout=30) as page:
            assert page.status == 200
            assert b"Dask" in page.read()


@pytest.mark.parametrize(("name", "workers"), [("cpu", 2), ("threads", 1)])
def test_local_cluster_and_dashboard_listen_on_loopback_only(name, workers):
    before = listening()
    with pf.connect(name, workers=workers, quiet=True):
        opened = listening() - before
        assert len(opened) >= 2 + workers  # scheduler, dashboard, workers
        assert {address for address, _ in opened} == {"127.0.0.1"}


def test_settings_of_a_first_cluster_do_not_break_the_next():
    """A fresh process: the first cluster imports `distributed` while a setting is changed."""
    setting = {"distributed.worker.multiprocessing-method": "spawn"}
    code = (
        "import dask, paninifs as pf\n"
        f"with dask.config.set({setting}), pf.connect('cpu', workers=1, quiet=True):\n"
        "    pass\n"
        "with pf.connect('cpu', workers=1, quiet=True) as client:\n"
        "    print(client.submit(sum, [1, 2]).result(timeout=60))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert ran.stdout.split()[-1:] == ["3"], ran.stderr


def listening():
    me = psutil.Process()
    return {
        connection.laddr
        for process in [me, *me.children(recursive=True)]
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }


@pytest.mark.parametrize("encrypted", [False, True])
def test_an_open_cluster_keeps_its_pages_on_loopback(encrypted):
    before, security = listening(), Security.temporary() if encrypted else None
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", UnencryptedScheduler)
        client = pf.connect("cpu", workers=1, host="0.0.0.0", security=security, quiet=True)
    with client:
        opened = listening() - before
        assert {address for address, _ in opened} == {"0.0.0.0", "127.0.0.1"}
        for address, port in opened:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as to:
                to.sendall(b"GET /status HTTP/1.0\r\n\r\n")
                to.settimeout(5)
                try:
                    answer = to.recv(1 << 16)
                except OSError:
                    answer = b""
            assert answer.startswith(b"HTTP/") == (address == "127.0.0.1")
        assert client.dashboard_link.startswith("http://127.0.0.1:")
        assert client.scheduler.address.startswith("tls://" if encrypted else "tcp://")
        assert client.submit(sum, [1, 2]).result() == 3
    told = [one for one in warned if one.category is UnencryptedScheduler]
    assert len(told) == (not encrypted)
    if told:
        assert told[0].filename == __file__
        assert "0.0.0.0 is open to other hosts" in str(told[0].message)


def test_threads_use_tls():
    with pf.connect("threads", security=Security.temporary(), quiet=True) as client:
        assert client.scheduler.address.startswith("tls://127.0.0.1:")
        assert client.submit(sum, [1, 2]).result() == 3


@pytest.mark.documented("open-scheduler")
@pytest.mark.parametrize(
    ("address", "warns"),
    [
        ("tcp://192.0.2.1:8786", True),
        ("tcp://no-such-host.invalid:8786", True),
        ("ucx://192.0.2.1:8786", True),
        ("tcp://[2001:db8::1]:8786", True),
        ("tls://192.0.2.1:8786", False),
        ("tcp://127.0.0.1:8786", False),
        ("tcp://[::1]:8786", False),
        ("tcp://localhost:8786", False),
    ],
)
def test_a_plain_scheduler_on_another_host_warns(monkeypatch, address, warns):
    def away(*_, **__):
        raise OSError("away")

    monkeypatch.setattr("distributed.Client.__init__", away)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with pytest.raises(BackendUnavailable, match="no dask scheduler answers at"):
            pf.connect(address)
    assert [one.category for one in warned] == [UnencryptedScheduler] * warns
    if warns:
        assert f"connect to tls://{address.partition('://')[2]}" in str(warned[0].message)
        assert warned[0].filename == __file__


def test_the_command_line_warns_in_a_sentence(tmp_path):
    (tmp_path / "a.txt").write_text("un\n")
    code = "from paninifs.engine.cli import main; main()"
    arguments = "run a.txt out.zarr --host 0.0.0.0 --cluster threads"
    ran = subprocess.run(
        [sys.executable, "-c", code, *arguments.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "warning: UnencryptedScheduler: the scheduler on 0.0.0.0 is open" in ran.stderr
    assert "cli.py" not in ran.stderr
    assert "dask dashboard: http://127.0.0.1:" in ran.stdout


def test_a_taken_dashboard_port_is_replaced():
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", local_cluster.DASHBOARD_PORT))
            taken.listen()
        except OSError:
            pass  # another process has it: the same to us
        with pf.connect(workers=1, quiet=True) as client:
            assert f":{local_cluster.DASHBOARD_PORT}/" not in client.dashboard_link


def test_threads_are_one_worker_in_this_process():
    with pf.connect("threads", threads=3, quiet=True) as client:
        assert list(client.run(os.getpid).values()) == [os.getpid()]
        assert list(client.nthreads().values()) == [3]
        assert client.dashboard_link.startswith(f"http://{network.LOOPBACK}:")
    with pytest.raises(UsageError, match="'threads' has one worker"):
        pf.connect("threads", workers=2)


def test_workers_find_the_kernels_compiled():
    with pf.connect(workers=1, quiet=True):
        hits = cpu_backend.prepare.cache_info()
    assert hits.currsize == 1  # by the client, before any worker needs them


def test_workers_keep_memory_for_reuse():
    with pf.connect(workers=1, quiet=True) as client:
        found = client.run(lambda: dict(os.environ))
    for name, value in local_cluster.WORKER_ENVIRONMENT.items():
        assert [one[name] for one in found.values()] == [str(value)]


def test_workers_tick_rarely():
    with pf.connect(workers=1, quiet=True) as client:
        found = client.run(
            lambda dask_worker: dask_worker.periodic_callbacks["tick"].callback_time  # milliseconds
        )
    assert list(found.values()) == [500]


def test_a_local_cluster_has_the_requested_size():
    with pf.connect(workers=2, threads=3, memory="512MiB", quiet=True) as client:
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        assert [worker["nthreads"] for worker in workers] == [3, 3]
        assert [worker["memory_limit"] for worker in workers] == [512 << 20] * 2


def test_running_scheduler_is_joined_by_its_address(client):
    with pf.connect(client.scheduler.address, quiet=True) as joined:
        assert joined.submit(sum, [1, 2]).result() == 3
    assert client.submit(sum, [3, 4]).result() == 7  # it is still running


def test_an_address_without_a_scheduler_is_an_error(monkeypatch):
    import dask

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(
            BackendUnavailable, match=r"no dask scheduler answers at tcp://127\.0\.0\.1:9"
        ),
    ):
        pf.connect("tcp://127.0.0.1:9", quiet=True)


def test_unknown_clusters_and_sizes_of_running_ones_are_refused(client):
    with pytest.raises(
        BackendUnavailable, match="unknown cluster 'gpu'; choose one of cpu, threads, cuda"
    ):
        pf.connect("gpu")
    with pytest.raises(UsageError, match="is already running"):
        pf.connect(client.scheduler.address, workers=2)


def test_a_script_without_a_main_guard_gets_advice(tmp_path):
    (tmp_path / "script.py").write_text("import paninifs as pf\npf.connect(workers=1)\n")
    ran = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 1
    assert 'under  if __name__ == "__main__":' in ran.stderr.splitlines()[-1]
    assert len(ran.stderr.splitlines()) < 15, ran.stderr


@pytest.mark.parametrize("guarded", [False, True])
def test_only_scripts_without_a_guard_get_the_advice(guarded, tmp_path):
    guard = 'if __name__ == "__main__":\n    ' if guarded else ""
    (tmp_path / "script.py").write_text(
        "import tempfile, dask, paninifs as pf\n"
        f"dask.config.set(temporary_directory={str(tmp_path / 'script.py')!r})\n"
        f"{guard}pf.connect(workers=1, host='192.0.2.1', quiet=True)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "script.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 1
    last = ran.stderr.splitlines()[-1]
    assert "BackendUnavailable: the cluster did not start" in last
    assert ('__name__ == "__main__"' in last) == (not guarded)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (TimeoutError("Nanny failed to start in 60 seconds"), "Nanny failed to start in 60 s"),
        (RuntimeError("Cluster failed to start: Nanny failed to start."), "Nanny failed to start"),
    ],
)
def test_a_cluster_that_cannot_start_says_why(monkeypatch, error, said):
    def fails(**_):
        raise RuntimeError("Cluster failed to start") from error

    monkeypatch.setattr("distributed.LocalCluster", fails)
    with pytest.raises(BackendUnavailable, match=f"did not start: .*{said}") as caught:
        pf.connect(workers=1, quiet=True)
    assert "__main__" not in str(caught.value)


@pytest.mark.parametrize(
    ("client", "said"),
    [
        (SimpleNamespace(submit=1, scheduler_info=1, asynchronous=True), "is asynchronous, and"),
        (SimpleNamespace(submit=1, scheduler_info=1, status="closed"), "the client is closed"),
        ("tcp://127.0.0.1:8786", "client must be a dask client, .* not a str"),
        (local_cluster, "client must be a dask client, .* not a module"),
    ],
)
def test_clients_that_no_run_can_use_are_refused(client, said, tmp_path):
    (tmp_path / "c.txt").write_text("one\n")
    corpus = pf.open_corpus(tmp_path / "c.txt")
    with pytest.raises(UsageError, match=said):
        pf.submit(pf.default_graph(), corpus, tmp_path / "r", client=client)
    assert not (tmp_path / "r").exists()


def test_an_asynchronous_client_is_refused_at_once(tmp_path):
    (tmp_path / "c.txt").write_text("one\n")
    corpus = pf.open_corpus(tmp_path / "c.txt")

    async def main():
        async with distributed.Client(processes=False, dashboard_address=":0", asynchronous=True):
            pf.submit(pf.default_graph(), corpus, tmp_path / "r")

    with pytest.raises(UsageError, match="the client is asynchronous"):
        asyncio.run(main())


def test_submit_without_a_cluster_says_what_to_call(tmp_path):
    (tmp_path / "c.txt").write_text("one\n")
    code = (
        "import paninifs as pf\n"
        "try: pf.submit(pf.default_graph(), pf.open_corpus('c.txt'), 'out.zarr')\n"
        "except pf.errors.UsageError as error: print(error)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "call paninifs.connect() first" in ran.stdout
    assert not (tmp_path / "out.zarr").exists()


@pytest.mark.parametrize("is_closed", [True, False])
def test_a_client_that_is_collected_waits_for_no_lock(is_closed):
    """The collector may run in any thread, while it holds the lock with which dask ends loops."""
    client = pf.connect("threads", workers=1, quiet=True)
    cluster = client.cluster
    if is_closed:
        client.close()
    collected = threading.Thread(target=client.__del__, daemon=True)
    with LoopRunner._lock:
        collected.start()
        collected.join(20)
        assert not collected.is_alive()
    until = time.monotonic() + 60
    while cluster.status is not distributed.Status.closed:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_ctrl_c_while_a_cluster_starts_closes_it(monkeypatch):
    made, owner = [], local_cluster._owner_of

    def pressed(cluster):
        os.kill(os.getpid(), signal.SIGINT)
        made.append(owner(cluster))
        return made[0]

    monkeypatch.setattr(local_cluster, "_owner_of", pressed)
    with pytest.raises(KeyboardInterrupt):
        pf.connect("threads", quiet=True)
    assert made[0].status == "closed"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


PROFILING = {
    "distributed.worker.profile.enabled": True,
    "distributed.worker.profile.interval": "1h",  # so rarely that this process does not deadlock
}


@pytest.mark.parametrize("kind", ["threads", "cpu"])
@pytest.mark.parametrize("deadlocks", [False, True])
def test_dasks_profiler_is_off_where_it_can_deadlock(monkeypatch, kind, deadlocks):
    monkeypatch.setattr(local_cluster, "PROFILING_DEADLOCKS", deadlocks)

    def profiles(dask_worker):
        return "profile" in dask_worker.periodic_callbacks

    with (
        dask.config.set(PROFILING),
        pf.connect(kind, workers=1, quiet=True) as client,
    ):
        assert set(client.run(profiles).values()) == {not deadlocks}


@pytest.mark.parametrize("deadlocks", [False, True])
def test_dasks_profiler_is_stopped_on_workers_of_the_users_own(monkeypatch, tmp_path, deadlocks):
    monkeypatch.setattr(task, "PROFILING_DEADLOCKS", deadlocks)
    (tmp_path / "c.txt").write_text("un\n")

    def profiles(dask_worker):
        return dask_worker.periodic_callbacks["profile"].is_running()

    with (
        dask.config.set(PROFILING),
        distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
    ):
        run = pf.submit(
            pf.default_graph(),
            pf.open_corpus(tmp_path),
            tmp_path / "s",
            client=client,
            progress=False,
        )
        run.result()
        assert set(client.run(profiles).values()) == {not deadlocks}


@pytest.mark.parametrize("workers", [100_000, (1, 100_000)])
def test_more_workers_than_fit_in_memory_are_refused(workers):
    with pytest.raises(UsageError, match=r"100,000 workers do not fit .* at most \d"):
        pf.connect("cpu", workers=workers, quiet=True)


@pytest.mark.parametrize("workers", [0, (0, 0), (3, 1), (-1, 2)])
def test_invalid_numbers_of_workers_are_refused(workers):
    with pytest.raises(UsageError, match="workers="):
        pf.connect("cpu", workers=workers, quiet=True)
