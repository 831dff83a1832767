"""`Work`: what somebody wants done, in the numbers that decide how long it takes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ...storage.corpus.partition import Sharding
from ...storage.errors import UsageError
from ...storage.formats.registry import require_format
from ..hardware.selection import cluster_for

if TYPE_CHECKING:
    from ...storage.corpus.corpus import Corpus

Kind = Literal["hashing", "embedding"]
KINDS: tuple[Kind, ...] = ("hashing", "embedding")


PARAMETER_BYTES, HALF_PARAMETER_BYTES = 4, 2  # in FP32, in FP16
LONGEST = 1e15  # bytes of a text, so that what is reckoned of it stays a number
MODEL_ROOM = 2_000_000_000
"""Bytes beside a model's parameters: the library itself, a batch and what becomes of it."""


@dataclass(frozen=True)
class Model:
    """A model that texts are embedded with."""

    name: str
    parameters: int

    def __post_init__(self) -> None:
        if not 1 <= self.parameters < float("inf"):
            raise UsageError(f"a model has at least one parameter: {self}")


@dataclass(frozen=True, kw_only=True)
class Work:
    """A corpus and what is done to it.

    Parameters
    ----------
    texts : int
        How many there are.
    mean_bytes : float
        Of a text in UTF-8, with whatever surrounds it in its file.
    kind : "hashing" or "embedding"
        The default graph, or models.
    format : str
        How the corpus is stored; reading it takes about as long as hashing.
    models : tuple of Model
        Of "embedding", one after another.
    tasks : int, optional
        Into how many its files can be cut; one core does each. As many as one likes if left out.
    stored_bytes : int, optional
        Of its files; as many as its texts have if left out.

    Raises
    ------
    UsageError
        A number makes no sense, or the kind and the models do not go together.

    Examples
    --------
    >>> work = Work(1_000_000, mean_bytes=100)
    >>> work.text_bytes, work.shards
    (100000000, 123)
    """

    texts: int = field(kw_only=False)
    mean_bytes: float = field(default=100.0, kw_only=False)
    kind: Kind = field(default="hashing", kw_only=False)
    format: str = field(default="parquet", kw_only=False)
    models: tuple[Model, ...] = field(default=(), kw_only=False)
    tasks: int | None = None
    stored_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"work is {' or '.join(KINDS)}, not {self.kind!r}")
        if not isinstance(self.texts, int) or self.texts < 1:
            raise UsageError(f"work is on a whole number of texts, and at least one: {self}")
        if not 0 <= self.mean_bytes <= LONGEST:
            raise UsageError(f"a text has 0 to {LONGEST:g} bytes: {self}")
        if self.tasks is not None and self.tasks < 1:
            raise UsageError(f"a corpus is cut into at least one task: {self}")
        require_format(self.format)
        if bool(self.models) != (self.kind == "embedding"):
            raise UsageError("embedding is done with models, and hashing without")

    @classmethod
    def on(cls, corpus: Corpus) -> Work:
        """Return the hashing of a corpus, whose records are counted for it (see `Corpus.index`).

        Raises
        ------
        UsageError
            The corpus has no texts.
        """
        index = corpus.index
        rows: Counter[str] = Counter()
        for one in index.files:
            rows[one.file.format] += one.rows
        known = [one for one in index.files if one.lengths]
        nbytes = sum(one.lengths.nbytes for one in known if one.lengths)
        return cls(
            index.rows,
            nbytes / max(1, sum(one.rows for one in known)),
            format=rows.most_common(1)[0][0],
            tasks=max(1, len(index.partitions(Sharding().choose(index.rows)))),
            stored_bytes=corpus.nbytes,
        )

    @property
    def text_bytes(self) -> int:
        """Bytes of all texts."""
        return round(self.texts * self.mean_bytes)

    @property
    def cluster(self) -> str | None:
        """The cluster that the command takes for it; None: the one that `connect` chooses."""
        return cluster_for(self.text_bytes if self.stored_bytes is None else self.stored_bytes)

    @property
    def shards(self) -> int:
        """Shards that a store of the default graph has."""
        return -(-self.texts // Sharding().choose(self.texts))

    def model_bytes(self, bytes_a_parameter: int) -> int:
        """Return what the largest model needs: one is there at a time.

        >>> models = (Model("SBERT", 278_000_000), Model("BGE-M3", 568_000_000))
        >>> Work(1000, kind="embedding", models=models).model_bytes(PARAMETER_BYTES)
        4272000000
        """
        return MODEL_ROOM + bytes_a_parameter * max(one.parameters for one in self.models)


def at_once(tasks: int | None, cores: int) -> float:
    """Return how many cores a corpus keeps busy, on the average: each does a task at a time.

    >>> at_once(None, cores=2), at_once(3, cores=2), at_once(1, cores=2)
    (2, 1.5, 1.0)
    """
    return cores if tasks is None else tasks / -(-tasks // cores)
