"""`Leaving`: what happens to the runs on a cluster when the ``with`` block of its client ends.

Like an executor's, the block waits for the work that was submitted in it. The runs themselves are
known to `run.background.active`, which adds itself to `before_leaving`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import Client

    _Base = Client
else:
    _Base = object

_nanny_log = logging.getLogger("distributed.nanny")

before_leaving: list[Callable[[Any, bool], None]] = []
"""Called with a client whose block ends, and with whether it ends without an exception."""


class Leaving(_Base):
    """Makes a client's class wait for runs at the end of its ``with`` block."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            for callback in before_leaving:
                callback(self, kind is None)
        finally:
            _nanny_log.addFilter(_worth_logging)
            try:
                super().__exit__(kind, error, trace)  # type: ignore[no-untyped-call]
            finally:
                _nanny_log.removeFilter(_worth_logging)


def _worth_logging(record: logging.LogRecord) -> bool:
    """Return False for a worker that is ended while it computes: its cluster is meant to close."""
    return "still alive after" not in str(record.msg)
