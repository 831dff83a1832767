"""`page_environment`: Jinja's environment for pages, which escapes all that it is given."""

from __future__ import annotations

from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from .terminal import visible


def page_environment(*packages: str) -> Environment:
    """Return an environment with the templates of packages.

    What comes from outside the engine is escaped twice: control characters become visible escapes,
    then Jinja escapes HTML.

    Parameters
    ----------
    *packages : str
        Where templates are looked for, in this order.

    Examples
    --------
    >>> page_environment().from_string("{{ name }}").render(name="<b>")
    '&lt;b&gt;'
    """
    return Environment(
        loader=ChoiceLoader([PackageLoader(package, ".") for package in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )


def _finalize(value: Any) -> Any:
    return value if isinstance(value, Markup) else visible(str(value))
