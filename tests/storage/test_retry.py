"""Retrying a failing storage: for which failures, for how long, and the error at the end."""

import errno
import http.client
import logging
import socket
from types import SimpleNamespace

import aiohttp
import gcsfs.retry
import google.auth.exceptions
import pytest
import requests
from googleapiclient.errors import HttpError as DriveError
from httplib2 import Response
from one_by_one import OneByOneTarget

from paninifs.storage.errors import (
    PaniniError,
    StorageRefused,
    StorageUnreachable,
    UsageError,
)
from paninifs.storage.filesystems.failures import is_missing, is_transient, unmasked
from paninifs.storage.filesystems.retry import permanent_errors, retried, retry_seconds
from paninifs.storage.targets.guarded import ReadBackTarget, RetryingTarget
from paninifs.storage.targets.local import LocalTarget


def drive_error(status, reason):
    content = b'{"error": {"message": "%s", "errors": [{"reason": "%s"}]}}' % (reason, reason)
    return DriveError(Response({"status": status}), content)


TRANSIENT = [
    OSError(errno.EIO, "Input/output error"),
    OSError(errno.ENOTCONN, "Transport endpoint is not connected"),
    ConnectionResetError("by peer"),
    TimeoutError(),
    gcsfs.retry.HttpError({"code": 503, "message": "unavailable"}),
    gcsfs.retry.HttpError({"code": "429", "message": "slow down"}),
    gcsfs.retry.ChecksumError(),
    aiohttp.ServerDisconnectedError(),
    aiohttp.ClientResponseError(SimpleNamespace(real_url="http:"), (), status=502),
    aiohttp.ClientPayloadError("ended early"),
    requests.ConnectionError(),
    requests.exceptions.ProxyError(),
    http.client.IncompleteRead(b""),
    drive_error(429, b"rateLimitExceeded"),
    drive_error(403, b"userRateLimitExceeded"),
]


def masked(cause):
    """Return a failure as fsspec's ``http`` reports it, whatever the server answered."""
    error = FileNotFoundError("http://host/a")
    error.__cause__ = cause
    return error


def answer(status):
    return aiohttp.ClientResponseError(SimpleNamespace(real_url="http:"), (), status=status)


def of_library(package, name):
    """Return an error of a client that need not be installed."""
    return type(name, (Exception,), {"__module__": f"{package}.exceptions"})("failed")


NO_NAME = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
TRANSIENT += [
    *(masked(answer(status)) for status in (408, 429, 500, 503, 520)),
    masked(NO_NAME),
    masked(TimeoutError()),
    NO_NAME,
    aiohttp.ClientConnectorDNSError(SimpleNamespace(ssl=True, host="h", port=1), NO_NAME),
    of_library("azure.core", "ServiceRequestError"),
    of_library("botocore", "HTTPClientError"),
    of_library("httpx", "TransportError"),
]
DENIED = [
    answer(401),
    masked(answer(403)),
    of_library("botocore", "NoCredentialsError"),
    google.auth.exceptions.RefreshError("invalid_grant: Token has been expired or revoked."),
]
OTHERS = [
    *DENIED,
    *(masked(answer(status)) for status in (404, 410, 451, 501)),
    masked(KeyError("not in the cache")),
    requests.exceptions.SSLError("certificate verify failed: CERTIFICATE_VERIFY_FAILED"),
    FileNotFoundError(errno.ENOENT, "no such file"),
    FileNotFoundError("gs://bucket/a"),
    PermissionError(errno.EACCES, "not allowed"),
    OSError("Forbidden: gs://bucket/a"),
    OSError(errno.ENOSPC, "No space left on device"),
    gcsfs.retry.HttpError({"code": 400, "message": "bad request"}),
    gcsfs.retry.HttpError({"code": 401, "message": "who are you"}),
    aiohttp.ClientResponseError(SimpleNamespace(real_url="http:"), (), status=404),
    drive_error(403, b"insufficientFilePermissions"),
    ValueError("nonsense"),
    KeyError("a"),
]


@pytest.mark.parametrize("error", TRANSIENT, ids=lambda e: f"{type(e).__name__} {e}"[:40])
def test_transient_failures(error):
    assert is_transient(error)


@pytest.mark.parametrize("error", OTHERS, ids=lambda e: f"{type(e).__name__} {e}"[:40])
def test_failures_that_are_not_transient(error):
    assert not is_transient(error)


@pytest.mark.parametrize("error", DENIED, ids=lambda e: f"{type(e).__name__} {e}"[:40])
def test_what_is_denied_is_said_to_be_denied(error):
    with (
        pytest.raises(StorageRefused, match="reading a was refused: permission is denied"),
        permanent_errors("reading a"),
    ):
        retried("reading a", Failing(error))


def test_a_file_is_missing_only_where_the_server_says_so():
    missing = [FileNotFoundError("a"), FileNotFoundError(2, "no"), answer(410), masked(answer(404))]
    assert all(map(is_missing, missing))
    assert not any(map(is_missing, [masked(answer(403)), masked(TimeoutError()), *DENIED]))


