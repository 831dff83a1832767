"""`Graph.explain`: the text, the picture, and where everything is in it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import combinations, product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictured import FIVE_STAGES, THIRTY, condition, mapped, reduced

import paninifs
from paninifs import Graph, default_graph, histogram, profile
from paninifs.graphs.drawing.as_svg import COLOURS, svg_of
from paninifs.graphs.drawing.boxes import CHARACTER, corpus_net, picture_of
from paninifs.graphs.drawing.layout import INSET, layout
from paninifs.graphs.drawing.measure import columns
from paninifs.graphs.drawing.sketch import BlockSketch, PartSketch, Sketch, StageSketch
from paninifs.storage.errors import UsageError

SVG = "{http://www.w3.org/2000/svg}"

# --- as text --------------------------------------------------------------------------------------


def test_a_graph_of_several_stages_is_explained_in_text():
    assert (
        str(FIVE_STAGES.explain())
        == """\
graph of 10 blocks in 5 stages: 11 fields, 1,666 bytes per text

corpus  text, length, lang (kept column)

stage 1: pass over the shards
┌ fused, computed in one pass over the bytes
│ digest        text                        → digest                uint8[32]
│ dhatu         text                        → dhatu                 float32[9]
│ prime_base    dhatu                       → prime_base            float32[10]
│ ambiguity     dhatu                       → variance              float32
│                                             entropy               float32
│                                             ambiguity             float32
│                                             ambiguity_normalised  float32
└
  is_long       length                      → is_long               bool
  embed         text                        → vector                float32[384]
                when is_long; setup model once per process;
                20 ms per text (declared)

stage 2: reduction over all texts
  mean_entropy  all texts                   → mean_entropy

stage 3: pass over the shards
  centred       entropy, mean_entropy,      → centred               float32
                lang

stage 4: reduction over all texts
  spread        all texts, mean_entropy     → spread

