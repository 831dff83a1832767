"""Texts that a block of the user's own fails for: found by halving, and counted for each shard.

`Search` runs the blocks over the texts of a micro-batch, and finds the texts that one of them fails
for. `FailedRows` counts them, and ends the run if they are too many. Memory and micro-batches are
in `block_execution`; the lines that raised are in `user_code`.
"""

from __future__ import annotations

import errno
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ...graphs.block import MapBlock
from ...graphs.kernels import Kernels
from ...storage.errors import BlockError
from ...storage.field import Field
from ...storage.store.quarantine import QuarantinedRows
from .user_code import Sources, abridged, frames_of, in_words
from .values.inputs import Inputs

Step = tuple[MapBlock, Callable[..., Any]]
"""A block and its code on a backend."""

PROBED_ROWS = 16
"""Texts from which on a wrong array is first looked for in three single texts."""

MOST_EXAMPLES = 5
"""Most rows that an error lists after the first."""

_ROW_ERRNOS = frozenset({errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.ELOOP})
_ROW_OS_ERRORS = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class BlockFailure(Exception):
    """A user's block raised, or returned the wrong thing, for texts ``[start, stop)``.

    Never leaves this folder: it becomes a quarantined row or a `BlockError`.
    """

    def __init__(self, block: str, error: BaseException, rows: tuple[int, int]) -> None:
        super().__init__(block, error)
        self.block, self.error = block, error
        self.start, self.stop = rows

    @property
    def is_wrong_array(self) -> bool:
        """Whether the block returned something else than it declares."""
        return isinstance(self.error, BlockError)

    @property
    def sentence(self) -> str:
        """The block, and what went wrong."""
        if self.is_wrong_array:
            return abridged(str(self.error))
        return f"block {self.block!r} raised {in_words(self.error)}"

    def reason(self, sources: Sources) -> str:
        """Return the reason that the quarantine keeps: one line, without the place of a file."""
        frames = [] if self.is_wrong_array else frames_of(self.error, sources)
        return f"{self.sentence} ({frames[-1].brief})" if frames else self.sentence

    def to_error(self, where: str, sources: Sources) -> BlockError:
        """Return the error that ends a run; its message has the user's lines below."""
        frames = [] if self.is_wrong_array else frames_of(self.error, sources)
        sentence = f"{self.sentence} (at {where})"
        if isinstance(self.error, OSError) and not is_of_text(self.error):
            sentence += "; no text is quarantined for it, as it may pass: submit again to resume"
        return BlockError("\n".join([sentence, *map(str, frames)]))


def is_of_text(error: OSError) -> bool:
    """Return whether an operating system's error may be due to a text, such as a name in it.

    A network or a disk that fails may work again, unlike a file that does not exist.
    """
    return isinstance(error, _ROW_OS_ERRORS) or error.errno in _ROW_ERRNOS


OnFailure = Callable[[int, BlockFailure], None]
"""Called with each text that a block fails for, by number, perhaps twice; may raise to end."""


