"""A sketch of a graph as SVG, for notebooks and files.

The picture has its own background and follows the reader's theme, so it is legible on any page.
Names are not trusted: everything is escaped, and the picture refers to no other resource.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from html import escape

from .as_text import FUSED, inputs_of, notes_of
from .boxes import LINE, PADDING, Box, Line, Picture, corpus_net, picture_of
from .channels import Point, Wires
from .layout import INSET, Node, layout
from .measure import printable
from .sketch import BlockSketch, Sketch, StageSketch

COLOURS = {
    "ground": ("#ffffff", "#14181d"),
    "stage": ("#f4f6f8", "#1e242b"),
    "line": ("#7d8590", "#8b96a1"),
    "box": ("#ffffff", "#262d35"),
    "fused": ("#fff3d6", "#3a3016"),
    "corpus": ("#e3f1ea", "#173528"),
    "reduction": ("#e6eefb", "#1b2f4a"),
    "ink": ("#1b1f24", "#e6e9ed"),
    "faint": ("#57606a", "#a3adb8"),
    "wire": ("#57606a", "#a3adb8"),
}
"""Colours by purpose, in the light and in the dark theme. Text has a contrast of at least 4.5 on
each background, lines of at least 3."""

FONT = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono',monospace"

_FILLS = {
    "corpus": "corpus",
    "block": "box",
    "reduction": "reduction",
    "stage": "stage",
    "fused": "fused",
}
_INK = {"name": "ink", "taken": "faint", "made": "ink", "note": "faint", "title": "faint"}
_TIP = 6.0  # length of an arrow


def svg_of(sketch: Sketch) -> str:
    """Return the SVG element of a sketch."""
    picture = picture_of(sketch)
    wires = layout(picture.root, frozenset(map(corpus_net, sketch.columns)))
    root = picture.root
    name = f"paninifs-{hashlib.sha256(repr(sketch).encode()).hexdigest()[:12]}"
    width, height = root.width, root.height
    nodes = [node for node in root.all() if node is not root]
    frames = (_rect(node, picture.boxes[node.key]) for node in nodes if node.rows)
    leaves = (_rect(node, picture.boxes[node.key]) for node in nodes if not node.rows)
    texts = (text for node in nodes for text in _texts(node, picture.boxes[node.key]))
    size = f'width="{width:g}" height="{height:g}"'
    parts = [
        f'<title id="{name}-title">{escape(sketch.title)}</title>',
        f'<desc id="{name}-text">{escape(_described(sketch))}</desc>',
        f"<style>{_style()}</style>",
        f'<rect class="ground" fill="{COLOURS["ground"][0]}" {size} rx="6"/>',
        *frames,
        *_wires(wires, picture),
        *leaves,
        *_arrows(wires, picture),
        f'<g font-family="{FONT}" font-size="12">',
        *texts,
        "</g>",
    ]
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" class="paninifs-graph" role="img" '
        f'aria-labelledby="{name}-title" aria-describedby="{name}-text" {size} '
        f'viewBox="0 0 {width:g} {height:g}" style="max-width:100%;height:auto">'
        f"{''.join(parts)}</svg>"
    )


def _style() -> str:
    """Return the colours of the dark theme; those of the light theme are attributes."""
    dark = [
        f".paninifs-graph .{use}-{what}{{{what}:{colours[1]}}}"
        for use, colours in COLOURS.items()
        for what in ("fill", "stroke")
    ]
    ground = f".paninifs-graph .ground{{fill:{COLOURS['ground'][1]}}}"
    return f"@media (prefers-color-scheme:dark){{{ground}{''.join(dark)}}}"


def _rect(node: Node, box: Box) -> str:
    fill, dashed = _FILLS[box.kind], ' stroke-dasharray="5 3"' if box.kind == "fused" else ""
    return (
        f'<rect class="{box.kind} {fill}-fill line-stroke" '
        f'data-key="{escape(printable(node.key))}" '
        f'fill="{COLOURS[fill][0]}" stroke="{COLOURS["line"][0]}"{dashed} '
        f'x="{node.x:g}" y="{node.y:g}" width="{node.width:g}" height="{node.height:g}" rx="5"/>'
    )


def _texts(node: Node, box: Box) -> Iterator[str]:
    left = node.x + (INSET if node.rows else PADDING)
    for at, line in enumerate(box.lines, 1):
        yield _text(line, Point(left, node.y + LINE * at - (1 if node.rows else 1.5)))


def _text(line: Line, at: Point) -> str:
    ink = _INK[line.style]
    weight = ' font-weight="bold"' if line.style == "name" else ""
    whole = f"<title>{escape(line.whole)}</title>" if line.whole not in ("", line.text) else ""
    return (
        f'<text class="{ink}-fill {line.style}" fill="{COLOURS[ink][0]}"{weight} '
        f'x="{at.x:g}" y="{at.y:g}" xml:space="preserve">{whole}{escape(line.text)}</text>'
    )


def _wires(wires: Wires, picture: Picture) -> Iterator[str]:
    for net, lines in wires.lines.items():
        path = "".join(f"M{start.x:g} {start.y:g}L{end.x:g} {end.y:g}" for start, end in lines)
        wide = 3 if net in picture.whole else 1.3
        yield (
            f'<path class="wire-stroke" data-net="{escape(printable(net))}" fill="none" '
            f'stroke="{COLOURS["wire"][0]}" stroke-width="{wide}" stroke-linecap="round" '
            f'd="{path}"><title>{escape(_net_name(net, picture))}</title></path>'
        )


def _net_name(net: str, picture: Picture) -> str:
    return "all texts" if net in picture.whole else printable(net)


def _arrows(wires: Wires, picture: Picture) -> Iterator[str]:
    wire, ground = COLOURS["wire"][0], COLOURS["ground"][0]
    for net, key, (x, y) in wires.arrivals:
        if net in picture.boxes[key].conditions:
            yield (
                f'<circle class="ground-fill wire-stroke" fill="{ground}" stroke="{wire}" '
                f'cx="{x:g}" cy="{y - 4:g}" r="3.5"><title>condition</title></circle>'
            )
        else:
            half = 5 if net in picture.whole else 3.5
            yield (
                f'<path class="wire-fill" fill="{wire}" '
                f'd="M{x - half:g} {y - _TIP:g}L{x + half:g} {y - _TIP:g}L{x:g} {y:g}Z"/>'
            )


def _described(sketch: Sketch) -> str:
    """Return the picture in sentences, for readers who cannot see it."""
    columns = ", ".join(map(printable, sketch.columns)) or "nothing"
    return " ".join(
        [f"From the corpus: {columns}.", *(_stage_in_words(stage) for stage in sketch.stages)]
    )


def _stage_in_words(stage: StageSketch) -> str:
    parts = []
    for part in stage.parts:
        said = "; ".join(map(_block_in_words, part.blocks))
        parts.append(f"{FUSED}: {said}" if part.fused else said)
    return f"{stage.title}: {'; '.join(parts)}."


def _block_in_words(block: BlockSketch) -> str:
    made = ", ".join(f"{printable(name)} {kind}".strip() for name, kind in block.fields)
    notes = "".join(f", {note}" for note in notes_of(block))
    return f"{printable(block.name)} makes {made} of {', '.join(inputs_of(block))}{notes}"
