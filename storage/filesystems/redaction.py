"""URLs and other libraries' errors without their keys and passwords, to be shown and stored.

Nothing is opened here. Secrets outside a URL, such as a token among the storage options, can only
be recognized by their values, which `filesystem` passes in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import PaniniError

_NAMES = frozenset({"file", "local", "memory"})
"""Protocols of plain paths, in which ``@`` and ``?`` have no special meaning."""

_WITH_QUERY = frozenset({"http", "https"})

_WITH_USERS = frozenset({"abfs", "abfss", "github", "wasb", "wasbs"})
"""Protocols in which the part before an ``@`` is neither a user nor a secret."""

_KEYS = re.compile(r"[?&][^=&#]*(?:key|sig|signature|secret|token|credential)=", re.IGNORECASE)

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>`]+")
_PARAMETERS = re.compile(r"\?[\w.%~-]+=[^\s'\"<>`]*")  # of a path without its host
_USERINFO = re.compile(r"(?<![\w/:@.-])[^\s/:@'\"<>()]+:[^\s/@'\"<>()]+@(?=[\w-])")
_SHORTEST = 4
"""Characters of the shortest option value that is replaced; shorter ones occur by chance."""


def shown(url: str) -> str:
    """Return a URL without user, password, query and fragment; leave paths unchanged.

    >>> shown("https://me:pw@host/a.parquet?X-Goog-Signature=0f")
    'https://host/a.parquet'
    >>> shown("zip://*.txt::s3://key:secret@bucket/a.zip"), shown("/data/why?.txt")
    ('zip://*.txt::s3://bucket/a.zip', '/data/why?.txt')
    >>> shown("az://box/a?sv=2&sig=0f"), shown("gs://b/why?.txt"), shown("abfs://box@me/a")
    ('az://box/a', 'gs://b/why?.txt', 'abfs://box@me/a')
    """
    return "::".join(_shown(part) for part in url.split("::"))


def _shown(url: str) -> str:
    protocol, mark, rest = url.partition("://")
    if not mark or protocol.lower() in _NAMES:
        return url
    # Outside the web, an object may well be named "why?".
    if protocol.lower() in _WITH_QUERY or _KEYS.search(rest):
        rest = re.split(r"[?#]", rest, maxsplit=1)[0]
    if protocol.lower() in _WITH_USERS:  # it is the name of a container or repository
        return f"{protocol}{mark}{rest}"
    authority, slash, path = rest.partition("/")
    return f"{protocol}{mark}{authority.rpartition('@')[2]}{slash}{path}"


def scrubbed(text: str) -> str:
    """Return a message with every URL redacted by `shown`, and without URL parameters.

    >>> scrubbed("403, message='Forbidden', url='https://u:p@host/a?sig=0f'")
    "403, message='Forbidden', url='https://host/a'"
    >>> scrubbed("Max retries exceeded with url: /a.parquet?sig=0f (Caused by ...)")
    'Max retries exceeded with url: /a.parquet (Caused by ...)'
    """
    text = _URL.sub(lambda match: shown(match[0]), text)
    return _USERINFO.sub("", _PARAMETERS.sub("", text))


def without_options(text: str, options: Mapping[str, Any]) -> str:
    """Return a scrubbed message in which the values of storage options are replaced by their names.

    >>> without_options("no such file: ya29.a0Af", {"token": "ya29.a0Af"})
    'no such file: <token>'
    """
    for name, value in sorted(_values(options), key=lambda option: -len(option[1])):
        text = text.replace(value, f"<{name}>")
    return scrubbed(text)


def _values(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from _values({f"{name}.{key}": nested for key, nested in value.items()})
        elif isinstance(value, str) and len(value) >= _SHORTEST:
            yield str(name), value


class StandIn(OSError):
    """Replaces an error of another library; `status` is the HTTP status, if a server answered."""

    status: int | None = None


def presentable(error: BaseException) -> BaseException:
    """Return an error that may be logged, chained and shown: the given one, or a stand-in.

    The stand-in for an error of the engine, or for a builtin OSError, has the same class, so that
    ``except FileNotFoundError`` still works; any other error becomes a `StandIn` that names its
    class. It has no cause, because a traceback would print the cause with its URL.

    >>> raised = FileNotFoundError("https://host/a.parquet?sig=0f")
    >>> presentable(raised), presentable(KeyError("text"))
    (FileNotFoundError('https://host/a.parquet'), KeyError('text'))
    """
    if not any(_has_secret(chained) for chained in _chain(error)):
        return error
    kind, message = type(error), scrubbed(str(error))
    stand_in: BaseException
    if isinstance(error, PaniniError):
        stand_in = kind(message)
    elif not isinstance(error, OSError) or kind.__module__ != "builtins":
        stand_in = StandIn(f"{kind.__name__}: {message}")
    elif error.errno is None:
        stand_in = kind(message)
    else:
        parts = (error.strerror, error.filename)
        strerror, name = (scrubbed(str(part)) if part is not None else None for part in parts)
        stand_in = kind(error.errno, strerror, *([] if name is None else [name]))
    return stand_in.with_traceback(error.__traceback__)


def _has_secret(error: BaseException) -> bool:
    return any(scrubbed(text) != text for text in (str(error), repr(error)))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all errors that its traceback would print."""
    seen: set[int] = set()
    pending = [error]
    while pending:
        current = pending.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        context = None if current.__suppress_context__ else current.__context__
        pending += [other for other in (current.__cause__, context) if other is not None]
