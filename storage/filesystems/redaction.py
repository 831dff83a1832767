"""What of a URL, or of another library's error, may be shown and written: no key, no password.

Nothing here opens anything. A secret that is no part of a URL (a token among the storage options)
is known by its value where it is used, in `filesystem`, and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import PaniniError

_NAMES = frozenset({"file", "local", "memory"})
"""Protocols of plain paths, in which ``@`` and ``?`` are letters like any other."""

_WITH_QUERY = frozenset({"http", "https"})

_WITH_USERS = frozenset({"abfs", "abfss", "github", "wasb", "wasbs"})
"""Protocols in which what stands before an ``@`` is no user, and no secret."""

_KEYS = re.compile(r"[?&][^=&#]*(?:key|sig|signature|secret|token|credential)=", re.IGNORECASE)

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>`]+")
_PARAMETERS = re.compile(r"\?[\w.%~-]+=[^\s'\"<>`]*")  # of a path whose host stands elsewhere
_USERINFO = re.compile(r"(?<![\w/:@.-])[^\s/:@'\"<>()]+:[^\s/@'\"<>()]+@(?=[\w-])")
_SHORTEST = 4  # characters of an option's value that is looked for; shorter ones are in every word


def shown(url: str) -> str:
    """Return a URL without user, password, query and fragment; a path as it is.

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
    # Elsewhere than on the web an object may well be called "why?".
    if protocol.lower() in _WITH_QUERY or _KEYS.search(rest):
        rest = re.split(r"[?#]", rest, maxsplit=1)[0]
    if protocol.lower() in _WITH_USERS:  # a container, or a repository, is named so elsewhere
        return f"{protocol}{mark}{rest}"
    authority, slash, path = rest.partition("/")
    return f"{protocol}{mark}{authority.rpartition('@')[2]}{slash}{path}"


def scrubbed(text: str) -> str:
    """Return a message with every URL in it as it may be shown, and no parameters of one.

    >>> scrubbed("403, message='Forbidden', url='https://u:p@host/a?sig=0f'")
    "403, message='Forbidden', url='https://host/a'"
    >>> scrubbed("Max retries exceeded with url: /a.parquet?sig=0f (Caused by ...)")
    'Max retries exceeded with url: /a.parquet (Caused by ...)'
    """
    text = _URL.sub(lambda found: shown(found[0]), text)
    return _USERINFO.sub("", _PARAMETERS.sub("", text))


def without_options(text: str, options: Mapping[str, Any]) -> str:
    """Return a message, scrubbed, with the names of storage options in the place of their values.

    >>> without_options("no such file: ya29.a0Af", {"token": "ya29.a0Af"})
    'no such file: <token>'
    """
    for name, value in sorted(_values(options), key=lambda one: -len(one[1])):
        text = text.replace(value, f"<{name}>")
    return scrubbed(text)


def _values(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from _values({f"{name}.{inner}": one for inner, one in value.items()})
        elif isinstance(value, str) and len(value) >= _SHORTEST:
            yield str(name), value


class StandIn(OSError):
    """Stands for an error of another library; `status` is what a server answered, if one did."""

    status: int | None = None


def presentable(error: BaseException) -> BaseException:
    """Return an error that may be logged, chained and shown: itself, or a stand-in for it.

    A stand-in for one of ours, or for an OSError, is of the same class, so that ``except
    FileNotFoundError`` does what it did; anything else becomes a `StandIn` that names its class. It
    has no cause: that would be printed in a traceback, URL and all.

    >>> raised = FileNotFoundError("https://host/a.parquet?sig=0f")
    >>> presentable(raised), presentable(KeyError("text"))
    (FileNotFoundError('https://host/a.parquet'), KeyError('text'))
    """
    if not any(_tells(one) for one in _chain(error)):
        return error
    kind, said = type(error), scrubbed(str(error))
    stand_in: BaseException
    if isinstance(error, PaniniError):
        stand_in = kind(said)
    elif not isinstance(error, OSError) or kind.__module__ != "builtins":
        stand_in = StandIn(f"{kind.__name__}: {said}")
    elif error.errno is None:
        stand_in = kind(said)
    else:
        parts = (error.strerror, error.filename)
        strerror, name = (scrubbed(str(part)) if part is not None else None for part in parts)
        stand_in = kind(error.errno, strerror, *([] if name is None else [name]))
    return stand_in.with_traceback(error.__traceback__)


def _tells(error: BaseException) -> bool:
    return any(scrubbed(said) != said for said in (str(error), repr(error)))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, and whatever a traceback of it would print too."""
    seen: set[int] = set()
    coming = [error]
    while coming:
        one = coming.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        context = None if one.__suppress_context__ else one.__context__
        coming += [other for other in (one.__cause__, context) if other is not None]
