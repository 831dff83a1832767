"""`Work`: what somebody wants done, in the numbers that decide how long it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ...storage.errors import UsageError

if TYPE_CHECKING:
    from ...storage.corpus import Corpus

Kind = Literal["hashing", "embedding"]
KINDS: tuple[Kind, ...] = ("hashing", "embedding")


@dataclass(frozen=True)
class Model:
    """A model that texts are embedded with."""

    name: str
    parameters: int


@dataclass(frozen=True)
class Work:
    """A corpus and what is done to it.

    Parameters
    ----------
    texts : int
        How many there are.
    mean_bytes : float
        Of a text, in UTF-8.
    kind : "hashing" or "embedding"
        The default graph, or models.
    format : str
        How the corpus is stored; reading it takes as long as hashing. Of "embedding" no matter.
    models : tuple of Model
        Of "embedding", one after another.

    Raises
    ------
    UsageError
        A number makes no sense, or the kind and the models do not go together.

    Examples
    --------
    >>> Work(1_000_000, mean_bytes=100).text_bytes
    100000000
    """

    texts: int
    mean_bytes: float = 100.0
    kind: Kind = "hashing"
    format: str = "parquet"
    models: tuple[Model, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"work is {' or '.join(KINDS)}, not {self.kind!r}")
        if self.texts < 1 or self.mean_bytes < 0:
            raise UsageError(f"work is on at least one text of no less than no bytes: {self}")
        if bool(self.models) != (self.kind == "embedding"):
            raise UsageError("embedding is done with models, and hashing without")

    @classmethod
    def on(cls, corpus: Corpus) -> Work:
        """Return the hashing of a corpus, whose records are counted for it (see `Corpus.index`)."""
        index = corpus.index
        known = [one.lengths for one in index.files if one.lengths]
        nbytes = sum(lengths.nbytes for lengths in known)
        rows = sum(lengths.rows for lengths in known)
        formats = {one.file.format for one in index.files}
        return cls(
            index.rows,
            nbytes / rows if rows else 0.0,
            format=max(
                formats,
                key=lambda name: sum(one.rows for one in index.files if one.file.format == name),
            )
            if formats
            else "parquet",
        )

    @property
    def text_bytes(self) -> int:
        """Bytes of all texts."""
        return round(self.texts * self.mean_bytes)
