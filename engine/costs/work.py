"""`Work`: a piece of work, described by the numbers that determine how long it takes.

How long it takes on a machine is in `prediction`.
"""

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
LONGEST = 1e15  # maximum bytes of a text, so that results of arithmetic stay finite
MODEL_OVERHEAD_BYTES = 2_000_000_000
"""Bytes needed besides a model's parameters: the library, a batch and its results."""


@dataclass(frozen=True)
class Model:
    """A model to embed texts with."""

    name: str
    parameters: int

    def __post_init__(self) -> None:
        if not 1 <= self.parameters < float("inf"):
            raise UsageError(f"a model must have at least one parameter: {self}")


@dataclass(frozen=True, kw_only=True)
class Work:
    """The size of a corpus, and what is done with its texts.

    Parameters
    ----------
    texts : int
        Number of texts.
    mean_bytes : float
        Mean bytes of a text in UTF-8, including what surrounds it in its file.
    kind : "hashing" or "embedding"
        The default graph, or models.
    format : str
        Format of the corpus; reading takes about as long as hashing.
    models : tuple of Model
        For "embedding", used one after another.
    tasks : int, optional
        Number of tasks that its files can be divided into, each done by one core. By default
        unlimited.
    stored_bytes : int, optional
        Bytes of its files; by default those of its texts.

    Raises
    ------
    UsageError
        A number is out of range, or the kind and the models contradict each other.

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
            raise UsageError(f"the kind of work must be {' or '.join(KINDS)}, not {self.kind!r}")
        if not isinstance(self.texts, int) or self.texts < 1:
            raise UsageError(f"the number of texts must be a whole number, at least one: {self}")
        if not 0 <= self.mean_bytes <= LONGEST:
            raise UsageError(f"mean_bytes must be from 0 to {LONGEST:g}: {self}")
        if self.tasks is not None and (not isinstance(self.tasks, int) or self.tasks < 1):
            raise UsageError(f"the number of tasks must be a whole number, at least one: {self}")
        require_format(self.format)
        if bool(self.models) != (self.kind == "embedding"):
            raise UsageError("embedding needs at least one model, and hashing takes none")

    @classmethod
    def on(cls, corpus: Corpus) -> Work:
        """Return the work of hashing a corpus; its records are counted (see `Corpus.index`).

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
        """Bytes of all texts together."""
        return round(self.texts * self.mean_bytes)

    @property
    def cluster(self) -> str | None:
        """The cluster that the command uses for this work; None: the one `connect` selects."""
        return cluster_for(self.text_bytes if self.stored_bytes is None else self.stored_bytes)

    @property
    def shards(self) -> int:
        """Shards in a store of the default graph."""
        return -(-self.texts // Sharding().choose(self.texts))

    def model_bytes(self, bytes_per_parameter: int) -> int:
        """Return the memory for the largest model; one is loaded at a time.

        >>> models = (Model("SBERT", 278_000_000), Model("BGE-M3", 568_000_000))
        >>> Work(1000, kind="embedding", models=models).model_bytes(PARAMETER_BYTES)
        4272000000
        """
        return MODEL_OVERHEAD_BYTES + bytes_per_parameter * max(
            one.parameters for one in self.models
        )


TYPICAL = Work(100_000_000, mean_bytes=100)
"""Work for which machines are compared where nothing is known of the user's own."""


def busy_cores(tasks: int | None, cores: int) -> float:
    """Return the mean number of busy cores, if each core does one task at a time.

    >>> busy_cores(None, cores=2), busy_cores(3, cores=2), busy_cores(1, cores=2)
    (2, 1.5, 1.0)
    """
    return cores if tasks is None else tasks / -(-tasks // cores)
