"""Errors in users' files: which of the user's lines failed, and the remedy."""

from __future__ import annotations

import traceback

from ....storage.errors import PaniniError, UsageError
from ...worker.user_code import frames_of, in_words


def failure_of(what: str, error: BaseException) -> UsageError:
    """Return the error for code of the user that raised, with the lines that did.

    Parameters
    ----------
    what : str
        What failed, such as ``"blocks.py cannot be loaded"``.
    error : BaseException
        What was raised.
    """
    if isinstance(error, SyntaxError):
        place = "".join(traceback.format_exception_only(error)).rstrip()
        return UsageError(f"{what}:\n{place}")
    frames = [one for one in frames_of(error, {}) if one.file[:1] != "<"]  # generated code
    lines = "".join(f"\n{frame}" for frame in frames)
    return UsageError(f"{what}: {_reason(error)}{lines}")


def _reason(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return (
            f"it ends the program (SystemExit: {error.code}); put code that must not run on import "
            'under  if __name__ == "__main__":'
        )
    if isinstance(error, PaniniError):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        return f"the module {error.name!r} is not installed here, nor in the folder of the file"
    return in_words(error)
