"""`lacks_main_guard`: whether worker processes would run the user's script again.

Python starts a worker process by importing the script, so what starts a cluster has to be under
``if __name__ == "__main__":``. So has what starts one in a file that a command takes a graph from
(`loading`, `require_no_loading`).
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import FrameType

from ...storage.errors import UsageError

MAIN_GUARD = (
    'in a script, put everything from connect() on under  if __name__ == "__main__":  because the '
    "workers import it"
)
"""The advice."""


_loading: ContextVar[str] = ContextVar("_loading", default="")


@contextmanager
def loading(file: str) -> Iterator[None]:
    """Mark that a user's file is loaded for what it defines."""
    before = _loading.set(file)
    try:
        yield
    finally:
        _loading.reset(before)


def require_no_loading(function: str) -> None:
    """Raise `UsageError` if a function that starts something is called while a file is loaded.

    >>> with loading("blocks.py"):
    ...     require_no_loading("connect")
    Traceback (most recent call last):
    paninifs.storage.errors.UsageError: blocks.py calls connect() when it is loaded, ...
    """
    file = _loading.get()
    if file:
        raise UsageError(
            f"{file} calls {function}() when it is loaded, but only its blocks are wanted: put "
            'everything from connect() on under  if __name__ == "__main__":'
        )


def lacks_main_guard() -> bool:
    """Return whether the running statement of the user's script is not under a main guard.

    Notebooks, ``python -c`` and ``python -m`` need none: workers do not import them.
    """
    frame: FrameType | None = sys._getframe()
    while frame is not None and not _is_script(frame):
        frame = frame.f_back
    if frame is None:
        return False
    try:
        tree = ast.parse(Path(frame.f_globals["__file__"]).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return False
    running = [one for one in tree.body if one.lineno <= frame.f_lineno <= (one.end_lineno or 0)]
    return not any(isinstance(one, ast.If) and _names_main(one.test) for one in running)


def _is_script(frame: FrameType) -> bool:
    names = frame.f_globals
    of_main = frame.f_code.co_name == "<module>" and names.get("__name__") == "__main__"
    return of_main and names.get("__spec__") is None and "__file__" in names


def _names_main(test: ast.expr) -> bool:
    return any(isinstance(one, ast.Name) and one.id == "__name__" for one in ast.walk(test))
