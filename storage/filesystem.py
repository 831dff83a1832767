"""`filesystem_of`: the one door to fsspec, with errors that say what is wrong with a URL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import fsspec

from .errors import BackendUnavailable, UsageError


def filesystem_of(url: str, options: Mapping[str, Any] | None = None) -> tuple[Any, str]:
    """Return the filesystem of a URL, and the path there.

    Raises
    ------
    UsageError
        fsspec knows no such protocol, or refuses the options.
    BackendUnavailable
        The package for the protocol is not installed.
    """
    try:
        fs, path = fsspec.url_to_fs(url, **(options or {}))
    except ImportError as error:
        raise BackendUnavailable(f"{url}: {error}") from error
    except (ValueError, TypeError) as error:
        raise UsageError(f"{url}: {error}") from error
    return fs, path