class Failing:
    """Fails with each of some errors in turn, then returns."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.calls = 0

    def __call__(self):
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


@pytest.fixture
def quick(monkeypatch):
    """Waits of a few milliseconds."""
    monkeypatch.setattr("paninifs.storage.filesystems.retry.FIRST_WAIT_SECONDS", 0.002)
    monkeypatch.setattr("paninifs.storage.filesystems.retry.LONGEST_WAIT_SECONDS", 0.01)


def test_transient_failures_are_retried(quick):
    call = Failing(*TRANSIENT)
    assert retried("reading a", call) == "answer"
    assert call.calls == len(TRANSIENT) + 1


def test_other_failures_are_raised_at_once(quick):
    for error in OTHERS:
        call = Failing(error)
        with pytest.raises(Exception) as caught:  # noqa: PT011
            retried("reading a", call)
        assert caught.value is unmasked(error)
        assert call.calls == 1


def test_retries_end_with_storage_unreachable(quick, monkeypatch, caplog):
    monkeypatch.setenv("PANINIFS_PATIENCE", "0.2")
    call = Failing(*[OSError(errno.ENOTCONN, "Transport endpoint is not connected")] * 10_000)
    with caplog.at_level(logging.INFO), pytest.raises(StorageUnreachable) as caught:
        retried("writing drive/results.zarr/valid/c/3", call)
    message = str(caught.value)
    assert message.startswith("writing drive/results.zarr/valid/c/3 failed for 0 s (")
    assert "OSError: [Errno 107] Transport endpoint is not connected" in message
    assert "run again to resume" in message
    assert isinstance(caught.value, OSError)
    assert isinstance(caught.value, PaniniError)
    assert caught.value.__cause__.errno == errno.ENOTCONN
    assert 3 < call.calls < 2000
    levels = [record.levelno for record in caplog.records]
    assert levels[:3] == [logging.INFO] * 3  # a single failure concerns no user
    assert set(levels[3:]) == {logging.WARNING}


def test_a_call_longer_than_the_retry_time_is_retried_once(quick, monkeypatch):
    monkeypatch.setenv("PANINIFS_PATIENCE", "0")
    call = Failing(ConnectionResetError("after a long upload"))
    assert retried("writing a", call) == "answer"


@pytest.mark.parametrize("value", ["long", "nan", "inf", "-inf", "-1", "1e999", "12 s"])
def test_the_retry_time_must_be_a_number(monkeypatch, value):
    monkeypatch.setenv("PANINIFS_PATIENCE", value)
    with pytest.raises(UsageError, match=f"non-negative number of seconds, not '{value}'"):
        retried("reading a", Failing())


def test_an_empty_retry_time_is_the_default(monkeypatch):
    monkeypatch.setenv("PANINIFS_PATIENCE", "")
    assert retry_seconds() == 120.0


# --- targets ------------------------------------------------------------------------------------


class Unreliable(OneByOneTarget):
    """Applies each of `faults` to one write in turn; later writes succeed."""

    def __init__(self, path, *faults):
        super().__init__(path)
        self.faults = list(faults)

    def put(self, key, data):
        self._write(key, data, super().put)

    def create(self, key, data):
        return self._write(key, data, super().create)

    def _write(self, key, data, write):
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "fails":
            raise OSError(errno.EIO, "Input/output error")
        if fault == "short":
            return write(key, data[: len(data) // 2])
        if fault == "repeated":
            return write(key, data + data)
        if fault == "nothing":
            return True
        written = write(key, data)
        if fault == "lost":
            raise ConnectionResetError("no answer")
        if fault == "overtaken":
            super().put(key, b"another's")
        return written


FAULTS = ("fails", "short", "repeated", "nothing", "lost")


def test_a_put_is_retried_until_it_reads_back(tmp_path, quick):
    target = Unreliable(tmp_path, *FAULTS)
    RetryingTarget(ReadBackTarget(target)).put("a/b", b"what was meant")
    assert target.faults == []
    assert target.get("a/b") == b"what was meant"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_create_survives_each_fault(tmp_path, quick, fault):
    target = Unreliable(tmp_path, fault)
    guarded = RetryingTarget(ReadBackTarget(target))
    assert guarded.create("a", b"mine alone") is True
    assert guarded.get("a") == b"mine alone"
    assert guarded.create("a", b"another") is False
    assert target.faults == []


def test_a_create_that_was_overtaken_fails(tmp_path, quick):
    guarded = RetryingTarget(ReadBackTarget(Unreliable(tmp_path, "overtaken")))
    assert guarded.create("a", b"mine alone") is False
    assert guarded.get("a") == b"another's"


def test_without_read_back_a_short_write_goes_unnoticed(tmp_path, quick):
    target = Unreliable(tmp_path, "short")
    RetryingTarget(target).put("a", b"what was meant")
    assert target.get("a") == b"what wa"


def test_a_folder_that_cannot_be_listed_raises(tmp_path, quick, monkeypatch):
    target = LocalTarget(tmp_path)
    target.put("a/b/c", b"1")

    def dropped(path="."):
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected", str(path))

    monkeypatch.setattr("os.scandir", dropped)
    monkeypatch.setenv("PANINIFS_PATIENCE", "0.1")
    with pytest.raises(OSError, match="107"):
        target.sizes()
    with pytest.raises(StorageUnreachable, match="listing"):
        RetryingTarget(target).sizes()