stage 5: pass over the shards
  flag          centred, spread, dhatu      → flag                  bool"""
    )


def test_reductions_name_the_fields_that_they_take():
    blocks = profile("entropy", by="lang") + histogram("entropy", bins=list(range(40)))
    explained = (default_graph() + blocks).explain()
    assert "  field=entropy; by=lang\n" in str(explained)
    assert "  field=entropy; bins=39;\n" in str(explained)
    assert max(map(len, str(explained).splitlines())) <= 80
    assert "entropy_by_lang makes entropy_by_lang of all texts, field=entropy, by=lang." in (
        " ".join(explained.svg.split())
    )


def test_repr_is_the_text_and_equal_graphs_have_equal_pictures():
    explained = FIVE_STAGES.explain()
    assert repr(explained) == str(explained)
    assert explained.svg == explained._repr_html_() == Graph(FIVE_STAGES.blocks).explain().svg


@pytest.mark.parametrize("name", ["a" * 200, "語" * 100, "\x1b[31m<b>\n" * 9, "\udc80", "é" * 90])
def test_no_line_is_wider_than_a_terminal_whatever_the_names(name):
    fields = ["f" * 90, "語" * 70]
    block = mapped(
        name, ["text", *(f"{'column' * 9}{n}" for n in range(30))], fields, dtype="int64"
    )
    condition_of = condition("is_a_condition_with_a_long_name" * 3)
    made = mapped("last", ["text"], ["x"], when="is_a_condition_with_a_long_name" * 3)
    lines = str(Graph((block, condition_of, made)).explain()).splitlines()
    assert max(map(columns, lines)) <= 80
    assert all(line.isprintable() for line in lines)
    assert all(line == line.rstrip() for line in lines)


def test_names_are_whole_where_there_is_room():
    name = "the_mean_of_what_is_left"
    assert f"  {name}  " in str(Graph((mapped(name, ["text"], ["x"]),)).explain())


def test_an_empty_graph_is_shown_without_a_picture():
    assert "<svg" not in Graph()._repr_html_()
    assert str(Graph().explain()).startswith("graph of 0 blocks in 0 stages")


def test_the_guide_shows_what_its_example_prints():
    guide = (Path(paninifs.__file__).parent / "deploy/docs/graph.md").read_text("utf-8")
    graph = (
        default_graph()
        + mapped("n_words", ["text"], ["n_words"], dtype="int32")
        + reduced("longest")
        + mapped("relative", ["n_words", "longest"], ["relative"])
    )
    assert f"```\n{graph.explain()}\n```" in guide


# --- costs ----------------------------------------------------------------------------------------


def test_measured_costs_replace_declared_ones():
    slow = mapped("slow", ["text"], ["x"], text_seconds=0.5)
    graph = default_graph() + slow
    assert "500 ms per text (declared)" in str(graph.explain())
    said = str(graph.explain(seconds={"slow": 2e-3, "default_graph": 4.21e-7, "dhatu": 0}))
    assert "2 ms per text\n" in f"{said}\n"
    assert "declared" not in said
    assert "┌ fused, computed in one pass over the bytes: 421 ns per text\n" in said
    assert "0 s per text\n" in said


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        ({"slwo": 1}, r"seconds= names 'slwo', which is not a block; blocks: slow"),
        ({"default_graph": 1}, "'default_graph', which is not a block"),  # nothing is fused here
        ({"slow": -1}, "must be seconds per text, not -1"),
        ({"slow": "1"}, "must be seconds per text, not '1'"),
        ({"slow": float("nan")}, "must be seconds per text, not nan"),
    ],
)
def test_costs_of_something_else_are_refused(seconds, words):
    with pytest.raises(UsageError, match=words):
        Graph((mapped("slow", ["text"], ["x"]),)).explain(seconds=seconds)


# --- what is fused --------------------------------------------------------------------------------


def fused_frames(graph):
    return [one for one in rects(graph.explain().svg) if one.get("class").startswith("fused")]


def test_only_blocks_that_are_computed_as_one_are_framed():
    assert len(fused_frames(default_graph() + mapped("x", ["dhatu"], ["x"]))) == 1
    some = Graph(default_graph().blocks[:3])
    assert fused_frames(some) == []
    assert "fused" not in str(some.explain())
    two_inventories = Graph((*some.blocks, default_graph(primes=[2, 3]).blocks[3]))
    assert fused_frames(two_inventories) == []


# --- the picture ----------------------------------------------------------------------------------


def rects(svg):
    return ET.fromstring(svg).findall(f"{SVG}rect")


def test_the_picture_has_every_block_field_and_stage_as_text():
    texts = [
        "".join([one.text or "", *(part.tail or "" for part in one)])
        for one in ET.fromstring(FIVE_STAGES.explain().svg).iter(f"{SVG}text")
    ]
    for block in FIVE_STAGES:
        assert block.name in texts
    for field in FIVE_STAGES.fields:
        assert any(line.startswith(f"→ {field.name}  {field.dtype}") for line in texts)
    for number, what in enumerate(["pass", "reduction", "pass", "reduction", "pass"], 1):
        assert any(line.startswith(f"stage {number}: {what} over") for line in texts)
    assert {"when is_long", "setup model once per process", "20 ms per text (declared)"} <= {*texts}


def test_the_picture_is_described_for_readers_who_do_not_see_it():
    root = ET.fromstring(FIVE_STAGES.explain().svg)
    assert root.get("role") == "img"
    title, described = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert root.get("aria-labelledby") == title.get("id")
    assert root.get("aria-describedby") == described.get("id")
    assert title.text == "graph of 10 blocks in 5 stages: 11 fields, 1,666 bytes per text"
    assert "From the corpus: text, length, lang." in described.text
    assert "stage 2: reduction over all texts: mean_entropy makes mean_entropy of all texts." in (
        described.text
    )


def test_arrows_show_what_flows():
    root = ET.fromstring(FIVE_STAGES.explain().svg)
    nets = {one.get("data-net") for one in root.iter(f"{SVG}path") if one.get("data-net")}
    assert nets == {
        *("corpus text", "corpus length", "corpus lang", "dhatu", "entropy", "is_long", "centred"),
        *("mean_entropy", "spread", "all after stage 1", "all after stage 3"),
    }
    assert len(root.findall(f"{SVG}circle")) == 1  # the condition


def test_hostile_names_are_escaped():
    hostile = "</text></svg><script>alert(1)</script>&\"'\x00\x1b]]>"
    graph = Graph((mapped(hostile, ["text"], ["x"]),))
    svg = graph.explain().svg
    assert "<script" not in svg
    assert ET.fromstring(svg).tag == f"{SVG}svg"
    assert "<script" not in graph._repr_html_()


def test_a_notebook_shows_the_picture_and_the_fields():
    shown = default_graph()._repr_html_()
    assert shown.index("</svg>") < shown.index("<details><summary>fields</summary><table>")


def test_saving(tmp_path):
    explained = default_graph().explain()
    explained.save(tmp_path / "graph.svg")
    assert ET.parse(tmp_path / "graph.svg").getroot().tag == f"{SVG}svg"
    explained.save(str(tmp_path / "graph.txt"))
    assert (tmp_path / "graph.txt").read_text("utf-8") == f"{explained}\n"
    with pytest.raises(UsageError, match=r"graph\.png: the picture is saved as \.svg"):
        explained.save(tmp_path / "graph.png")


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return sum(weight * one for weight, one in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_can_be_told_apart(theme):
    grounds = ("ground", "stage", "box", "fused", "corpus", "reduction")
    for ink, ground in product(("ink", "faint"), grounds):
        assert contrast(COLOURS[ink][theme], COLOURS[ground][theme]) >= 4.5, (ink, ground)
    for line, ground in product(("line", "wire"), ("ground", "stage", "fused")):
        assert contrast(COLOURS[line][theme], COLOURS[ground][theme]) >= 3, (line, ground)


# --- where everything is --------------------------------------------------------------------------


def sketches():
    """Sketches of any shape: passes and reductions, blocks that take what is before them."""

    @st.composite
    def made(draw):
        columns_ = ["text", *draw(st.lists(st.sampled_from(["id", "length", "lang"]), unique=True))]
        known, stages = list(columns_), []
        for number in range(1, draw(st.integers(1, 5)) + 1):
            reduction = draw(st.booleans())
            blocks = []
            for at in range(1 if reduction else draw(st.integers(1, 12))):
                taken = draw(st.lists(st.sampled_from(known), min_size=1, max_size=4, unique=True))
                name = f"b{number}_{at}{'x' * draw(st.integers(0, 40))}"
                fields = [
                    f"{name}_{n}" for n in range(1 if reduction else draw(st.integers(1, 14)))
                ]
                when = draw(st.sampled_from(["", *known])) if not reduction else ""
                blocks.append(
                    BlockSketch(
                        name=name,
                        inputs=tuple(taken),
                        fields=tuple((field, "float32[384]") for field in fields),
                        reduction=reduction,
                        when=when,
                    )
                )
                known += fields
            cut_at = draw(st.integers(0, len(blocks)))
            together = [blocks[:cut_at], *([one] for one in blocks[cut_at:])]
            parts = tuple(PartSketch(blocks=tuple(part)) for part in together if part)
            stages.append(StageSketch(number=number, parts=parts))
        return Sketch(columns=tuple(columns_), stages=tuple(stages), row_bytes=0)

    return made()


@pytest.mark.slow("lays out graphs of many shapes")
@given(sketches())
@settings(max_examples=40, deadline=None)
def test_nothing_overlaps_and_every_arrow_arrives(sketch):
    assert_clear(sketch)


@pytest.mark.parametrize("graph", [default_graph(), FIVE_STAGES, THIRTY], ids=["4", "10", "30"])
def test_nothing_overlaps_in_graphs(graph):
    assert_clear(graph.explain().sketch)


def test_a_small_box_has_room_for_all_its_arrows():
    def block(name, inputs, *fields, reduction=False):
        made = tuple((field, "float32[384]") for field in fields)
        return PartSketch(
            blocks=(BlockSketch(name=name, inputs=inputs, fields=made, reduction=reduction),)
        )

    parts = (
        (
            block("a", ("text",), "a"),
            block("b", ("text", "a"), "b", "c"),
            block("d", ("text", "a", "b"), "d"),
        ),
        (block("e", ("text",), "e", reduction=True),),
        (block("f", ("text", "a", "b", "c"), "f"),),
    )
    stages = tuple(StageSketch(number=number, parts=some) for number, some in enumerate(parts, 1))
    assert_clear(Sketch(columns=("text",), stages=stages, row_bytes=0))


def assert_clear(sketch):
    picture = picture_of(sketch)
    wires = layout(picture.root, frozenset(map(corpus_net, sketch.columns)))
    nodes = list(picture.root.all())
    leaves = [node for node in nodes if not node.rows]
    for node in nodes:
        assert_inside(node, [child for row in node.rows for child in row])
    titles = [
        (node.x + INSET, node.y + 3, node.x + INSET + node.title_width, node.y + node.head)
        for node in nodes
        if node.title_width
    ]
    lines = [(net, line) for net, some in wires.lines.items() for line in some]
    for (_, line), obstacle in product(lines, [*map(area, leaves), *titles]):
        assert apart(span(line), obstacle, touching=True)
    for (net, one), (other_net, other) in combinations(lines, 2):
        assert net == other_net or not share_a_line(one, other), (one, other)
    for node in leaves:
        widest = max(columns(line.text) for line in picture.boxes[node.key].lines)
        assert CHARACTER * widest < node.width
    taken = {(net, leaf.key) for leaf in leaves for net in leaf.takes}
    assert {(net, key) for net, key, _ in wires.arrivals} == taken
    assert_connected(wires, leaves)


def assert_inside(node, children):
    for child in children:
        assert node.x <= child.x
        assert child.x + child.width <= node.x + node.width
        assert node.y <= child.y
        assert child.y + child.height <= node.y + node.height
    for one, other in combinations(children, 2):
        assert apart(area(one), area(other))


def assert_connected(wires, leaves):
    """Every arrow is connected with where its net begins."""
    for net, _, tip in wires.arrivals:
        rest = list(wires.lines[net])
        reached = [(tip, tip)]
        while more := [line for line in rest if any(meet(line, other) for other in reached)]:
            reached += more
            rest = [line for line in rest if line not in more]
        highest = min((end for line in reached for end in line), key=lambda point: point.y)
        assert net.startswith("all after stage") or any(
            leaf.y + leaf.height == highest.y and leaf.x < highest.x < leaf.x + leaf.width
            for leaf in leaves
            if net in leaf.makes
        )


def meet(line, other):
    return any(on(end, *other) for end in line) or any(on(end, *line) for end in other)


def on(point, one, other):
    return min(one.x, other.x) <= point.x <= max(one.x, other.x) and min(
        one.y, other.y
    ) <= point.y <= max(one.y, other.y)


def area(node):
    return node.x, node.y, node.x + node.width, node.y + node.height


def span(line):
    (a, b), (c, d) = line
    return min(a, c), min(b, d), max(a, c), max(b, d)


def apart(one, other, touching=False):
    if touching:
        return one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
    return one[2] < other[0] or other[2] < one[0] or one[3] < other[1] or other[3] < one[1]


def share_a_line(one, other):
    """Whether two lines run along each other; they may cross."""
    a, b, c, d = span(one)
    e, f, g, h = span(other)
    if a == c == e == g:
        return min(d, h) > max(b, f)
    if b == d == f == h:
        return min(c, g) > max(a, e)
    return False


def test_the_picture_of_a_large_graph_stays_readable():
    many = Graph(tuple(mapped(f"block_{n}", ["text"], [f"f{n}"]) for n in range(40)))
    root = ET.fromstring(many.explain().svg)
    assert float(root.get("width")) < 1000
    assert len(root.findall(f".//{SVG}rect[@class='block box-fill line-stroke']")) == 40


def test_svg_is_that_of_the_sketch():
    assert svg_of(FIVE_STAGES.explain().sketch) == FIVE_STAGES.explain().svg


def test_a_reduction_of_nothing_but_the_corpus_follows_the_corpus():
    graph = Graph((reduced("count"),))
    nets = [one.get("data-net") for one in ET.fromstring(graph.explain().svg).iter(f"{SVG}path")]
    assert "all after corpus" in nets
