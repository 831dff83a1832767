"""`Settings`: what determines the vectors of an embedding block, and belongs to its identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ...storage.errors import UsageError

LONG_TEXTS = ("cut", "average")
"""What is done with a text that has more tokens than the model takes: its beginning is used, or the
mean of its windows, weighted by their tokens."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What determines a block's vectors. Where the model lies does not.

    Parameters
    ----------
    model : str
        Name of the model, as shown to people; empty if the digest alone identifies it.
    revision : str
        The commit of a model from a hub; empty for others.
    digest : str
        SHA-256 of the model's files; see `ModelFolder`.
    engine : str
        What computes the vectors; see `ENGINES`.
    dtype : str
        Type in which the engine computes. The vectors are float32 in any case.
    exact : bool
        Whether a text's vector must not depend on the texts that it is computed with.
    prefix : str
        Put before every text.
    max_tokens : int or None
        Most tokens that the model is given at once; None for the model's own limit.
    long_texts : {"cut", "average"}
        See `LONG_TEXTS`.
    normalize : bool
        Whether the vectors are divided by their lengths, whatever the model itself does.
    """

    model: str
    revision: str
    digest: str
    engine: str
    dtype: str
    exact: bool
    prefix: str
    max_tokens: int | None
    long_texts: str
    normalize: bool

    def __post_init__(self) -> None:
        if self.long_texts not in LONG_TEXTS:
            raise UsageError(f"long_texts must be 'cut' or 'average', not {self.long_texts!r}")
        if self.max_tokens is not None and not (
            isinstance(self.max_tokens, int) and self.max_tokens > 2
        ):
            raise UsageError(f"max_tokens must be an integer above 2, not {self.max_tokens!r}")
        if not isinstance(self.prefix, str):
            raise UsageError(f"prefix must be a string, not {self.prefix!r}")

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON, for a block's ``params``."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Settings:
        """Return the settings of a block's ``params``."""
        return cls(**found)