class Search:
    """One pass of all blocks over a micro-batch.

    If a user's block fails, the texts are halved, and so on down to the single text. Earlier blocks
    are not run again, later ones do not get a text that failed, and a half that must contain the
    failure, as the other does not, is not tried as a whole. A failing loop over texts thus takes at
    most twice as long as one that does not fail.

    Parameters
    ----------
    steps : sequence of Step
        The blocks, in order.
    fields : sequence of Field
        Fields to return; those of a text that failed have their `Field.fill`.
    failed : callable or None
        None: the first failure ends the pass, without a search.
    begun : callable, optional
        Called before every call of a block, with its name and the numbers of the texts.
    constants : mapping
        Inputs that are the same for all texts, by name: results of reductions.
    arguments : mapping
        Arguments that the blocks' ``setup`` made, by block.

    Attributes
    ----------
    running : str
        Name of the block that runs, or failed.
    seconds : dict
        Seconds by block, including calls that failed.
    searched : bool
        Whether a block failed, so that memory and time say nothing about the size of the batch.

    Raises
    ------
    BlockFailure
        Without `failed`; or if a block returns the wrong thing whatever the text.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        kernels: Kernels,
        fields: Sequence[Field],
        failed: OnFailure | None,
        *,
        begun: Callable[[str, int, int], object] | None = None,
        constants: Mapping[str, Any] | None = None,
        arguments: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self._steps, self._kernels, self._fields = steps, kernels, fields
        self._failed, self._begun = failed, begun
        self._constants, self._arguments = constants or {}, arguments or {}
        self.running = ""
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.searched = False

    def __call__(self, inputs: Inputs) -> dict[str, Any]:
        """Return the fields of the texts by name, in the backend's memory."""
        arrays, _ = self._through(0, inputs, 0)
        return arrays

    def _through(self, at: int, inputs: Inputs, start: int) -> tuple[dict[str, Any], int]:
        """Run the blocks from number `at` on; return the fields, and how many texts failed."""
        known = inputs
        for number in range(at, len(self._steps)):
            try:
                known = known.including(**self._applied(number, known, start))
            except BlockFailure as failure:
                if self._failed is None:
                    raise
                self.searched = True
                if len(known) == 1:
                    self._failed(start, failure)
                    return self._filled(), 1
                self._refuse_wrong_declaration(number, known, failure)
                return self._halved(number, known, failure)
        return {one.name: known.values[one.name] for one in self._fields}, 0

    def _halved(self, at: int, inputs: Inputs, failure: BlockFailure) -> tuple[dict[str, Any], int]:
        start, rows = failure.start, len(inputs)
        middle = rows // 2
        first, bad = self._through(at, inputs[:middle], start)
        rest = inputs[middle:]
        if not bad and rows - middle > 1:  # so the failure is in the second half
            within = BlockFailure(failure.block, failure.error, (start + middle, failure.stop))
            second, more = self._halved(at, rest, within)
        else:
            second, more = self._through(at, rest, start + middle)
        if failure.is_wrong_array and not bad + more:  # what it returns depends on the batch
            raise failure
        joined = {name: np.concatenate([first[name], second[name]]) for name in first}
        return joined, bad + more

    def _applied(self, number: int, inputs: Inputs, start: int) -> dict[str, Any]:
        """Run one block, and return its fields."""
        block, code = self._steps[number]
        chosen = self._chosen(block, inputs)
        self.running, began = block.name, time.perf_counter()
        if self._begun is not None:
            self._begun(block.name, start, start + len(inputs))
        try:
            if chosen is None:
                return self._called(block, code, inputs)
            return self._called_for(chosen, block, code, inputs)
        except (Exception, SystemExit) as error:
            if not self._is_of_texts(block, error):
                raise
            raise BlockFailure(block.name, error, (start, start + len(inputs))) from error
        finally:
            self.seconds[block.name] += time.perf_counter() - began

    def _chosen(self, block: MapBlock, inputs: Inputs) -> npt.NDArray[np.bool_] | None:
        """Return a mask of the texts that a block runs for, bool [n]; None if it runs for all."""
        if not block.when:
            return None
        chosen: npt.NDArray[Any] = self._kernels.on_host(inputs.values[block.when])
        if chosen.dtype != np.bool_:
            raise BlockError(
                f"block {block.name!r}: when={block.when!r} must be a bool, and this column is "
                f"{'string' if chosen.dtype.kind in 'OT' else chosen.dtype}; compute a bool field "
                "from it in a block before"
            )
        return chosen

    def _called(self, block: MapBlock, code: Callable[..., Any], inputs: Inputs) -> dict[str, Any]:
        """Call a block's code, and return its fields."""
        values = [
            self._constants[name] if name in self._constants else inputs.values[name]
            for name in block.inputs
        ]
        if block.setup:
            named = dict(zip(block.inputs, values, strict=True))
            returned = code(**named, **block.params, **self._arguments[block.name])
        else:
            returned = code(*values, **block.params)
        made = block.outputs(returned, len(inputs))
        return {name: self._kernels.asarray(array) for name, array in made.items()}

    def _called_for(
        self, chosen: npt.NDArray[np.bool_], block: MapBlock, code: Callable[..., Any], all_: Inputs
    ) -> dict[str, Any]:
        """Call a block's code for some texts; the others get the fields' fill values."""
        rows = int(np.count_nonzero(chosen))
        if rows == len(chosen):
            return self._called(block, code, all_)
        made: dict[str, Any] = {}
        if rows:
            names = [name for name in block.inputs if name in all_.values]
            values = {name: self._kernels.chosen(all_.values[name], chosen) for name in names}
            made = self._called(block, code, Inputs(values, rows))
        return {
            one.name: self._kernels.spread(made.get(one.name), chosen, one)
            for field in block.fields
            for one in field.arrays
        }

    def _is_of_texts(self, block: MapBlock, error: BaseException) -> bool:
        """Return whether an error may be due to a text, rather than to the machine."""
        if isinstance(error, MemoryError | ImportError):
            return False
        if isinstance(error, OSError) and not is_of_text(error):
            return False
        return self._kernels.may_be_of_text(block, error)

    def _refuse_wrong_declaration(self, number: int, inputs: Inputs, failure: BlockFailure) -> None:
        """Raise the failure if the block returns the wrong thing for each of three texts."""
        if not failure.is_wrong_array or len(inputs) < PROBED_ROWS:
            return
        chosen = self._chosen(self._steps[number][0], inputs)
        rows = np.arange(len(inputs)) if chosen is None else np.flatnonzero(chosen)
        for row in {int(rows[0]), int(rows[len(rows) // 2]), int(rows[-1])}:
            try:
                self._applied(number, inputs[row : row + 1], failure.start + row)
            except BlockFailure as single:
                if single.is_wrong_array:
                    continue
            return
        raise failure

    def _filled(self) -> dict[str, Any]:
        """Return the fields of one text that failed."""
        return {
            one.name: self._kernels.asarray(np.full((1, *one.shape), one.fill, one.array_dtype))
            for one in self._fields
        }


@dataclass(frozen=True)
class FailureLimit:
    """How many texts of a shard may fail: a share of its rows, and at least a number.

    >>> FailureLimit().most(100), FailureLimit().most(4096)
    (10, 40)
    """

    at_least: int = 10
    share: float = 0.01

    def most(self, rows: int) -> int:
        """Return the most texts of a shard of so many rows."""
        return max(self.at_least, int(self.share * rows))


@dataclass(kw_only=True)
class FailedRows:
    """The rows of a shard that a block failed for.

    Used by several threads.
    """

    limit: FailureLimit  # one more ends the run
    rows: int  # of the shard
    entries: dict[int, QuarantinedRows] = field(default_factory=dict)  # by row of the corpus
    _error: BlockError | None = None  # of the first one
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, entry: QuarantinedRows, error: BlockError) -> None:
        """Add a row, perhaps again.

        Raises
        ------
        BlockError
            There are more of them than the limit.
        """
        assert entry.row is not None
        with self._lock:
            self._error = self._error or error
            self.entries[entry.row] = entry
            if len(self.entries) > self.limit.most(self.rows):
                raise self._too_many(self._error)

    @property
    def first(self) -> str | None:
        """The first row, and why; None if there is none."""
        return abridged(str(self.entries[min(self.entries)])) if self.entries else None

    def _too_many(self, first: BlockError) -> BlockError:
        """Return the error of the first row, with the others."""
        most = self.limit.most(self.rows)
        if not most:
            return first
        sentence, _, frames = str(first).partition("\n")
        others = list(self.entries.values())[1 : MOST_EXAMPLES + 1]
        also = "".join(f"\n  {_example(one)}" for one in others)
        return BlockError(
            f"{sentence}; {len(self.entries):,} of {self.rows:,} texts of a shard failed, and at "
            f"most {most:,} are quarantined (max_failed_rows){also}"
            + (f"\n{frames}" if frames else "")
        )


def _example(entry: QuarantinedRows) -> str:
    """Name a row and what went wrong, without the block and the line."""
    why = entry.reason.removeprefix(f"block {entry.block!r} raised ").partition(" (line ")[0]
    return abridged(str(replace(entry, reason=why)), 200)
