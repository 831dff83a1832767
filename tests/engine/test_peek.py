"""`peek`: values equal those of a run, neighbours equal those of a brute-force search."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import paninifs as pf
from paninifs.engine.cli import app
from paninifs.graphs.inventories import DHATUS, PRIMES
from paninifs.graphs.kernels import reference
from paninifs.storage.errors import ResultsNotFound, UsageError
from paninifs.storage.store import shards
from paninifs.storage.text import PackedText

EVIL = '[red]x[/red] \x1b[2J\x9b31m\u202e<script>alert("1")</script>'
COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")
PARTS = ("variance", "entropy", "ambiguity", "ambiguity_normalised")


@pytest.fixture(scope="module")
def run(inline, tmp_path_factory):
    """Make a store from rows; return the paths of corpus and store."""

    def make(rows, graph=None, out=None, shard_rows=16, **options):
        folder = tmp_path_factory.mktemp("peek")
        (folder / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        corpus = pf.open_corpus(folder / "c.jsonl", **options)
        out = out or folder / "out.zarr"
        pf.submit(
            graph or pf.default_graph(),
            corpus,
            out,
            client=inline,
            shard_rows=shard_rows,
            progress=False,
        ).result()
        return folder / "c.jsonl", out

    return make


@pytest.fixture(scope="module")
def rows(glosses):
    """Texts with repetitions far apart, and some quarantined rows."""
    rows = [{"id": f"g{n}", "text": row["text"]} for n, row in enumerate(glosses[:300])]
    rows[7]["text"] = rows[250]["text"] = rows[100]["text"] = "the same"
    rows[33]["text"] = rows[34]["text"] = None
    return rows


@pytest.fixture(scope="module")
def store(run, rows):
    return run(rows)


def expected(text, dhatus=DHATUS, primes=PRIMES):
    packed = PackedText.from_strings([text])
    digest, weights, base, *parts = reference.default_graph(packed, dhatus=dhatus, primes=primes)
    return {
        "dhatu": dict(zip(dhatus, weights[0].tolist(), strict=True)),
        "prime_base": dict(zip(primes, base[0].tolist(), strict=True)),
        "digest": bytes(digest[0]).hex(),
        **{name: part[0].item() for name, part in zip(PARTS, parts, strict=True)},
    }


def brute_force(store, found, top):
    """Return rows and similarities, computed by NumPy over everything at once."""
    with pf.open_results(store) as results:
        weights = results.dhatu.values.astype(np.float64)
        valid = results.valid.values
    sentence = np.array([*found.dhatu.values()])
    cosine = weights @ sentence / (np.linalg.norm(weights, axis=1) + ~valid)
    cosine = np.where(valid, cosine / np.linalg.norm(sentence), -np.inf)
    order = np.lexsort([np.arange(len(cosine)), -cosine.round(12)])[:top]
    order = [int(row) for row in order if valid[row]]
    return order, cosine[order]


@settings(deadline=None, database=None, max_examples=60)
@given(st.text(st.characters(codec="utf-8"), max_size=200))
@example("")
@example("dhātu\0\n🙂")
def test_values_equal_the_reference_bit_for_bit(text):
    found = pf.peek(text)
    told = expected(text)
    assert {name: getattr(found, name) for name in told} == told
    assert (found.text, found.results, found.nearest) == (text, None, ())


def test_sentence_of_the_corpus_has_its_stored_values(store, rows):
    found = pf.peek(rows[5]["text"])
    with pf.open_results(store[1]) as results:
        row = results.isel(text=5).load()
    assert [*found.dhatu.values()] == row.dhatu.values.tolist()
    assert [*found.prime_base.values()] == row.prime_base.values.tolist()
    assert [getattr(found, name) for name in PARTS] == [row[name].item() for name in PARTS]
    assert found.digest == row.digest.values.tobytes().hex()


@pytest.mark.parametrize("top", [0, 1, 5, 299, 1000])
@pytest.mark.parametrize("text", ["", "the same", "nearer to none"])
def test_nearest_texts_equal_a_brute_force_search(store, rows, monkeypatch, text, top):
    monkeypatch.setattr(shards, "_RANGE_ROWS", 32)  # ten runs of two shards each
    found = pf.peek(text, store[1], top=top)
    order, cosine = brute_force(store[1], found, top)
    assert [one.row for one in found.nearest] == order
    np.testing.assert_allclose([one.similarity for one in found.nearest], cosine, rtol=1e-12)
    assert found.compared == 298
    for one in found.nearest:
        assert (one.id, one.text) == (rows[one.row]["id"], rows[one.row]["text"])
        assert (one.file, one.file_row) == ("c.jsonl", one.row)


def test_equal_texts_tie_and_the_earlier_comes_first(store, monkeypatch):
    monkeypatch.setattr(shards, "_RANGE_ROWS", 32)
    for top in (1, 2, 3):
        found = pf.peek("the same", store[1], top=top).nearest
        assert [(one.row, one.similarity) for one in found] == [
            (row, 1.0) for row in (7, 100, 250)[:top]
        ]


def test_stored_text_has_similarity_one_to_itself(store, rows):
    for row in range(40, 70):
        (one,) = pf.peek(rows[row]["text"], store[1], top=1).nearest
        assert (one.row, one.similarity) == (row, 1.0)


def test_only_one_piece_is_held_in_memory(store, monkeypatch):
    read = []
    monkeypatch.setattr(shards, "_RANGE_BYTES", 32 * 9 * 8)
    from paninifs.engine.results import peek as module

    before = module.vectors_of
    monkeypatch.setattr(
        module, "vectors_of", lambda one, *of: read.append(len(one)) or before(one, *of)
    )
    pf.peek("x", store[1])
    assert max(read) == 32


def test_inventories_are_those_of_the_store(run, rows):
    dhatus, primes = ("SEE", "MAKE,[b]", "GO"), (3, 2, 7)
    graph = pf.default_graph(dhatus=dhatus, primes=primes)
    _, store = run(rows[:60], graph)
    found = pf.peek("one", store, top=4)
    told = expected("one", dhatus, primes)
    assert {name: getattr(found, name) for name in told} == told
    assert [one.row for one in found.nearest] == brute_force(store, found, 4)[0]


def test_blocks_may_have_separate_primes(run, rows):
    graph = pf.Graph((pf.dhatu(), pf.prime_base(9, (3, 5)), pf.ambiguity((2, 7))))
    _, store = run(rows[:20], graph)
    found = pf.peek("one", store)
    weights = reference.dhatu(PackedText.from_strings(["one"]), dhatus=DHATUS)
    parts = reference.ambiguity(weights, primes=(2, 7))
    base = reference.prime_base(weights, primes=(3, 5))
    assert found.prime_base == dict(zip((3, 5), base[0].tolist(), strict=True))
    assert [getattr(found, name) for name in PARTS] == [part[0].item() for part in parts]


@pf.map_block(fields=[pf.Field("dhatu", "float32", (9,))], name="dhatu")
def own_dhatu(text):
    return np.ones((len(text), 9), np.float32)


def test_store_without_weights_is_refused(run, rows):
    _, store = run(rows[:5], pf.Graph((pf.digest(),)))
    with pytest.raises(
        UsageError, match=r"without the built-in block 'dhatu'.*blocks are: digest.*by=\): digest"
    ):
        pf.peek("one", store)


def test_own_weights_need_their_block(run, rows):
    _, store = run(rows[:5], pf.Graph((own_dhatu,)))
    with pytest.raises(UsageError, match=r"block 'dhatu', which is not built in.*graph="):
        pf.peek("one", store)


def test_sentence_is_cleaned_like_the_stored_texts(run, rows):
    clean = pf.Cleaning(markup=True, whitespace=True, min_chars=3, duplicates=True)
    _, store = run(rows[:20], clean=clean)
    found = pf.peek(" <b>a</b>  sentence ", store)
    assert found.text == "a sentence"
    assert found.digest == pf.peek("a sentence").digest
    assert found.cleaning == {"markup": True, "whitespace": True, "min_chars": 3}
    assert found.misfit is None
    short = pf.peek("<i>a</i>", store)
    assert (short.text, short.misfit) == ("a", "1 character, fewer than the 3 asked for")
    assert "would quarantine this sentence: 1 character" in short._repr_html_()


def test_finished_rows_of_an_unfinished_store_are_compared(store, tmp_path):
    half = shutil.copytree(store[1], tmp_path / "out.zarr")
    for array in half.glob("*/c"):
        for shard in array.iterdir():
            if int(shard.name) % 2:
                shutil.rmtree(shard) if shard.is_dir() else shard.unlink()
    found = pf.peek("the same", half, top=500)
    assert found.compared == len(found.nearest) == sum(n // 16 % 2 == 0 for n in range(300)) - 2
    assert all(one.row // 16 % 2 == 0 for one in found.nearest)


def test_store_behind_a_url_is_searched(run, rows):
    _, url = run(rows[:40], out="memory://peek/out.zarr")
    found = pf.peek(rows[3]["text"], url, top=1)
    assert [(one.row, one.similarity) for one in found.nearest] == [(3, 1.0)]


def test_neighbours_are_found_without_the_corpus(run, rows):
    corpus, store = run(rows[:20])
    corpus.unlink()
    (one,) = pf.peek(rows[3]["text"], store, top=1).nearest
    assert (one.row, one.id) == (3, "g3")
    assert one.text.startswith("(text not available: ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("a\ud800b",), "character 1 is a lone surrogate"),
        ((b"bytes",), "must be a string, not bytes"),
    ],
)
def test_invalid_text_is_refused(arguments, words):
    with pytest.raises(UsageError, match=words):
        pf.peek(*arguments)


def test_invalid_arguments_are_refused(store, tmp_path):
    with pytest.raises(UsageError, match="top must be a whole number, at least 0, not -1"):
        pf.peek("x", store[1], top=-1)
    with pytest.raises(ResultsNotFound):
        pf.peek("x", tmp_path / "none.zarr")


@pytest.fixture(scope="module")
def evil(run):
    return run([{"id": EVIL, "text": EVIL}], pf.default_graph(dhatus=[EVIL, "OTHER"]))


def test_notebook_output_escapes_foreign_markup(evil):
    page = pf.peek(EVIL, evil[1])._repr_html_()
    assert "<script" not in page
    assert page.count(html.escape('<script>alert("1")</script>')) == 4  # sentence, name, id, text
    assert not COMMANDS.search(page)
    assert "similar weights are not similar meaning" in page


@pytest.mark.parametrize("json_", [[], ["--json"]])
def test_terminal_output_escapes_control_characters(evil, json_):
    ran = CliRunner().invoke(app, ["peek", EVIL, "--in", str(evil[1]), *json_])
    assert ran.exit_code == 0, ran.output
    assert not COMMANDS.search(ran.output)
    if json_:
        found = json.loads(ran.stdout)
        assert [one["text"] for one in found["nearest"]] == [found["text"]] == [EVIL]
    else:
        assert ran.stdout.count("[red]x[/red]") == 4


def test_command_prints_bars_and_the_caveat(store):
    ran = CliRunner().invoke(app, ["peek", "the same", "--in", str(store[1]), "--top", "2"])
    assert ran.exit_code == 0, ran.output
    for name in DHATUS:
        assert re.search(rf"^{name} +0\.\d{{4}} +█", ran.stdout, re.MULTILINE), name
    assert "1.000000  g7  the same\n1.000000  g100  the same\n" in ran.stdout
    assert "similar weights are not similar meaning" in ran.stdout
    assert pf.peek("the same").digest in ran.stdout


@pytest.mark.parametrize(("given", "text"), [(b"un\n", "un"), (b"un\r\n", "un"), (b"", "")])
def test_sentence_from_stdin_loses_its_last_line_break(given, text):
    ran = CliRunner().invoke(app, ["peek", "-", "--json"], input=given)
    assert json.loads(ran.stdout)["digest"] == pf.peek(text).digest


def test_unreadable_input_prints_one_line(tmp_path):
    ran = CliRunner().invoke(app, ["peek", "-"], input=b"\xff")
    assert (ran.exit_code, "not UTF-8: byte 0" in ran.output) == (2, True)
    ran = CliRunner().invoke(app, ["peek", "x", "--in", str(tmp_path / "none")])
    assert (ran.exit_code, "no results store" in ran.output) == (2, True)


def test_peek_imports_no_cluster(store):
    code = (
        "import json, sys, paninifs as pf; pf.peek('x', sys.argv[1]);"
        "print(json.dumps([*sys.modules]))"
    )
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code, str(store[1])],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"dask", "distributed", "pandas", "xarray"} & set(json.loads(ran.stdout))


def test_a_peek_shows_itself_on_a_line():
    assert re.fullmatch(r"<Peek 'un chat': ambiguity_normalised 0\.\d+>", repr(pf.peek("un chat")))
