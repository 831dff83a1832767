"""`Web`: the interface by which sources fetch whole bodies, politely and safely."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from .answer import Answer, Validators


class Web(Protocol):
    """Fetches from servers within the limits of each host."""

    async def get(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        validators: Validators | None = None,
        most_bytes: int | None = None,
        robots: bool = True,
    ) -> Answer:
        """Return the body at an address, waiting for the host's turn and retrying as needed.

        Parameters
        ----------
        url
            An http or https address.
        params
            Parameters to add to its query, encoded here.
        validators
            Validators of an earlier answer, for a conditional request.
        most_bytes
            Largest body to read, decompressed; None for the collection's limit.
        robots
            Whether to obey robots.txt. False only for a published API.

        Raises
        ------
        NotKept
            It cannot be fetched, with a reason of `outcome.REASONS`.
        """

    async def save(self, url: str, path: Path, *, most_bytes: int | None = None) -> Answer:
        """Download a large file, resuming an earlier attempt (`Range`, `If-Range`).

        An existing file is replaced. The size has a limit of its own, apart from that of bodies.

        The file is at `path` when this returns, and until then at ``path.part``. The
        answer's `body` is empty.
        """
