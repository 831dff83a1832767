"""Adding a page to the dashboard of a running dask scheduler.

dask has no public API for this. All knowledge of its internals is in this file, and is tested with
the oldest and the newest version of dask that the package allows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bokeh.document import Document
    from distributed import Scheduler

_log = logging.getLogger(__name__)


def add_page(scheduler: Scheduler, name: str, fill: Callable[[Document], None]) -> bool:
    """Add a page at ``/name`` and a tab for it to every page; return whether that was possible.

    Parameters
    ----------
    fill : callable
        Called with the document of each visitor, before it is shown.
    """
    try:
        from bokeh.server.tornado import BokehTornado
        from distributed.dashboard.components.scheduler import BOKEH_THEME, env
        from distributed.dashboard.core import BokehApplication
        from distributed.dashboard.scheduler import template_variables
        from tornado.ioloop import IOLoop
    except ImportError as error:  # no bokeh, or one that dask does not support: no dashboard
        _log.debug("the dashboard has no tab: %s", error)
        return False
    served = scheduler.http_application.applications
    own = [one for one in served if isinstance(one, BokehTornado)]
    if not own:
        return False
    shared = template_variables(scheduler)  # shared by all pages of a scheduler

    def document(_: Any, extra: dict[str, Any], doc: Document) -> None:
        fill(doc)
        doc.template = env.get_template("simple.html")
        doc.template_variables.update(extra)
        doc.theme = BOKEH_THEME

    application = BokehApplication(
        {f"/{name}": document}, scheduler, prefix=own[0].prefix, template_variables=shared
    )
    scheduler.http_application.add_application(application)
    application.initialize(IOLoop.current())
    application.start()
    if name not in shared["pages"]:
        shared["pages"].insert(1, name)
    return True
