"""`peek` by any vector field: the block computes the sentence, neighbours are those of a run."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from typer.testing import CliRunner

import paninifs as pf
from paninifs.engine.cli import app
from paninifs.storage.errors import UsageError

ROWS = 120


@pf.map_block(fields=[pf.Field("letters", "float32", (6,))])
def letters(text):
    counts = [[one.count(letter) for letter in "aeiost"] for one in text.to_strings()]
    return np.array(counts, "float32").reshape(-1, 6)


@pf.map_block(fields=[pf.Field("halves", "float64", (3,), nullable=True)])
def halves(letters):
    return [None if row[0] > 4 else (row[:3] / 2 - row[3:]).tolist() for row in letters]


@pf.map_block(fields=[pf.Field("by_lang", "float32", (2,))])
def by_lang(text, lang):
    return np.ones((len(text), 2), "float32")


@pf.map_block(
    fields=[pf.Field("dhatu", "float32", (2,), ("dhatu_name",), {"dhatu_name": ("A", "B")})]
)
def dhatu(letters):
    counts = np.asarray(letters)[:, :2]
    return (counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)).astype("float32")


near, near_halves = pf.neighbours("letters", k=8), pf.neighbours("halves", k=8)


@pytest.fixture(scope="module")
def rows(glosses):
    rows = [{"id": f"g{n}", "text": row["text"], "lang": "en"} for n, row in enumerate(glosses)][
        :ROWS
    ]
    rows[3]["text"] = rows[90]["text"] = rows[50]["text"]
    rows[7]["text"] = "hmm"  # none of the letters
    rows[20]["text"] = None
    return rows


@pytest.fixture(scope="module")
def run(inline, rows, tmp_path_factory):
    def make(graph):
        folder = tmp_path_factory.mktemp("peek")
        (folder / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        corpus = pf.open_corpus(folder / "c.jsonl", keep=["lang"])
        options = {"client": inline, "shard_rows": 32, "progress": False}
        pf.submit(graph, corpus, folder / "out.zarr", **options).result()
        return folder / "out.zarr"

    return make


@pytest.fixture(scope="module")
def store(run):
    return run(pf.default_graph() + letters + halves + by_lang + near + near_halves)


@pytest.mark.parametrize("field", ["letters", "halves"])
def test_a_text_of_the_store_has_the_neighbours_of_the_reduction(store, rows, field):
    found = pf.open_reduction(store, f"{field}_neighbours")
    for row in (0, 3, 11, 119):
        expected = found.sel(row=row)
        if expected.neighbour[0] < 0:
            continue
        peeked = pf.peek(rows[row]["text"], store, by=field, graph=letters + halves, top=9)
        others = [one for one in peeked.nearest if one.row != row]
        assert [one.row for one in others] == expected.neighbour.values.tolist()
        similarity = np.array([one.similarity for one in others])
        np.testing.assert_array_equal((1 - similarity).astype("f4"), expected.distance.values)


def test_texts_without_a_vector_are_not_compared(store, rows):
    found = pf.open_reduction(store, "letters_neighbours")
    assert found.neighbour.sel(row=7).values.tolist() == [-1] * 8
    assert 20 not in found.row.values
    peeked = pf.peek("a sentence", store, by="letters", graph=letters, top=500)
    assert peeked.compared == len(peeked.nearest) == ROWS - 2
    known = pf.open_results(store).halves_valid.values & pf.open_results(store).valid.values
    peeked = pf.peek("a sentence", store, by="halves", graph=letters + halves)
    assert peeked.compared <= known.sum() < ROWS - 2


def test_a_sentence_without_a_vector_has_no_neighbours(store):
    found = pf.peek("hmm", store, by="letters", graph=letters)
    assert (found.nearest, found.compared) == ((), 0)
    assert "no text has a vector" in found._repr_html_()


def test_other_blocks_are_not_needed(store):
    found = pf.peek("a sentence", store, by="letters", graph=letters)
    assert found.dhatu == pf.peek("a sentence").dhatu
    assert (found.by, found.hashed) == ("letters", True)
    assert "similar weights are not similar meaning" not in found.caveat


def test_built_in_vectors_need_no_block(store, rows):
    found = pf.peek(rows[11]["text"], store, by="prime_base", top=1)
    assert [one.row for one in found.nearest] == [11]


def test_weights_of_a_block_of_ones_own(run, rows):
    store = run(pf.Graph((letters, dhatu, pf.prime_base(2), pf.ambiguity())))
    found = pf.peek(rows[11]["text"], store, graph=letters + dhatu, top=2)
    results = pf.open_results(store).isel(text=11).load()
    assert [*found.dhatu] == ["A", "B"]
    assert [*found.dhatu.values()] == results.dhatu.values.tolist()
    assert [*found.prime_base.values()] == results.prime_base.values.tolist()
    assert found.entropy == results.entropy.item()
    assert not found.hashed
    with pytest.raises(UsageError, match="block 'dhatu', which is not built in"):
        pf.peek("one", store, by="prime_base")


@pf.map_block(fields=[pf.Field("letters", "float32", (6,))], name="letters")
def other_letters(text):
    return np.ones((len(text), 6), "float32")


REFUSED = {
    "a field that is not there": ({"by": "leters"}, "no field 'leters'.*did you mean 'letters'"),
    "one number per text": ({"by": "entropy"}, "'entropy' is float32.*one vector of numbers"),
    "a block that is not given": ({"by": "letters"}, r"'letters', which is not built in.*graph="),
    "another block": ({"by": "letters", "graph": other_letters}, "is not the one that computed"),
    "a needed block": (
        {"by": "halves", "graph": pf.Graph((halves,))},
        "field 'letters'.*not built",
    ),
    "a kept column": ({"by": "by_lang", "graph": by_lang}, "takes 'lang', and a sentence has only"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_compared_is_refused(store, case):
    options, message = REFUSED[case]
    with pytest.raises(UsageError, match=message):
        pf.peek("one", store, **options)


def test_a_field_needs_a_store():
    with pytest.raises(UsageError, match="need a store"):
        pf.peek("one", by="letters")


def test_the_command_takes_a_field_and_a_file_of_blocks(store, rows, tmp_path):
    path = tmp_path / "own_letters.py"
    path.write_text(
        "import numpy as np\nimport paninifs as pf\n\n"
        "@pf.map_block(fields=[pf.Field('letters', 'float32', (6,))])\n"
        "def letters(text):\n"
        "    counts = [[one.count(letter) for letter in 'aeiost'] for one in text.to_strings()]\n"
        "    return np.array(counts, 'float32').reshape(-1, 6)\n"
    )
    command = ["peek", rows[11]["text"], "--in", str(store), "--by", "letters", "--top", "1"]
    ran = CliRunner().invoke(app, [*command, "--graph", f"{path}:letters"])
    assert ran.exit_code == 0, ran.output
    assert re.search(r"by letters:\n1\.000000  g11  ", ran.stdout)
    ran = CliRunner().invoke(app, command)
    assert (ran.exit_code, "--graph FILE:NAME" in " ".join(ran.output.split())) == (2, True)


def test_neighbours_are_offered_in_the_shell(rows, tmp_path):
    (tmp_path / "own_near.py").write_text(
        "import paninifs as pf\nnear = pf.neighbours('dhatu', k=2, metric='euclidean')\n"
    )
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:10]))
    out = tmp_path / "out.zarr"
    command = ["run", str(tmp_path / "c.jsonl"), str(out), "--add", f"{tmp_path}/own_near.py:near"]
    ran = CliRunner().invoke(app, [*command, "--cluster", "threads"])
    assert ran.exit_code == 0, ran.output
    found = pf.open_reduction(out, "dhatu_neighbours")
    assert found.neighbour.shape == (10, 2)
