"""Waiting for a storage that fails: which failures, for how long, and what is said then."""

import errno
import http.client
import logging
from types import SimpleNamespace

import aiohttp
import gcsfs.retry
import pytest
import requests
from googleapiclient.errors import HttpError as DriveError
from httplib2 import Response

from paninifs.storage.errors import PaniniError, StorageUnreachable, UsageError
from paninifs.storage.filesystems.retry import is_passing, patiently
from paninifs.storage.targets.guarded import PatientTarget, ReadBackTarget
from paninifs.storage.targets.local import LocalTarget


def drive_error(status, reason):
    content = b'{"error": {"message": "%s", "errors": [{"reason": "%s"}]}}' % (reason, reason)
    return DriveError(Response({"status": status}), content)


PASSING = [
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
LASTING = [
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


@pytest.mark.parametrize("error", PASSING, ids=lambda e: f"{type(e).__name__} {e}"[:40])
def test_these_pass(error):
    assert is_passing(error)


@pytest.mark.parametrize("error", LASTING, ids=lambda e: f"{type(e).__name__} {e}"[:40])
def test_these_do_not(error):
    assert not is_passing(error)


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


def test_what_passes_is_waited_for(quick):
    call = Failing(*PASSING)
    assert patiently("reading a", call) == "answer"
    assert call.calls == len(PASSING) + 1


def test_what_does_not_pass_is_raised_at_once(quick):
    for error in LASTING:
        call = Failing(error)
        with pytest.raises(type(error)) as caught:
            patiently("reading a", call)
        assert caught.value is error
        assert call.calls == 1


def test_patience_ends_and_says_so(quick, monkeypatch, caplog):
    monkeypatch.setenv("PANINIFS_PATIENCE", "0.2")
    call = Failing(*[OSError(errno.ENOTCONN, "Transport endpoint is not connected")] * 10_000)
    with caplog.at_level(logging.INFO), pytest.raises(StorageUnreachable) as caught:
        patiently("writing drive/results.zarr/valid/c/3", call)
    message = str(caught.value)
    assert message.startswith("writing drive/results.zarr/valid/c/3 failed for 0 s (")
    assert "OSError: [Errno 107] Transport endpoint is not connected" in message
    assert "run again to go on" in message
    assert isinstance(caught.value, OSError)
    assert isinstance(caught.value, PaniniError)
    assert caught.value.__cause__.errno == errno.ENOTCONN
    assert 3 < call.calls < 2000
    levels = [record.levelno for record in caplog.records]
    assert levels[:3] == [logging.INFO] * 3  # one failure is nobody's business
    assert set(levels[3:]) == {logging.WARNING}


def test_what_took_longer_than_patience_lasts_is_tried_again(quick, monkeypatch):
    monkeypatch.setenv("PANINIFS_PATIENCE", "0")
    call = Failing(ConnectionResetError("after a long upload"))
    assert patiently("writing a", call) == "answer"


def test_patience_is_a_number(monkeypatch):
    monkeypatch.setenv("PANINIFS_PATIENCE", "long")
    with pytest.raises(UsageError, match="PANINIFS_PATIENCE is a number of seconds, not 'long'"):
        patiently("reading a", Failing())


# --- targets ------------------------------------------------------------------------------------


class Unreliable(LocalTarget):
    """Does to a write what `faults` says, one after the other; then what it should."""

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


def test_a_put_is_repeated_until_it_is_read_back(tmp_path, quick):
    target = Unreliable(tmp_path, *FAULTS)
    PatientTarget(ReadBackTarget(target)).put("a/b", b"what was meant")
    assert target.faults == []
    assert target.get("a/b") == b"what was meant"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_create_survives_each_fault(tmp_path, quick, fault):
    target = Unreliable(tmp_path, fault)
    guarded = PatientTarget(ReadBackTarget(target))
    assert guarded.create("a", b"mine alone") is True
    assert guarded.get("a") == b"mine alone"
    assert guarded.create("a", b"another") is False
    assert target.faults == []


def test_a_create_that_was_overtaken_is_no_success(tmp_path, quick):
    guarded = PatientTarget(ReadBackTarget(Unreliable(tmp_path, "overtaken")))
    assert guarded.create("a", b"mine alone") is False
    assert guarded.get("a") == b"another's"


def test_without_reading_back_a_short_write_goes_unnoticed(tmp_path, quick):
    target = Unreliable(tmp_path, "short")
    PatientTarget(target).put("a", b"what was meant")
    assert target.get("a") == b"what wa"


def test_a_folder_that_cannot_be_listed_is_not_empty(tmp_path, quick, monkeypatch):
    target = LocalTarget(tmp_path)
    target.put("a/b/c", b"1")

    def dropped(path="."):
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected", str(path))

    monkeypatch.setattr("os.scandir", dropped)
    monkeypatch.setenv("PANINIFS_PATIENCE", "0.1")
    with pytest.raises(OSError, match="107"):
        target.sizes()
    with pytest.raises(StorageUnreachable, match="listing"):
        PatientTarget(target).sizes()
