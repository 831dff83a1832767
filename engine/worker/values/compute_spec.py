"""`ComputeSpec`: how the rows of a stage become arrays."""

from __future__ import annotations

from dataclasses import dataclass, field

from ....graphs.graph import Graph
from ....storage.corpus.opening import FileOpener
from ....storage.field import Field
from ....storage.rows import Column, ColumnSelection
from ....storage.store.layout import VALID
from ..failing_rows import FailureLimit
from ..micro_batches.micro_batch import MicroBatch
from ..user_code import Sources
from .inputs import needs_text
from .stored import StoredReductions, StoredValues


@dataclass(frozen=True, kw_only=True)
class ComputeSpec:
    """How rows become arrays: which columns are read, which blocks run, and on which backend."""

    graph: Graph
    backend: str  # a name, resolved on the worker
    columns: ColumnSelection
    id_column: Column | None  # None: a text's id is its row number
    keep: tuple[Column, ...]  # columns that become arrays too
    fields: tuple[Field, ...]  # every array of the store
    opener: FileOpener
    stored: StoredValues | None = None  # of earlier stages; None: this is the first one
    reductions: StoredReductions | None = None  # that the blocks take
    valid: str = VALID.name  # the array that says which rows are computed
    micro_batch: MicroBatch | None = None  # None: adapted to the backend
    failure_limit: FailureLimit | None = None  # None: the first failure ends, without a search
    sources: Sources = field(default_factory=dict)  # of the user's functions

    @property
    def reads_corpus(self) -> bool:
        """Whether the texts must be read: all values of a later stage may be in the store."""
        return self.stored is None or needs_text(self.graph.inputs)
