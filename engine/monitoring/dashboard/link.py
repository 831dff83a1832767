"""Where a reader's own browser finds the dashboard of a cluster of this machine.

It listens on loopback. Where the browser is elsewhere, a notebook service or a Jupyter server may
carry the page to it; which of them does, and under which address, is decided here and nowhere else.
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
"""What the link leads to, of the pages that the dashboard has."""

_DASKS_OWN = "{scheme}://{host}:{port}/status"  # its setting where nobody has said otherwise
_COLAB_SECONDS = 5.0  # for the browser to answer, where there is one
_JUPYTER_SECONDS = 2.0
_WITHOUT_PROXY = {
    "Kaggle": "it is of this session's machine, and we know of no way to it from a browser; a "
    "run's own display needs none",
    "Vertex AI": "it is of this machine, and we know of no proxy to it; where you have ssh: "
    "ssh -L {port}:127.0.0.1:{port} MACHINE",
}


@dataclass(frozen=True)
class DashboardLink:
    """A link, and what its reader has to know of it."""

    url: str  # from a / on where only the browser knows what Jupyter's own address is
    note: str = ""  # a sentence, without its full stop

    def __str__(self) -> str:
        """Return it for a terminal.

        >>> print(DashboardLink("/proxy/8787/status", "at Jupyter's own address"))
        /proxy/8787/status (at Jupyter's own address)
        """
        return f"{self.url} ({self.note})".lstrip() if self.note else self.url

    def _repr_html_(self) -> str:
        url = html.escape(self.url, quote=True)
        note = f" ({html.escape(self.note)})" if self.note else ""
        return f'dask dashboard: <a href="{url}" target="_blank">{url}</a>{note}'


def announce(link: DashboardLink) -> None:
    """Print a link, or show it where only the notebook's page can make it whole."""
    from rich.console import Console

    if link.url.startswith("/") and Console().is_jupyter:
        from IPython.display import display

        display(link)  # type: ignore[no-untyped-call]
    else:
        print(f"dask dashboard: {link}")  # noqa: T201 (what the user asked for)


def dashboard_link(client: Client, page: str = PAGE) -> DashboardLink:
    """Return where this process's user can open the dashboard of a client's cluster."""
    try:
        # A client of `connect` has what this returns as its dashboard_link.
        direct = getattr(client, "direct_dashboard_link", None)
        direct = client.dashboard_link if direct is None else direct
    except KeyError:  # a scheduler that was started without
        direct = ""
    return opened(str(direct), page) if direct else DashboardLink("", "the scheduler has none")


def opened(direct: str, page: str = PAGE) -> DashboardLink:
    """Return the link under which a dashboard can be opened that dask says is at `direct`.

    Whatever the user has set as dask's ``distributed.dashboard.link`` wins, and a dashboard of
    another machine is left where it is.

    Examples
    --------
    >>> str(opened("http://10.0.0.5:8787/status"))
    'http://10.0.0.5:8787/status'
    """
    import dask

    parts = urlsplit(direct)
    if dask.config.get("distributed.dashboard.link", _DASKS_OWN) != _DASKS_OWN:
        return DashboardLink(direct)
    if parts.scheme != "http" or parts.port is None or not is_loopback(parts.hostname or ""):
        return DashboardLink(direct)
    here = DashboardLink(urljoin(direct, page))  # beside dask's own, under whatever prefix
    if current_platform().name == "Colab":
        return _in_colab(here, parts.port, page)
    template = os.environ.get("VSCODE_PROXY_URI", "")  # of code-server, and of Coder
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
        note = f"of Colab's machine, and no browser said where Colab shows it; in a cell: {inside}"
        return DashboardLink(here.url, note)
    note = f"for you alone, while the notebook is open; if your browser refuses it: {inside}"
    return DashboardLink(urljoin(proxy, f"/{page}"), note)


def _can_ask_colab() -> bool:
    """Whether a cell of a notebook is being run, by the only thread that may wait for answers."""
    from rich.console import Console

    return Console().is_jupyter and threading.current_thread() is threading.main_thread()


_answers: dict[int, str | None] = {}
"""Of Colab, by port. A notebook that runs without a browser would wait in vain each time."""


def _colabs_proxy(port: int) -> str | None:
    """Return where Colab serves a port of its machine to this user; None where nobody says."""
    if port not in _answers and _can_ask_colab():
        _answers[port] = _asked_of_colab(port)
    return _answers.get(port)


def _asked_of_colab(port: int) -> str | None:
    """Return what the page in the browser says, for it alone knows."""
    question = f"google.colab.kernel.proxyPort({port}, {{'cache': false}})"
    try:
        from google.colab import output

        answer = output.eval_js(question, timeout_sec=_COLAB_SECONDS)
    except Exception:  # noqa: BLE001 (whatever it is, the reader is told what to do instead)
        return None
    return answer if isinstance(answer, str) and answer.startswith("https://") else None


# --- Jupyter --------------------------------------------------------------------------------------


def _in_jupyter(port: int, page: str) -> DashboardLink | None:
    """Return the link through jupyter-server-proxy; None where there is none.

    On JupyterHub, and so on Binder, it is taken to be there unless the server says otherwise.
    """
    server = _own_server()
    base = os.environ.get("JUPYTERHUB_SERVICE_PREFIX") or server.get("base_url", "")
    proxy = f"{base}proxy/{port}/"
    if not base or not _has(server, f"{proxy}health", "JUPYTERHUB_SERVICE_PREFIX" in os.environ):
        return None
    public = os.environ.get("JUPYTERHUB_PUBLIC_URL")  # where the hub was told
    if public:
        return DashboardLink(urljoin(public, f"{proxy}{page}"))
    return DashboardLink(f"{proxy}{page}", "at the address at which you have Jupyter")


def _own_server() -> dict[str, Any]:
    """Return what the Jupyter server that started this process says of itself; else nothing."""
    parent = os.environ.get("JPY_PARENT_PID", "")
    if not parent.isdigit():
        return {}
    try:
        from jupyter_core.paths import jupyter_runtime_dir

        told = json.loads(Path(jupyter_runtime_dir(), f"jpserver-{parent}.json").read_text("utf-8"))
    except (ImportError, OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _has(server: dict[str, Any], path: str, otherwise: bool) -> bool:
    """Whether a Jupyter server has such a page; `otherwise` where it cannot be asked.

    It is asked without its token: it answers that one has to log in, or that there is no such page.
    """
    if not server.get("port") or server.get("secure"):
        return otherwise
    asked = http.client.HTTPConnection(
        server.get("hostname") or "localhost", server["port"], timeout=_JUPYTER_SECONDS
    )
    try:
        asked.request("GET", path)
        return asked.getresponse().status != http.HTTPStatus.NOT_FOUND
    except (OSError, http.client.HTTPException):
        return otherwise
    finally:
        asked.close()
