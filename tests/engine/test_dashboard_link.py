"""The link to dask's dashboard: one that opens in the browser that its reader has."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import types
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import dask
import pytest
from distributed import Client
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

import paninifs as pf
from paninifs.engine.monitoring.dashboard import link as links
from paninifs.engine.monitoring.dashboard.link import opened

DIRECT = "http://127.0.0.1:8787/status"
PROXY = "https://8787-abc.colab.example"
SAYS = (
    "COLAB_RELEASE_TAG",
    "JPY_PARENT_PID",
    "JUPYTERHUB_PUBLIC_URL",
    "JUPYTERHUB_SERVICE_PREFIX",
    "KAGGLE_KERNEL_RUN_TYPE",
    "VERTEX_PRODUCT",
    "VSCODE_PROXY_URI",
)


@pytest.fixture(autouse=True)
def _nowhere_in_particular(monkeypatch):
    for name in SAYS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(links, "_answers", {})


# --- which link -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "url", "note"),
    [
        ({}, DIRECT, ""),
        (
            {"JUPYTERHUB_SERVICE_PREFIX": "/user/x/"},
            "/user/x/proxy/8787/status",
            "relative to the address of your Jupyter server",
        ),
        (
            {
                "JUPYTERHUB_SERVICE_PREFIX": "/user/x/",
                "JUPYTERHUB_PUBLIC_URL": "https://hub.example/user/x/",
            },
            "https://hub.example/user/x/proxy/8787/status",
            "",
        ),
        (
            {"VSCODE_PROXY_URI": "https://code.example/proxy/{{port}}/"},
            "https://code.example/proxy/8787/status",
            "",
        ),
        (
            {"VSCODE_PROXY_URI": "https://{{port}}--main--box.example"},
            "https://8787--main--box.example/status",
            "",
        ),
        ({"VSCODE_PROXY_URI": "./proxy/{{port}}"}, DIRECT, ""),  # relative to who knows what
        ({"KAGGLE_KERNEL_RUN_TYPE": "Interactive"}, DIRECT, "no browser can reach it"),
        ({"VERTEX_PRODUCT": "COLAB_ENTERPRISE"}, DIRECT, "ssh -L 8787:127.0.0.1:8787 MACHINE"),
    ],
)
def test_the_link_is_that_of_whatever_carries_the_page(monkeypatch, environment, url, note):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    link = opened(DIRECT)
    assert link.url == url
    assert note in link.note
    assert bool(note) == bool(link.note)


@pytest.mark.parametrize("place", [{}, {"JUPYTERHUB_SERVICE_PREFIX": "/user/x/"}])
def test_the_page_that_is_asked_for_is_linked_to(monkeypatch, place):
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    assert opened(DIRECT, "paninifs").url.endswith("8787/paninifs")


@pytest.mark.parametrize(
    "direct",
    [
        "http://10.0.0.5:8787/status",
        "https://gateway.example/clusters/7/status",
        "https://127.0.0.1:8787/status",  # proxies speak plain http to this machine
        "/user/x/proxy/8787/status",
    ],
)
def test_a_dashboard_that_is_elsewhere_stays_there(monkeypatch, direct):
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/x/")
    assert opened(direct) == links.DashboardLink(direct)


def test_what_the_user_has_set_wins(monkeypatch, capsys):
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/x/")
    with (
        dask.config.set({"distributed.dashboard.link": "http://127.0.0.1:{port}/graph"}),
        pf.connect("threads", threads=1) as client,
    ):
        assert client.dashboard_link.endswith("/graph")
        assert client.dashboard_link.startswith("http://127.0.0.1:")
        assert f"dask dashboard: {client.dashboard_link}\n" in capsys.readouterr().out


# --- one function decides -------------------------------------------------------------------------


def test_connect_client_and_run_say_the_same(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("VSCODE_PROXY_URI", "https://{{port}}.example")
    (tmp_path / "c.txt").write_text("un\n")
    with pf.connect("threads", threads=1) as client:
        said = capsys.readouterr().out.strip().rpartition(" ")[2]
        corpus = pf.open_corpus(tmp_path / "c.txt")
        run = pf.submit(
            pf.default_graph(), corpus, tmp_path / "out.zarr", client=client, progress=False
        )
        assert said == client.dashboard_link == run.dashboard_link
        assert said.endswith(".example/paninifs")
        run.result()
        with Client(client.scheduler.address) as joined:  # by other means than ours
            assert links.dashboard_link(joined, "paninifs").url == said


def test_a_scheduler_without_a_dashboard_is_told_in_words(monkeypatch, capsys):
    class Bare:
        @property
        def dashboard_link(self):
            raise KeyError("dashboard")  # as dask's own client does

    links.announce(links.dashboard_link(Bare()))
    assert capsys.readouterr().out == "dask dashboard: (the scheduler has no dashboard)\n"


# --- Colab ----------------------------------------------------------------------------------------


@pytest.fixture
def colab(monkeypatch):
    """Colab, with a browser that gives the answer that a test sets."""
    asked = []

    def eval_js(script, ignore_result=False, timeout_sec=None):
        asked.append((script, timeout_sec))
        if isinstance(fake.answer, Exception):
            raise fake.answer
        return fake.answer

    fake = types.SimpleNamespace(answer=f"{PROXY}/", asked=asked)
    package = types.ModuleType("google.colab")
    package.output = types.SimpleNamespace(eval_js=eval_js)
    monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", package)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab-external")
    return fake


def test_colab_is_asked_once_where_it_serves_the_port(colab):
    for _ in range(2):
        link = opened(DIRECT, "paninifs")
        assert link.url == f"{PROXY}/paninifs"
        assert 'serve_kernel_port_as_iframe(8787, path="/paninifs")' in link.note
    ((script, seconds),) = colab.asked
    assert script == "google.colab.kernel.proxyPort(8787, {'cache': false})"
    assert 0 < seconds < 30  # for ever, where it is not said


@pytest.mark.parametrize(
    "answer", [None, "", "http://127.0.0.1:8787/", {"url": PROXY}, RuntimeError("no browser")]
)
def test_a_colab_that_does_not_answer_is_told_in_words_once(colab, answer):
    colab.answer = answer
    for _ in range(2):
        link = opened(DIRECT)
        assert link.url == DIRECT
        assert 'output.serve_kernel_port_as_iframe(8787, path="/status")' in link.note
        assert "no browser reported" in link.note
    assert len(colab.asked) == 1


def test_only_the_thread_that_runs_cells_waits_for_colab_and_all_know_its_answer(colab):
    def elsewhere():
        said = []
        asking = threading.Thread(target=lambda: said.append(opened(DIRECT).url))
        asking.start()
        asking.join()
        return said

    assert elsewhere() == [DIRECT]
    assert colab.asked == []
    assert opened(DIRECT).url == f"{PROXY}/status"
    assert elsewhere() == [f"{PROXY}/status"]
    assert len(colab.asked) == 1


def test_a_script_in_colab_asks_no_browser(colab, monkeypatch):
    monkeypatch.setattr("rich.console._is_jupyter", lambda: False)
    assert opened(DIRECT).url == DIRECT
    assert colab.asked == []


# --- a Jupyter server, for real -------------------------------------------------------------------

TOKEN = "of-the-test"


def listens(url):
    found = urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((found.hostname, found.port)) == 0


@contextmanager
def jupyter(folder, *, proxy, hub=False):
    """A Jupyter server on loopback, under a prefix; yields its address and what it has run."""
    environment = {**os.environ, "JUPYTER_RUNTIME_DIR": str(folder / "runtime")}
    if hub:
        environment["JUPYTERHUB_SERVICE_PREFIX"] = "/user/x/"
    settings = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": 0,
        "ServerApp.base_url": "/user/x/",
        "ServerApp.root_dir": str(folder),
        "ServerApp.jpserver_extensions": f"{{'jupyter_server_proxy': {proxy}}}",
        "IdentityProvider.token": TOKEN,
    }
    command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root"]
    command += [f"--{name}={value}" for name, value in settings.items()]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
    try:
        told = folder / "runtime" / f"jpserver-{server.pid}.json"
        while not told.exists() or not told.read_text().strip():
            assert server.poll() is None, (folder / "log").read_text()
            time.sleep(0.05)
        url = json.loads(told.read_text())["url"].rstrip("/")
        while not listens(url):  # the file may be there before
            assert server.poll() is None, (folder / "log").read_text()
            time.sleep(0.05)
        yield url
    finally:
        server.terminate()
        server.wait()


def ask(url, data=None):
    request = urllib.request.Request(url, data, {"Authorization": f"token {TOKEN}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read()


async def closed(socket):
    """Close a websocket and wait until it is; else it warns, some time, of being open."""
    socket.close()
    while await socket.read_message() is not None:
        pass


async def outputs_of(server, code):
    """Run code in a new kernel of a server; return what a notebook's cell would show."""
    kernel = json.loads(ask(f"{server}/api/kernels", b"{}"))["id"]
    address = server.replace("http://", "ws://")
    channel = await websocket_connect(f"{address}/api/kernels/{kernel}/channels?token={TOKEN}")
    header = {"msg_id": "1", "msg_type": "execute_request", "session": "s", "username": ""}
    content = {"code": code, "silent": False}
    await channel.write_message(
        json.dumps(
            {
                "header": header | {"version": "5.3"},
                "parent_header": {},
                "metadata": {},
                "content": content,
                "channel": "shell",
            }
        )
    )
    shown = []
    while True:
        message = json.loads(await channel.read_message())
        if message["parent_header"].get("msg_id") != "1":
            continue
        if message["msg_type"] in ("stream", "display_data", "error", "execute_result"):
            shown.append(message["content"])
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            await closed(channel)
            return shown


