"""Pictures of graphs in a browser: nothing overlaps, and they can be read in both themes."""

from __future__ import annotations

from itertools import combinations

import pytest
from axe_playwright_python.sync_playwright import Axe
from pictured import FIVE_STAGES, THIRTY

from paninifs import default_graph
from paninifs.graphs.drawing.as_svg import COLOURS

GRAPHS = {"default": default_graph(), "five stages": FIVE_STAGES, "thirty blocks": THIRTY}

BOXES = """all => all.map(one => {
    const box = one.getBoundingClientRect();
    return [box.left, box.top, box.right, box.bottom, one.textContent];
})"""


def shown(look, tmp_path, *graphs, **context):
    """Open a page like a notebook's output, with the width of one."""
    page = tmp_path / "page.html"
    body = "".join(f"<div>{one._repr_html_()}</div>" for one in graphs)
    page.write_text(
        "<!doctype html><html lang=en><meta charset=utf-8><title>graphs</title>"
        f"<main><h1>graphs</h1>{body}</main>",
        encoding="utf-8",
    )
    return look(page.as_uri(), offline=True, viewport={"width": 1000, "height": 800}, **context)


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_texts_do_not_overlap_and_are_within_their_boxes(graph, look, tmp_path):
    page = shown(look, tmp_path, graph)
    texts = page.locator("svg text").evaluate_all(BOXES)
    assert len(texts) > len(graph)
    for one, other in combinations(texts, 2):
        assert apart(one, other), (one, other)
    (whole,) = page.locator("svg").evaluate_all(BOXES)
    boxes = page.locator("svg rect:not(.ground)").evaluate_all(BOXES)
    for box in boxes:
        assert within(box, whole)
    leaves = page.locator("svg rect.block, svg rect.reduction, svg rect.corpus").evaluate_all(BOXES)
    assert len(leaves) == len(graph) + 1
    for text in texts:
        assert sum(within(text, box) for box in boxes) >= 1, text
    for one, other in combinations(leaves, 2):
        assert apart(one, other)
    spaced = page.locator("svg text.made").first.evaluate("one => getComputedStyle(one).whiteSpace")
    assert spaced.startswith("pre")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1000
    assert look.complaints == []
    assert look.requests == [page.url]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures_follow_the_theme_and_are_accessible(scheme, look, tmp_path):
    page = shown(look, tmp_path, *GRAPHS.values(), color_scheme=scheme)
    at = ["light", "dark"].index(scheme)
    name = page.locator("svg text.name").first
    ground = page.locator("svg rect.ground").first
    for element, use in ((name, "ink"), (ground, "ground")):
        found = element.evaluate("one => getComputedStyle(one).fill")
        assert found == rgb(COLOURS[use][at])
    pictures = page.get_by_role("img")
    assert pictures.count() == len(GRAPHS)
    found = Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []


def rgb(colour):
    return f"rgb({', '.join(str(int(colour[at : at + 2], 16)) for at in (1, 3, 5))})"


def apart(one, other):
    return (
        one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] + 1 or other[3] <= one[1] + 1
    )


def within(inner, outer):
    return (outer[0] <= inner[0] and outer[1] <= inner[1] + 1 and inner[2] <= outer[2]) and inner[
        3
    ] <= outer[3] + 1
