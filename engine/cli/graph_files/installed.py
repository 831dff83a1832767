"""`is_installed`: whether a module belongs to Python or to an installed package."""

from __future__ import annotations

import sys
import sysconfig
from importlib.machinery import ModuleSpec
from pathlib import Path

_PACKAGE = __name__.partition(".")[0]


def is_installed(spec: ModuleSpec) -> bool:
    """Return whether a module is not the user's own.

    >>> import importlib.util
    >>> is_installed(importlib.util.find_spec("json"))
    True
    """
    top = spec.name.partition(".")[0]
    if top in sys.stdlib_module_names or top == _PACKAGE:
        return True
    places = [spec.origin] if spec.has_location else list(spec.submodule_search_locations or ())
    folders = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return any(
        {"site-packages", "dist-packages"} & set(Path(one).parts)
        or any(Path(one).is_relative_to(folder) for folder in folders)
        for one in places
        if one
    )