async def document_of(url, origin):
    """Return what a page of bokeh's draws, by its websocket, as a browser has it."""
    (token,) = set(re.findall(r'"token":\s*"([^"]+)"', ask(url).decode()))
    headers = {"Authorization": f"token {TOKEN}", "Host": urlsplit(origin).netloc, "Origin": origin}
    request = HTTPRequest(f"{url.replace('http://', 'ws://')}/ws", headers=headers)
    socket = await websocket_connect(request, subprotocols=["bokeh", token])
    kind = None
    while kind != "PULL-DOC-REPLY":
        header, _, content = [json.loads(await socket.read_message()) for _ in range(3)]
        for _ in range(2 * header.get("num_buffers", 0)):  # each with a header of its own
            await socket.read_message()
        kind = header["msgtype"]
        if kind == "ACK":  # before it nothing is listened to
            for part in ({"msgid": "1", "msgtype": "PULL-DOC-REQ"}, {}, {}):
                await socket.write_message(json.dumps(part))
    await closed(socket)
    return content["doc"]["roots"]


def test_the_live_page_may_come_from_the_host_of_a_proxy():
    with pf.connect("threads", threads=1, quiet=True) as client:
        drawn = asyncio.run(asyncio.wait_for(document_of(client.dashboard_link, PROXY), 30))
        assert [one["attributes"]["name"] for one in drawn] == ["paninifs"]


