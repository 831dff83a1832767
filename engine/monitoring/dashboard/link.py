"""`dashboard_link`: the URL under which the user's browser reaches the dashboard of a cluster.

The dashboard of a local cluster listens on loopback. If the browser runs elsewhere, a notebook
service or a Jupyter server may proxy the page; this module finds out which one, and the URL.
"""

from __future__ import annotations

import html
import http.client
import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from ...hardware.loopback import is_loopback
from ...hardware.platform import current_platform

if TYPE_CHECKING:
    from distributed import Client

PAGE = "status"
"""Dashboard page that the link opens by default."""

_DASK_DEFAULT = "{scheme}://{host}:{port}/status"  # dask's default for its link setting
_COLAB_SECONDS = 5.0  # timeout for the browser's answer
_JUPYTER_SECONDS = 2.0
_WITHOUT_PROXY = {
    "Kaggle": "it is on this session's machine, where no browser can reach it; a run's own display "
    "works without it",
    "Vertex AI": "it is on this machine, and no proxy to it is known; with ssh access: "
    "ssh -L {port}:127.0.0.1:{port} MACHINE",
}


@dataclass(frozen=True)
class DashboardLink:
    """A link, and a note on how to use it."""

    url: str  # starts with / if only the browser knows the address of Jupyter
    note: str = ""  # a sentence, without its full stop

    def __str__(self) -> str:
        """Return the link for a terminal.

        >>> print(DashboardLink("/proxy/8787/status", "at Jupyter's own address"))
        /proxy/8787/status (at Jupyter's own address)
        """
        return f"{self.url} ({self.note})".lstrip() if self.note else self.url

    def _repr_html_(self) -> str:
        url = html.escape(self.url, quote=True)
        note = f" ({html.escape(self.note)})" if self.note else ""
        return f'dask dashboard: <a href="{url}" target="_blank">{url}</a>{note}'


def announce(link: DashboardLink) -> None:
    """Print a link, or display it as HTML if only the notebook page can complete it."""
    from rich.console import Console

    if link.url.startswith("/") and Console().is_jupyter:
        from IPython.display import display

        display(link)  # type: ignore[no-untyped-call]
    else:
        print(f"dask dashboard: {link}")  # noqa: T201 (what the user asked for)


def dashboard_link(client: Client, page: str = PAGE) -> DashboardLink:
    """Return the link to the dashboard of a client's cluster, for the user of this process."""
    try:
        # A client made by `connect` returns the result of this function as its dashboard_link.
        direct = getattr(client, "direct_dashboard_link", None)
        direct = client.dashboard_link if direct is None else direct
    except KeyError:  # a scheduler without a dashboard
        direct = ""
    return (
        opened(str(direct), page) if direct else DashboardLink("", "the scheduler has no dashboard")
    )


def opened(direct: str, page: str = PAGE) -> DashboardLink:
    """Return the link for opening a dashboard that dask reports at `direct`.

    The user's setting of ``distributed.dashboard.link`` has precedence, and a dashboard on another
    machine keeps its address.

    Examples
    --------
    >>> str(opened("http://10.0.0.5:8787/status"))
    'http://10.0.0.5:8787/status'
    """
    import dask

    parts = urlsplit(direct)
    if dask.config.get("distributed.dashboard.link", _DASK_DEFAULT) != _DASK_DEFAULT:
        return DashboardLink(direct)
    if parts.scheme != "http" or parts.port is None or not is_loopback(parts.hostname or ""):
        return DashboardLink(direct)
    here = DashboardLink(urljoin(direct, page))  # next to dask's own pages, with any prefix
    if current_platform().name == "Colab":
        return _in_colab(here, parts.port, page)
    template = os.environ.get("VSCODE_PROXY_URI", "")  # set by code-server and Coder
    if template.startswith("http"):
        proxy = template.replace("{{port}}", str(parts.port))
        return DashboardLink(f"{proxy.rstrip('/')}/{page}")
    note = _WITHOUT_PROXY.get(current_platform().name or "", "").format(port=parts.port)
    return _in_jupyter(parts.port, page) or DashboardLink(here.url, note)


