"""`Sketch`: what the explanation of a graph shows, as plain data that can be laid out.

`sketch_of` collects it from a graph's stages and blocks. How it is shown is in `as_text` and
`as_svg`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...storage.errors import UsageError
from .html import kind_of

ALL_TEXTS = "all texts"
"""What a reduction takes besides its inputs."""


@dataclass(frozen=True, kw_only=True)
class BlockSketch:
    """A block: what it takes, what it makes, and what is known of its cost."""

    name: str
    inputs: tuple[str, ...]
    fields: tuple[tuple[str, str], ...]  # name, and dtype with shape; "" for a reduction's result
    reduction: bool = False
    params: tuple[str, ...] = ()  # of a reduction, such as "field=length": the fields that it names
    when: str = ""
    setup: tuple[str, ...] = ()
    per_thread: bool = False
    kernel: bool = False  # whether the block has CUDA C++ of its own
    seconds: float | None = None  # per text
    declared: bool = False  # whether that is what the block declares

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of what it takes, its condition included."""
        return tuple(dict.fromkeys([*self.inputs, *([self.when] if self.when else [])]))


@dataclass(frozen=True, kw_only=True)
class PartSketch:
    """One block; or several that a backend computes as one."""

    blocks: tuple[BlockSketch, ...]
    seconds: float | None = None  # per text, of fused blocks

    @property
    def fused(self) -> bool:
        """Whether these are fused blocks."""
        return len(self.blocks) > 1


@dataclass(frozen=True, kw_only=True)
class StageSketch:
    """A pass over the shards, or a reduction."""

    number: int
    parts: tuple[PartSketch, ...]

    @property
    def blocks(self) -> tuple[BlockSketch, ...]:
        """All blocks of the stage."""
        return tuple(block for part in self.parts for block in part.blocks)

    @property
    def reduction(self) -> bool:
        """Whether the stage is a reduction."""
        return self.blocks[0].reduction

    @property
    def title(self) -> str:
        """The number of the stage, and what it is."""
        what = "reduction over all texts" if self.reduction else "pass over the shards"
        return f"stage {self.number}: {what}"


@dataclass(frozen=True, kw_only=True)
class Sketch:
    """A graph: what it takes from the corpus, and its stages."""

    columns: tuple[str, ...]
    stages: tuple[StageSketch, ...]
    row_bytes: int

    @property
    def blocks(self) -> tuple[BlockSketch, ...]:
        """All blocks, in the order in which they are computed."""
        return tuple(block for stage in self.stages for block in stage.blocks)

    @property
    def title(self) -> str:
        """How many stages, blocks and fields the graph has."""
        fields = sum(len(block.fields) for block in self.blocks if not block.reduction)
        return (
            f"graph of {_counted(len(self.blocks), 'block')} in "
            f"{_counted(len(self.stages), 'stage')}: {_counted(fields, 'field')}, "
            f"{_counted(self.row_bytes, 'byte')} per text"
        )


def sketch_of(
    stages: Iterable[Any],
    *,
    columns: Sequence[str],
    row_bytes: int,
    fused: Collection[str] = (),
    fused_as: str = "",
    seconds: Mapping[str, float] | None = None,
) -> Sketch:
    """Return the sketch of a graph.

    Parameters
    ----------
    stages : iterable of Stage
        In the order in which they are computed.
    columns : sequence of str
        What the blocks take and none of them makes.
    row_bytes : int
        Stored bytes per text.
    fused : collection of str
        Names of blocks that are computed as one.
    fused_as : str
        Name of these blocks together, for `seconds`.
    seconds : mapping of str to float, optional
        Seconds per text, by the name of a block.

    Raises
    ------
    UsageError
        `seconds` names something else, or has a value that is not a number of seconds.
    """
    known = dict(seconds or {})
    all_stages = list(stages)
    names = {block.name for stage in all_stages for block in stage.blocks}
    _require_seconds(known, names | ({fused_as} if fused else set()))
    return Sketch(
        columns=tuple(columns),
        stages=tuple(
            StageSketch(number=number, parts=_parts(stage.blocks, fused, fused_as, known))
            for number, stage in enumerate(all_stages, 1)
        ),
        row_bytes=row_bytes,
    )


def _parts(
    blocks: Iterable[Any], fused: Collection[str], fused_as: str, seconds: Mapping[str, float]
) -> tuple[PartSketch, ...]:
    together = [block for block in blocks if block.name in fused]
    parts = []
    for block in blocks:
        if len(together) < 2 or block.name not in fused:
            parts.append(PartSketch(blocks=(_block(block, seconds),)))
        elif block is together[0]:
            inside = tuple(_block(one, seconds) for one in together)
            parts.append(PartSketch(blocks=inside, seconds=seconds.get(fused_as)))
    return tuple(parts)


def _block(block: Any, seconds: Mapping[str, float]) -> BlockSketch:
    given = seconds.get(block.name)
    if not hasattr(block, "fields"):
        return BlockSketch(
            name=block.name,
            inputs=tuple(block.inputs),
            fields=((block.name, ""),),
            reduction=True,
            params=tuple(
                f"{name}={value}" for name, value in block.params.items() if value is not None
            ),
            seconds=given,
        )
    return BlockSketch(
        name=block.name,
        inputs=tuple(block.inputs),
        fields=tuple((field.name, kind_of(field)) for field in block.fields),
        when=block.when,
        setup=tuple(block.setup),
        per_thread=block.per_thread,
        kernel=bool(block.cuda),
        seconds=(block.text_seconds or None) if given is None else given,
        declared=given is None and bool(block.text_seconds),
    )


def _require_seconds(seconds: Mapping[str, float], names: Collection[str]) -> None:
    for name, value in seconds.items():
        if name not in names:
            raise UsageError(
                f"seconds= names {name!r}, which is not a block; blocks: {', '.join(sorted(names))}"
            )
        if not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise UsageError(f"seconds= of {name!r} must be seconds per text, not {value!r}")


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