CELL = """
import os, sys
sys.path[:0] = [{root!r}]
import paninifs as pf
client = pf.connect("threads", threads=1)
"""


@pytest.mark.parametrize("hub", [False, True])
def test_the_link_opens_through_a_jupyter_server_with_its_live_page(tmp_path, hub):
    with jupyter(tmp_path, proxy=True, hub=hub) as server:
        root = str(Path(pf.__file__).parents[1])
        shown = asyncio.run(asyncio.wait_for(outputs_of(server, CELL.format(root=root)), 60))
        (page,) = [one["data"]["text/html"] for one in shown if "data" in one]
        link = page.partition('href="')[2].partition('"')[0]
        assert link.startswith("/user/x/proxy/")
        assert "http://127.0.0.1" not in page
        url = server.removesuffix("/user/x") + link
        assert b"Dask Diagnostic UI" in ask(url)
        with urllib.request.urlopen(url, timeout=30) as page:  # it is for who may log in
            assert b"Dask" not in page.read()
        tunnel = "http://localhost:9000"  # of ssh -L
        drawn = asyncio.run(asyncio.wait_for(document_of(url, tunnel), 30))
        assert [one["attributes"]["name"] for one in drawn] == ["paninifs"]


@pytest.mark.soak("starts Jupyter servers")
@pytest.mark.parametrize("hub", [False, True])
def test_no_link_leads_through_a_jupyter_server_that_has_no_proxy(tmp_path, hub):
    with jupyter(tmp_path, proxy=False, hub=hub) as server:
        root = str(Path(pf.__file__).parents[1])
        shown = asyncio.run(asyncio.wait_for(outputs_of(server, CELL.format(root=root)), 60))
        (text,) = [one["text"] for one in shown if "dask dashboard" in one.get("text", "")]
        assert "dask dashboard: http://127.0.0.1:" in text
