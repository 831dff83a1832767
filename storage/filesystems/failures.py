"""What a failure of storage means: it may pass, retrying cannot fix it, or a file is missing.

Clients of storage differ in the errors that they raise, and in what they leave unsaid. Retrying is
in `retry`; which parts of an error may be shown is decided in `redaction`.
"""

from __future__ import annotations

import errno
from typing import Any, Final, Literal, NamedTuple


class Permanent(NamedTuple):
    """A failure that retrying cannot fix."""

    why: str
    remedy: str


Meaning = Permanent | Literal["transient"]

_TRANSIENT: Final = "transient"
_NO_SPACE = Permanent("no space is left", "free some space, or choose another location")
_NO_QUOTA = Permanent("the quota is used up", "free some of it, or choose another location")
FULL = frozenset({_NO_SPACE, _NO_QUOTA})
"""Failures after which nothing more can be written, though what is there can be read."""

_DENIED = Permanent("permission is denied", "change the permissions, or choose another location")
_READ_ONLY = Permanent(
    "the filesystem is read-only", "mount it for writing, or choose another location"
)
_NO_FOLDER = Permanent("a file is where a folder should be", "choose another location")
_LINK_LOOP = Permanent("its symbolic links form a loop", "name the file itself")
_TOO_LONG = Permanent("the name is too long", "choose a shorter one")
_NO_TRUST = Permanent(
    "the server's certificate is not valid", "check the address and this machine's certificates"
)

_ERRNOS: dict[int, Meaning] = {
    errno.EIO: _TRANSIENT,  # what a mounted Drive raises for any failure
    errno.ENOTCONN: _TRANSIENT,  # a FUSE mount whose process is gone
    errno.ESTALE: _TRANSIENT,
    errno.EAGAIN: _TRANSIENT,
    errno.EBUSY: _TRANSIENT,
    errno.EINTR: _TRANSIENT,
    errno.ETIMEDOUT: _TRANSIENT,
    errno.EPIPE: _TRANSIENT,
    errno.ECONNABORTED: _TRANSIENT,
    errno.ECONNREFUSED: _TRANSIENT,
    errno.ECONNRESET: _TRANSIENT,
    errno.EHOSTDOWN: _TRANSIENT,
    errno.EHOSTUNREACH: _TRANSIENT,
    errno.ENETDOWN: _TRANSIENT,
    errno.ENETRESET: _TRANSIENT,
    errno.ENETUNREACH: _TRANSIENT,
    errno.ENOSPC: _NO_SPACE,
    errno.EDQUOT: _NO_QUOTA,
    errno.EROFS: _READ_ONLY,
    errno.ENOTDIR: _NO_FOLDER,
    errno.EEXIST: _NO_FOLDER,  # from making a folder; making an object reports it otherwise
    errno.ELOOP: _LINK_LOOP,
    errno.ENAMETOOLONG: _TOO_LONG,
}
_STATUSES: dict[int, Meaning] = {
    401: _DENIED,
    403: _DENIED,  # unless it gives one of the reasons below
    408: _TRANSIENT,
    429: _TRANSIENT,
    500: _TRANSIENT,
    502: _TRANSIENT,
    503: _TRANSIENT,
    504: _TRANSIENT,
    507: _NO_SPACE,
}
_MISSING = frozenset({404, 410})
_ANSWERED = _MISSING | {409, 412, 416}
"""Statuses that say something about the file, which callers deal with."""

_LASTING = frozenset({501, 505, 508, 511})
"""Failures of servers that do not pass."""

_REASONS: dict[str, Meaning] = {
    # Google answers all of them with status 403.
    "rateLimitExceeded": _TRANSIENT,
    "userRateLimitExceeded": _TRANSIENT,
    "storageQuotaExceeded": _NO_QUOTA,
    "quotaExceeded": _NO_QUOTA,
    "invalid_grant": _DENIED,  # a token that was revoked, or has expired for good
}
_TRANSIENT_CLASSES = frozenset(
    {
        # Top-level package and class, by name, to avoid importing clients that the filesystem does
        # not need. The clients raise these errors when an answer is missing or incomplete.
        ("aiohttp", "ClientError"),
        ("azure", "ServiceRequestError"),
        ("azure", "ServiceResponseError"),
        ("botocore", "HTTPClientError"),
        ("ftplib", "error_temp"),
        ("gcsfs", "ChecksumError"),
        ("google", "RefreshError"),
        ("google", "TransportError"),
        ("http", "HTTPException"),
        ("httplib2", "HttpLib2Error"),
        ("httpx", "TransportError"),
        ("requests", "RequestException"),
        ("socket", "gaierror"),
        ("urllib3", "HTTPError"),
    }
)
_DENIED_CLASSES = frozenset(
    {
        ("botocore", "CredentialRetrievalError"),
        ("botocore", "NoCredentialsError"),
        ("botocore", "PartialCredentialsError"),
        ("google", "DefaultCredentialsError"),
    }
)


