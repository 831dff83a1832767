"""A cluster over TLS, with the commands of deploy/docs/clusters.md: who can connect to it."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
import time

import dask
import psutil
import pytest
from distributed import Security
from paths import DEPLOY

import paninifs as pf
from paninifs.storage.errors import BackendUnavailable

GUIDE = DEPLOY / "docs/clusters.md"
PROGRAMS = {
    ".venv/bin/dask": [sys.executable, "-m", "dask"],
    ".venv/bin/paninifs": [sys.executable, "-c", "from paninifs.engine.cli import main; main()"],
}


def commands(name, **words):
    """Return the commands of a code block of the page, adapted to this machine."""
    (block,) = re.findall(rf"```sh {name}\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    words |= {name: shlex.join(program) for name, program in PROGRAMS.items()}
    words |= {"10.0.0.5": "127.0.0.1", "10.0.0.6": "127.0.0.1"}
    for word, here in words.items():
        block = block.replace(word, here)
    return block


def shell(script, cwd, **options):
    return subprocess.Popen(
        ["sh", "-ec", script],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def certificates(folder):
    folder.mkdir()
    made = shell(commands("certificates"), folder)
    assert (made.communicate(timeout=60), made.returncode)[1] == 0
    return folder / "tls"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A scheduler and workers; the folder with their certificates, and the scheduler's address."""
    folder = tmp_path_factory.mktemp("tls") / "ours"
    certificates(folder)
    port = free_port()
    words = {"8786": port, "127.0.0.1:8787": "127.0.0.1:0", "--host 10": f"--port {port} --host 10"}
    started = []
    try:
        started.append(shell("exec " + commands("scheduler", **words), folder))
        words = {"8786": port, "auto": "1"}
        started.append(shell("exec " + commands("worker", **words), folder))
        yield folder, f"tls://127.0.0.1:{port}", started
    finally:
        for process in started:
            for one in [*psutil.Process(process.pid).children(recursive=True), process]:
                one.kill()
            process.communicate()


def security(folder):
    return Security(
        tls_ca_file=str(folder / "tls/ca.pem"),
        tls_client_cert=str(folder / "tls/dask.pem"),
        tls_client_key=str(folder / "tls/dask.key"),
        require_encryption=True,
    )


def test_a_run_with_certificates_listens_with_tls_only(cluster):
    folder, address, started = cluster
    (folder / "corpus").mkdir()
    (folder / "corpus/a.txt").write_text("un\ndeux\n")
    port = address.rpartition(":")[2]
    ran = shell(commands("run", **{"8786": port, "/shared/": ""}), folder)
    printed, _ = ran.communicate(timeout=100)
    assert ran.returncode == 0, printed
    assert "2 of 2 done, 0 quarantined" in printed
    assert "UnencryptedScheduler" not in printed
    assert pf.open_results(folder / "results.zarr").attrs["complete"]
    processes = [psutil.Process(process.pid) for process in started]
    every = [*processes, *(child for one in processes for child in one.children(recursive=True))]
    opened = [c for one in every for c in one.net_connections("tcp") if c.status == "LISTEN"]
    assert {connection.laddr.ip for connection in opened} == {"127.0.0.1"}
    assert {path.stat().st_mode & 0o077 for path in (folder / "tls").iterdir()} == {0}


def test_certificates_passed_in_python_are_used(cluster):
    folder, address, _ = cluster
    with pf.connect(address, security=security(folder), quiet=True) as client:
        client.wait_for_workers(1, timeout=60)
        assert client.submit(sum, [1, 2]).result(timeout=60) == 3


@pytest.mark.parametrize("who", ["plain", "without a certificate", "of another authority"])
def test_clients_without_certificates_are_refused_quickly(cluster, tmp_path, who):
    _, address, _ = cluster
    given = None
    if who == "plain":
        address = address.replace("tls://", "tcp://")
    elif who == "of another authority":
        certificates(tmp_path / "theirs")
        given = security(tmp_path / "theirs")
    began = time.monotonic()
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "2s"}),
        pytest.raises(BackendUnavailable, match="no dask scheduler answers at") as raised,
    ):
        pf.connect(address, security=given, quiet=True)
    assert time.monotonic() - began < 20
    assert ("its address begins with tls://" if who == "plain" else "CLIENT__CERT") in str(
        raised.value
    )


def test_the_command_line_reports_it_in_a_sentence(cluster, tmp_path):
    _, address, _ = cluster
    (tmp_path / "a.txt").write_text("un\n")
    ran = subprocess.run(
        [*PROGRAMS[".venv/bin/paninifs"], "run", "a.txt", "out.zarr", "--cluster", address],
        cwd=tmp_path,
        env={**os.environ, "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "2s"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 2
    assert ran.stderr.startswith("error: no dask scheduler answers at tls://")
    assert "Traceback" not in ran.stderr
    assert not (tmp_path / "out.zarr").exists()
