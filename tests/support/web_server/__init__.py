"""An imitator of the public services that collections ask, on loopback, in a process of its own.

It behaves as the services are publicly documented: arXiv's OAI-PMH (``/oai``) and Atom API
(``/api/query``) with PDFs (``/pdf/ID``), HAL's search (``/search/``) with documents, Project
Gutenberg's catalogue and texts (``/cache/epub/…``), a mirror of Wikipedia's dumps (``/dumps/…``),
and hosts with pages (``/pages/N.html``, ``.txt``, ``.pdf``, ``/robots.txt``). Each address
127.0.0.1 … 127.0.0.30 is a host of its own, all on one port, and each offers everything.

::

    with WebServer(latency=0.1, limit=(2, 1.0), faults=(Fault(kind="reset", share=0.1),)) as server:
        ...  # collect from server.url("/pages/0.html", host=7)
        assert server.most_in_a_window(1.0, host=7) <= 2
        assert not server.repeated()

What is served is a function of `ServerConfig.seed` and of numbers, so a test can compare: the
record of arXiv with number 7 is ``arxiv.record(config, 7)``. Nothing of it was copied from the
services. Requests are logged as they arrive, in a file that outlives the process.
"""

from .config import Fault, ServerConfig
from .server import Asked, WebServer

__all__ = ["Asked", "Fault", "ServerConfig", "WebServer"]