def is_transient(error: BaseException) -> bool:
    """Return whether the same call may succeed a little later.

    >>> is_transient(OSError(5, "Input/output error")), is_transient(FileNotFoundError("a.txt"))
    (True, False)
    """
    error = unmasked(error)
    if isinstance(error, TimeoutError | ConnectionError):
        return True
    status = status_of(error)
    if status is not None:
        limited = status == 403 and _reason(error, transient=True) is not None
        return limited or _status_meaning(status) == _TRANSIENT
    if isinstance(error, OSError) and error.errno in _ERRNOS:
        return _ERRNOS[error.errno] == _TRANSIENT
    if _reason(error, transient=False) or _is_untrusted(error):
        return False
    return bool(_classes(error) & _TRANSIENT_CLASSES)


def is_missing(error: BaseException) -> bool:
    """Return whether a failure says that a file does not exist.

    >>> is_missing(FileNotFoundError("a.txt")), is_missing(OSError(5, "Input/output error"))
    (True, False)
    """
    error = unmasked(error)
    return isinstance(error, FileNotFoundError) or status_of(error) in _MISSING


def unmasked(error: BaseException) -> BaseException:
    """Return the failure behind a FileNotFoundError, unless that is what it says.

    Some filesystems raise it for whatever goes wrong: fsspec's ``http`` after every answer that is
    not a success, and if there is none. What the server said is the error's cause.

    >>> masked = FileNotFoundError("http://host/a.txt")
    >>> masked.__cause__ = TimeoutError()
    >>> unmasked(masked)
    TimeoutError()
    """
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if not isinstance(error, FileNotFoundError) or error.errno is not None or cause is None:
        return error
    cause = unmasked(cause)
    failed = isinstance(cause, Exception) and not is_missing(cause)
    return cause if failed and (is_transient(cause) or permanent_failure(cause)) else error


def _classes(error: BaseException) -> set[tuple[str, str]]:
    """Return the top-level package and the name of every class of an error."""
    return {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(error).__mro__}


def _is_untrusted(error: BaseException) -> bool:
    """Return whether a connection was given up because of a certificate."""
    # Clients mention Python's own error in theirs.
    return "CERTIFICATE_VERIFY_FAILED" in str(error) or "CertificateError" in type(error).__name__


def _status_meaning(status: int | None) -> Meaning | None:
    if status in _STATUSES or status is None:
        return _STATUSES.get(status or 0)
    if 500 <= status < 600 and status not in _LASTING:
        return _TRANSIENT
    if status < 400 or status in _ANSWERED:
        return None
    return Permanent(f"the server answers with status {status}", "check the address")


def permanent_failure(error: BaseException) -> Permanent | None:
    """Return why retrying cannot fix a failure; None if it may be transient or is unknown."""
    failure = unmasked(error)
    meaning = _reason(failure, transient=False) or _meaning(failure)
    return meaning if isinstance(meaning, Permanent) else None


def _meaning(error: BaseException) -> Meaning | None:
    # Not every filesystem sets the errno of a PermissionError.
    if isinstance(error, PermissionError) or _classes(error) & _DENIED_CLASSES:
        return _DENIED
    if _is_untrusted(error):
        return _NO_TRUST
    if isinstance(error, OSError) and error.errno is not None:
        return _ERRNOS.get(error.errno)
    if isinstance(error, OSError) and str(error).startswith("Forbidden: "):  # gcsfs's 403
        return _DENIED
    if isinstance(error, ValueError) and str(error).startswith("Bad Request: "):  # gcsfs's 400
        return Permanent("the request is not valid", "check the address")
    return _status_meaning(status_of(error))


def _reason(error: BaseException, *, transient: bool) -> Meaning | None:
    """Return the meaning of the reason in Google's answer, if it has one of the given kind."""
    for reason, meaning in _REASONS.items():
        if (meaning == _TRANSIENT) is transient and reason in str(error):
            return meaning
    return None


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status of an error of gcsfs, aiohttp, requests or Google's client."""
    response: Any = getattr(error, "resp", None) or getattr(error, "response", None)
    for holder, name in (
        (error, "status"),  # aiohttp's, whose `code` warns
        (error, "code"),
        (response, "status"),
        (response, "status_code"),
    ):
        status = getattr(holder, name, None)
        if isinstance(status, int | str) and str(status).isdigit():
            return int(status)
    return None