# --- Colab ----------------------------------------------------------------------------------------


def _in_colab(here: DashboardLink, port: int, page: str) -> DashboardLink:
    inside = (
        "from google.colab import output; "
        f'output.serve_kernel_port_as_iframe({port}, path="/{page}")'
    )
    proxy = _colabs_proxy(port)
    if proxy is None:
        note = (
            "on Colab's machine; no browser reported Colab's proxy for it, so run in a cell: "
            f"{inside}"
        )
        return DashboardLink(here.url, note)
    note = f"for you only, while the notebook is open; if your browser blocks it, run: {inside}"
    return DashboardLink(urljoin(proxy, f"/{page}"), note)


def _can_ask_colab() -> bool:
    """Return whether this is a notebook's main thread, the only one that may wait for answers."""
    from rich.console import Console

    return Console().is_jupyter and threading.current_thread() is threading.main_thread()


_answers: dict[int, str | None] = {}
"""Colab's answers, by port. Without a browser, a notebook would wait for the timeout each time."""


def _colabs_proxy(port: int) -> str | None:
    """Return the URL at which Colab proxies a port of its machine to this user; None if unknown."""
    if port not in _answers and _can_ask_colab():
        _answers[port] = _ask_colab(port)
    return _answers.get(port)


def _ask_colab(port: int) -> str | None:
    """Ask the notebook page in the browser for the URL, which only the page knows."""
    question = f"google.colab.kernel.proxyPort({port}, {{'cache': false}})"
    try:
        from google.colab import output

        answer = output.eval_js(question, timeout_sec=_COLAB_SECONDS)
    except Exception:  # noqa: BLE001 (on any error, the note says what to do instead)
        return None
    return answer if isinstance(answer, str) and answer.startswith("https://") else None


# --- Jupyter --------------------------------------------------------------------------------------


def _in_jupyter(port: int, page: str) -> DashboardLink | None:
    """Return the link through jupyter-server-proxy; None if that is not installed.

    On JupyterHub, and thus on Binder, it is assumed to be installed unless the server denies it.
    """
    server = _own_server()
    base = os.environ.get("JUPYTERHUB_SERVICE_PREFIX") or server.get("base_url", "")
    proxy = f"{base}proxy/{port}/"
    if not base or not _has(server, f"{proxy}health", "JUPYTERHUB_SERVICE_PREFIX" in os.environ):
        return None
    public = os.environ.get("JUPYTERHUB_PUBLIC_URL")  # if the hub is configured with it
    if public:
        return DashboardLink(urljoin(public, f"{proxy}{page}"))
    return DashboardLink(f"{proxy}{page}", "relative to the address of your Jupyter server")


def _own_server() -> dict[str, Any]:
    """Return the description of the Jupyter server that started this process; empty if unknown."""
    parent = os.environ.get("JPY_PARENT_PID", "")
    if not parent.isdigit():
        return {}
    try:
        from jupyter_core.paths import jupyter_runtime_dir

        server = json.loads(
            Path(jupyter_runtime_dir(), f"jpserver-{parent}.json").read_text("utf-8")
        )
    except (ImportError, OSError, ValueError):
        return {}
    return server if isinstance(server, dict) else {}


def _has(server: dict[str, Any], path: str, otherwise: bool) -> bool:
    """Return whether a Jupyter server has a page; `otherwise` if it cannot be reached.

    The request has no token, so the server answers with a login page, or with 404 if the page does
    not exist.
    """
    if not server.get("port") or server.get("secure"):
        return otherwise
    connection = http.client.HTTPConnection(
        server.get("hostname") or "localhost", server["port"], timeout=_JUPYTER_SECONDS
    )
    try:
        connection.request("GET", path)
        return connection.getresponse().status != http.HTTPStatus.NOT_FOUND
    except (OSError, http.client.HTTPException):
        return otherwise
    finally:
        connection.close()
