"""The report: one self-contained, accessible page about what a store holds."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
import warnings

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from paths import SHARED_CORPORA
from typer.testing import CliRunner

import paninifs as pf
from paninifs.engine.cli import app
from paninifs.engine.monitoring import recorder
from paninifs.engine.report import prime_map, reading, written
from paninifs.engine.report.findings import find
from paninifs.engine.report.theme import VARIABLES
from paninifs.engine.report.wording import number
from paninifs.graphs.blocks.ambiguity import ambiguity
from paninifs.graphs.blocks.dhatu import dhatu
from paninifs.storage.errors import ColumnNotFound, ResultsIncomplete, ResultsNotFound, UsageError
from paninifs.storage.store.keys import DONE, MANIFEST_KEY
from paninifs.storage.store.reader import ResultsStore

REAL = SHARED_CORPORA / "wordnet-glosses.jsonl.gz"
TEXTS = 117_659

HOSTILE = (
    "<script>window.pwned = 1</script><img src=x onerror='window.pwned = 1'>"
    '"></title></svg>]]>--><b>{{ 7 * 7 }}</b> $\\frac{1}{2}$ \u202egnp.exe\u2066 \x1b[2J 猫がネズミ'
)
SEEN = HOSTILE.replace("\u202e", "\\u202e").replace("\u2066", "\\u2066").replace("\x1b", "\\x1b")


@pf.map_block(fields=[pf.Field("n_bytes", "int32", description="bytes of the text")])
def n_bytes(text):
    return (text.offsets[1:] - text.offsets[:-1]).astype("int32")


@pytest.fixture(scope="module")
def submit(inline):
    def run(corpus, results, graph=None, **options):
        options = {"client": inline, "progress": False, **options}
        return pf.submit(graph or pf.default_graph(), corpus, results, **options).result()

    return run


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def large(submit, glosses, tmp_path_factory):
    """A store with as many texts as WordNet has glosses; the glosses themselves if available."""
    folder = tmp_path_factory.mktemp("large")
    if REAL.exists():
        with gzip.open(REAL, "rt") as lines:
            texts = [json.loads(line)["text"] for line in lines]
    else:
        count = len(glosses)
        pairs = ((glosses[at % count], glosses[at // count]) for at in range(TEXTS))
        texts = [f"{one['text']}; {other['text']}" for one, other in pairs]
    rows = [
        {"id": f"gloss-{at}", "text": text, "part": "nvar"[at % 7 % 4], "year": 1990 + at % 15}
        for at, text in enumerate(texts)
    ]
    corpus = pf.open_corpus(write(folder / "glosses.jsonl", rows), keep=["id", "part", "year"][1:])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorder, "EVERY_SECONDS", 0.02)  # many samples, however fast the machine
        submit(corpus, folder / "large.zarr", pf.default_graph() + n_bytes)
    return folder / "large.zarr"


@pytest.fixture(scope="module")
def large_page(large, tmp_path_factory):
    return pf.report(large, tmp_path_factory.mktemp("page") / "large.html").path


@pytest.fixture(scope="module")
def small(submit, glosses, tmp_path_factory):
    """A store of 600 texts in ten shards, with two kept columns and a quarantined row."""
    folder = tmp_path_factory.mktemp("small")
    rows = [
        {**row, "lang": ["en", "fr", None][at % 3], "word": f"w{at}"}
        for at, row in enumerate(glosses[:600])
    ]
    rows[7]["text"] = None
    corpus = pf.open_corpus(write(folder / "c.jsonl", rows), keep=["word", "lang"])
    submit(corpus, folder / "small.zarr", shard_rows=64)
    return folder / "small.zarr"


def opened(store):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResultsIncomplete)
        found = pf.open_results(store)
    return found.isel(text=found.valid.values)


def text_of(look, path, **context):
    """Return the text of a page as a reader sees it, with all details open."""
    seen = look(path.as_uri(), offline=True, **context)
    seen.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
    return seen, seen.inner_text("body")


# --- the page -------------------------------------------------------------------------------------


def test_report_opens_offline_and_begins_with_its_figures(look, large_page):
    assert large_page.stat().st_size < 1_000_000
    viewport = {"width": 1200, "height": 800}
    page = look(large_page.as_uri(), offline=True, java_script_enabled=False, viewport=viewport)
    figures = page.locator(".headline")
    box = figures.bounding_box()
    assert box["y"] + box["height"] < viewport["height"]
    said = figures.inner_text()
    assert f"texts done, of {TEXTS:,}\n{TEXTS:,}\n" in said
    for what in ("quarantined", "texts per second", "median ambiguity"):
        assert what in said
    assert page.locator("script").count() == 0
    assert look.requests == [large_page.as_uri()]
    assert look.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_report_is_accessible(look, large_page, scheme):
    # The checker is a script, and the page's policy allows none.
    page = look(large_page.as_uri(), color_scheme=scheme, bypass_csp=True)
    page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
    for width in (1200, 390):
        page.set_viewport_size({"width": width, "height": 800})
        found = Axe().run(page).response["violations"]
        assert [(one["id"], one["impact"], one["nodes"][0]["html"]) for one in found] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width  # nothing overflows


def test_pictures_have_descriptions_and_follow_the_theme(look, large_page):
    colours = {}
    for scheme in ("light", "dark"):
        page = look(large_page.as_uri(), color_scheme=scheme)
        labels = page.locator("[role=img]").evaluate_all("a => a.map(x => x.ariaLabel)")
        # One more if the run was long enough for two samples of its workers' memory.
        assert len(labels) == page.locator("svg").count() in (7, 8)
        colours[scheme] = page.locator("svg text").first.evaluate("x => getComputedStyle(x).fill")
    assert any(
        label.startswith("Histogram of entropy over 117,659 texts: from") for label in labels
    )
    assert any("of 10,000 texts, coloured by part" in label for label in labels)
    assert any(label.startswith("Texts per second over the") for label in labels)
    inks = [tuple(int(ink[at : at + 2], 16) for at in (1, 3, 5)) for ink in VARIABLES["ink"]]
    assert list(colours.values()) == [f"rgb{ink}" for ink in inks]
    ids = page.locator("[id]").evaluate_all("a => a.map(x => x.id)")
    assert len(ids) == len(set(ids))


def test_page_numbers_equal_numpy(look, large, large_page):
    results = opened(large)
    _, said = text_of(look, large_page)
    for name in ("ambiguity_normalised", "entropy", "variance", "ambiguity", "n_bytes"):
        values = results[name].values.astype(np.float64)
        low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
        assert (
            f"Median {number(middle)}; half of the texts between {number(low)} and {number(high)}"
        ) in said
        extremes = f"minimum {number(values.min())}, maximum {number(values.max())}"
        assert f"{extremes}, mean {number(values.mean())}." in said
    shares = results.dhatu.values.astype(np.float64)
    strongest = np.bincount(shares.argmax(axis=1), minlength=9)
    for at, name in enumerate(results.dhatu_name.values):
        error = 100 * shares[:, at].std(ddof=1) / len(shares) ** 0.5
        mean = 100 * shares[:, at].mean()
        assert f"{name}\t{mean:.3f} %\t{error:.3f} %\t{strongest[at]:,}" in said
    parts = results.part.values.astype(object)
    for part in "nvar":
        mine = parts == part
        means = "\t".join(f"{100 * mean:.2f}" for mean in shares[mine].mean(axis=0))
        ambiguity = results.ambiguity_normalised.values[mine].mean(dtype=np.float64)
        own = f"{number(ambiguity)}\t{number(results.n_bytes.values[mine].mean())}"
        assert f"{part}\t{mine.sum():,}\t{own}\t{means}" in said
    order = np.argsort(results.ambiguity_normalised.values, kind="stable")
    for row in (*order[:3], *order[-3:]):
        assert f"gloss-{row}\t" in said
    assert "Chosen because it is the first kept column with 2 to 20 distinct values" in said


def test_hostile_text_is_escaped(look, submit, tmp_path):
    graph = pf.default_graph(dhatus=[HOSTILE, "OTHER"])
    rows = [
        {"text": f"{HOSTILE} {at}", "<id>": f"{HOSTILE} {at}", "lang": HOSTILE} for at in range(9)
    ]
    rows += [
        {"text": "plain", "<id>": "y", "lang": "en"},
        {"text": None, "<id>": "z", "lang": "en"},
    ]
    folder = tmp_path / "corpus"
    folder.mkdir()
    name = "<img src=x onerror=window.pwned=1>\u202e$x$.jsonl"
    write(folder / name, rows)
    (folder / f"bad {name}.gz").write_bytes(b"\x1f\x8b<script>window.pwned=1</script>")
    corpus = pf.open_corpus(folder, id="<id>", keep=["lang"])
    store = tmp_path / "<b>hostile$x$.zarr"
    submit(corpus, store, graph)
    made = pf.report(store, tmp_path / "hostile.html")
    written = made.path.read_text()
    assert not set("\u202e\u2066\x1b") & set(written)
    page, said = text_of(look, made.path, bypass_csp=True)  # tests the escaping, not the policy
    for word in (SEEN, f"{SEEN} 0", "\\u202e$x$.jsonl", "<b>hostile$x$.zarr", "<id>"):
        assert word in said
    assert page.evaluate("window.pwned") is None
    assert page.locator("script, img, main b").count() == 0
    labels = page.locator("[role=img]").evaluate_all("a => a.map(x => x.ariaLabel)")
    assert any("coloured by lang" in label for label in labels)
    assert look.complaints == []
    assert f"default-src {chr(39)}none{chr(39)}" in written  # the policy, in case escaping fails


# --- stores of every kind -------------------------------------------------------------------------


def test_quarantined_rows_are_counted_by_reason(look, small, tmp_path):
    _, said = text_of(look, pf.report(small, tmp_path / "r.html").path)
    assert "Why 1 of 600 rows have no result" in said
    assert "null text\t1" in said
    assert "c.jsonl\t7\t1\tnull text" in said


def test_unfinished_store_shows_what_is_done(look, small, tmp_path):
    store = tmp_path / "half.zarr"
    shutil.copytree(small, store)
    for shard in range(4, 10):
        (store / DONE / f"{shard:08d}.json").unlink()
    root = json.loads((store / "zarr.json").read_text())
    root["attributes"]["complete"] = False
    (store / "zarr.json").write_text(json.dumps(root))
    for shard in range(4, 10):
        (store / "valid" / "c" / str(shard)).unlink()
    (store / "quarantine.parquet").unlink()
    _, said = text_of(look, pf.report(store, tmp_path / "r.html").path)
    assert "This store is unfinished: 4 of 10 shards are done, and this page covers" in said
    assert "texts done, of 600\n255\n" in said
    assert "All figures cover all 255 texts." in said
    assert "null text\t1" in said  # from the shard's own quarantine


def test_store_with_every_row_quarantined_has_a_report(look, submit, tmp_path):
    corpus = pf.open_corpus(
        write(tmp_path / "c.jsonl", [{"text": None}, {"text": None}]), text="text"
    )
    submit(corpus, tmp_path / "none.zarr")
    page, said = text_of(look, pf.report(tmp_path / "none.zarr", tmp_path / "r.html").path)
    assert "No text of this store has a result." in said
    assert "Why 2 of 2 rows have no result" in said
    assert page.locator("#numbers, #profile, #bases, #texts").count() == 0


def test_store_of_user_blocks_has_no_empty_sections(look, submit, tmp_path):
    corpus = pf.open_corpus(write(tmp_path / "c.jsonl", [{"text": "a" * at} for at in range(1, 6)]))
    submit(corpus, tmp_path / "own.zarr", pf.Graph([n_bytes]))
    page, said = text_of(look, pf.report(tmp_path / "own.zarr", tmp_path / "r.html").path)
    assert page.locator("h3 code").all_inner_texts() == ["n_bytes"]
    assert "Bytes of the text. Median 3; half of the texts between 2 and 4" in said
    assert page.locator("#profile, #bases").count() == 0
    assert "The texts with the largest n_bytes" in said
    assert "0.7 × entropy" not in said
    assert "hashes" not in said


def test_each_block_has_its_own_inventory(look, submit, tmp_path):
    corpus = pf.open_corpus(write(tmp_path / "c.jsonl", [{"text": "a" * at} for at in range(1, 6)]))
    own = pf.MapBlock(
        name="prime_base",
        inputs=("text",),
        fields=n_bytes.fields,
        params={"primes": (13,)},
        function=lambda text, primes: text.offsets[1:].astype("int32"),
    )
    graph = pf.Graph((dhatu(("GO", "STAY")), ambiguity((7, 11)), own))
    submit(corpus, tmp_path / "own.zarr", graph)
    _, said = text_of(look, pf.report(tmp_path / "own.zarr", tmp_path / "r.html").path)
    facts = " ".join(said.split())
    assert "dhātus GO, STAY primes of ambiguity 7, 11" in facts
    assert "13" not in facts.split("primes of ambiguity")[1].split("machine")[0]


def test_store_without_run_records_says_so(look, small, tmp_path):
    store = tmp_path / "old.zarr"
    shutil.copytree(small, store)
    manifest = json.loads((store / MANIFEST_KEY).read_text())
    del manifest["runs"], manifest["summary"]
    (store / MANIFEST_KEY).write_text(json.dumps(manifest))
    page, said = text_of(look, pf.report(store, tmp_path / "r.html").path)
    assert "Not recorded: no run of this store has finished" in said
    assert page.locator("#rate").count() == 0


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (2.0, "not measured here: scaled from {}; the run reached 50 % of it"),
        (0.5, "not measured here: scaled from {}; the run was 2 times as fast as that"),
    ],
)
def test_speed_is_compared_with_the_kernel_limit(look, small, tmp_path, rate, words):
    store = tmp_path / "run.zarr"
    shutil.copytree(small, store)
    manifest = json.loads((store / MANIFEST_KEY).read_text())
    (run,) = manifest["runs"]
    run |= {"limit_texts_per_second": rate * run["rows"] / run["seconds"], "limit_basis": "scaled"}
    run |= {"bound": "reading: so it is", "cost": "$0.04", "retries": 1}
    (store / MANIFEST_KEY).write_text(json.dumps(manifest))
    _, said = text_of(look, pf.report(store, tmp_path / "r.html").path)
    assert words.format("the advisor's reference machine)") in said
    assert "bound by\treading: so it is" in said
    assert "cost\t$0.04" in said
    assert "restarted\t1 task\n" in said


def test_runs_of_a_store_that_was_extended_are_listed(look, submit, glosses, tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    write(folder / "a.jsonl", glosses[:100])
    submit(pf.open_corpus(folder), tmp_path / "out.zarr", shard_rows=64)
    write(folder / "b.jsonl", glosses[100:150])
    submit(pf.open_corpus(folder), tmp_path / "out.zarr", shard_rows=64, extend=True)
    page, said = text_of(look, pf.report(tmp_path / "out.zarr", tmp_path / "r.html").path)
    rows = page.locator("table[aria-labelledby=table-runs] tbody tr").all_inner_texts()
    assert len(rows) == 2
    assert rows[0].split("\t")[0] == "1"
    assert rows[0].split("\t")[3:5] == ["100", "0"]
    assert rows[1].split("\t")[0] == "2"
    assert "it held 100 rows of 1 file, then 150 rows of 2." in said


def test_missing_text_is_reported(look, submit, glosses, tmp_path):
    corpus = write(tmp_path / "c.jsonl", glosses[:20])
    submit(pf.open_corpus(corpus), tmp_path / "out.zarr")
    corpus.unlink()
    _, said = text_of(look, pf.report(tmp_path / "out.zarr", tmp_path / "r.html").path)
    assert said.count("(text not available: ") == 2 * reading.RANKED


def test_duplicates_and_mixed_normal_forms_are_reported(look, submit, tmp_path):
    rows = [{"text": "dh\u0101tu"}, {"text": "dha\u0304tu"}, {"text": "dh\u0101tu"}]
    corpus = pf.open_corpus(write(tmp_path / "c.jsonl", rows), clean=pf.Cleaning(duplicates=True))
    submit(corpus, tmp_path / "out.zarr")
    _, said = text_of(look, pf.report(tmp_path / "out.zarr", tmp_path / "r.html").path)
    assert "1: texts that repeat an earlier one" in said
    assert "\nduplicate\tbool\t1" in said  # among the arrays
    assert "The texts mix Unicode normal forms: row 1 is not in NFC" in said
    assert "duplicates=True" in said  # in the cleaning steps


# --- groups ---------------------------------------------------------------------------------------


def test_given_column_groups_and_small_groups_are_joined(look, small, tmp_path):
    page, said = text_of(look, pf.report(small, tmp_path / "r.html", by="word").path)
    assert "Grouped by the given column. It has 599 distinct values." in said
    rows = page.locator("table[aria-labelledby=table-groups-of-texts] tbody tr").all_inner_texts()
    assert len(rows) == 20
    assert rows[-1].startswith("(the 580 others)\t580\t")


def test_null_is_a_group_of_its_own(small):
    found = find(small).reading.grouping
    values = pd.Series(opened(small).lang.values.astype(object))
    values[~opened(small).lang_valid.values] = "(null)"
    assert found.column == "lang"  # "word" has too many values
    assert {g.name: g.texts for g in found.groups} == values.value_counts().to_dict()


def test_missing_group_column_is_refused_by_name(small, tmp_path):
    with pytest.raises(ColumnNotFound, match=r"no array 'country'.*choose from: id, .*lang"):
        pf.report(small, tmp_path / "r.html", by="country")
    assert not (tmp_path / "r.html").exists()


def test_group_column_with_too_many_values_is_refused(small, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MOST_VALUES", 500)
    with pytest.raises(UsageError, match="'word' has more than 500 distinct values"):
        pf.report(small, tmp_path / "r.html", by="word")


def test_caveat_about_hashes_comes_first(look, large_page):
    _, said = text_of(look, large_page)
    assert said.index("not a model of what a text means") < said.index("What ran")
    assert "groups differ only by repeated texts and by chance" in said


# --- reading in pieces ----------------------------------------------------------------------------


def test_small_pieces_give_the_same_reading(small, monkeypatch):
    whole = find(small).reading
    monkeypatch.setattr(reading, "PIECE_ROWS", 64)
    pieces = find(small).reading
    for one, other in zip(whole.distributions, pieces.distributions, strict=True):
        assert (one.count, one.least, one.most) == (other.count, other.least, other.most)
        assert one.quantiles == other.quantiles
        assert (one.counts == other.counts).all()
        assert one.mean == pytest.approx(other.mean, rel=1e-12)
    assert (whole.highest, whole.lowest) == (pieces.highest, pieces.lowest)
    assert whole.dominant == pieces.dominant
    for one, other in zip(whole.grouping.groups, pieces.grouping.groups, strict=True):
        assert (one.name, one.texts) == (other.name, other.texts)
        assert one.shares == pytest.approx(other.shares, rel=1e-12)
    assert len(pieces.map.points) == 599


def test_sample_is_spread_and_described_on_the_page(look, large, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "SAMPLE", 10_000)
    found = find(large).reading
    assert 9_000 < found.sampled <= 10_000
    assert found.texts == TEXTS
    for one in found.distributions:  # counts, means and extremes still cover all texts
        values = opened(large)[one.name].values.astype(np.float64)
        assert (one.count, one.sampled) == (TEXTS, found.sampled)
        assert (one.least, one.most) == (values.min(), values.max())
        assert abs((values < one.median).mean() - 0.5) < 0.03
    _, said = text_of(look, pf.report(large, tmp_path / "r.html").path)
    assert f"cover a sample of {found.sampled:,} texts, drawn at random, one from each" in said


def test_sample_is_not_in_step_with_a_periodic_corpus(submit, tmp_path, monkeypatch):
    rows = [{"text": "x" * (1 + at % 12)} for at in range(1200)]
    corpus = pf.open_corpus(write(tmp_path / "c.jsonl", rows))
    submit(corpus, tmp_path / "out.zarr", pf.Graph([n_bytes]))
    monkeypatch.setattr(reading, "SAMPLE", 100)
    (found,) = find(tmp_path / "out.zarr").reading.distributions
    assert found.sampled == 100
    assert np.count_nonzero(found.counts) > 6


def test_pieces_without_finished_shards_are_not_read(small, monkeypatch):
    monkeypatch.setattr(reading, "PIECE_ROWS", 64)
    read = []
    add = reading._Reader.add
    monkeypatch.setattr(
        reading._Reader,
        "add",
        lambda self, start, *rest: (read.append(start), add(self, start, *rest)),
    )
    store = ResultsStore.open(small)
    store.done = {shard: store.done[shard] for shard in (2, 7)}
    reading.read(store)
    assert read == [128, 448]


def test_principal_components_are_those_of_the_covariance():
    bases = 10 ** np.random.default_rng(0).normal(size=(500, 4)) @ np.diag([1, 1e3, 1e6, 1e12])
    bases[:, 3] *= bases[:, 0]
    found = prime_map.principal_components(bases)
    logs = np.log10(bases)
    shares, directions = np.linalg.eigh(np.corrcoef(logs.T))
    assert found.explained == pytest.approx((shares[::-1] / 4)[:2])
    standard = (logs - logs.mean(0)) / logs.std(0)
    assert np.abs(found.points) == pytest.approx(np.abs(standard @ directions[:, [-1, -2]]))


# --- the file -------------------------------------------------------------------------------------


@pytest.mark.slow("draws several reports")
def test_report_is_named_after_its_store_and_replaced(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = pf.report(small)
    assert made.path == tmp_path / "small-report.html"
    first = made.path.read_text()
    assert pf.report(small).path.read_text()[:300] == first[:300]
    assert [one.name for one in tmp_path.iterdir()] == ["small-report.html"]


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("notes.html", "exists and is not a report"),
        ("folder", "is a folder"),
        ("nowhere/r.html", "the folder .* does not exist"),
        ("gs://bucket/r.html", "is written to this machine"),
    ],
)
def test_other_files_are_never_overwritten(small, tmp_path, out, words, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.html").write_text("my notes")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match=words):
        pf.report(small, out)
    assert (tmp_path / "notes.html").read_text() == "my notes"


def test_store_on_a_url_has_a_report(submit, glosses, tmp_path, monkeypatch):
    import fsspec

    corpus = write(tmp_path / "c.jsonl", glosses[:20])
    submit(pf.open_corpus(corpus), tmp_path / "out.zarr")
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path / "out.zarr"), "/bucket/out.zarr", recursive=True)
    monkeypatch.chdir(tmp_path)
    made = pf.report("memory://bucket/out.zarr")
    memory.rm("/bucket", recursive=True)
    assert made.path.name == "out-report.html"
    assert "memory://bucket/out.zarr" in made.path.read_text()


def test_command_writes_the_page_and_prints_its_path(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = CliRunner().invoke(app, ["report", str(small), "page.html", "--by", "lang"])
    assert ran.exit_code == 0, ran.output
    assert "page.html (" in ran.output
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    assert CliRunner().invoke(app, ["report", "nothing.zarr"]).exit_code == 2


def test_notebook_embeds_small_pages_only(look, small, tmp_path, monkeypatch):
    made = pf.report(small, tmp_path / "r.html")
    (tmp_path / "cell.html").write_text(f"<!doctype html><title>c</title>{made._repr_html_()}")
    page = look((tmp_path / "cell.html").as_uri(), offline=True)
    frame = page.frame_locator("iframe")
    assert "texts done, of 600\n599\n" in frame.locator(".headline").inner_text()
    assert look.complaints == []
    monkeypatch.setattr(written, "MAX_EMBEDDED", 1000)
    assert "<iframe" not in made._repr_html_()
    assert str(tmp_path / "r.html") in made._repr_html_()
    made.path.unlink()
    assert str(tmp_path / "r.html") in made._repr_html_()


def test_notebook_shows_a_run_and_its_dataset(submit, glosses, tmp_path):
    rows = [*glosses[:20], {"id": "x", "text": None}]
    store = tmp_path / "<i>out.zarr"
    shown = submit(pf.open_corpus(write(tmp_path / "c.jsonl", rows)), store)._repr_html_()
    for words in ("20 of 21, ", "quarantined</th>", ">1, see quarantine.parquet", "&lt;i&gt;out"):
        assert words in shown
    assert "<i>" not in shown
    assert "came before" not in shown  # there is none
    assert "ambiguity_normalised" in pf.open_results(store)._repr_html_()


def test_report_of_a_missing_store_is_refused(tmp_path):
    with pytest.raises(ResultsNotFound):
        pf.report(tmp_path / "nothing.zarr", tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


def test_drawing_restores_matplotlib_settings(small, tmp_path):
    with mpl.rc_context({"font.size": 33.0, "text.usetex": True, "axes.facecolor": "black"}):
        before = dict(mpl.rcParams)
        first = pf.report(small, tmp_path / "one.html").path.read_text()
        assert dict(mpl.rcParams) == before
    second = pf.report(small, tmp_path / "two.html").path.read_text()
    pictures = [page.split("<svg")[1:] for page in (first, second)]
    assert pictures[0] == pictures[1]


def test_report_does_without_pyplot(small, tmp_path):
    code = (
        "import sys, paninifs as pf; pf.report(sys.argv[1], sys.argv[2]); "
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    command = [sys.executable, "-P", "-W", "error", "-c", code, small, tmp_path / "r.html"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def lengths(text):
    """Two numbers per text in each of three shapes."""
    count = (text.offsets[1:] - text.offsets[:-1]).astype("float32")
    pair = np.stack([count, np.where(count > 2, np.nan, -count)], axis=1)
    return {"pair": pair, "wide": np.repeat(count[:, None], 30, axis=1)}


LENGTHS = pf.MapBlock(
    name="lengths",
    function=lengths,
    inputs=("text",),
    fields=(
        pf.Field("pair", "float32", (2,), dims=("length",), labels={"length": ("long", "short")}),
        pf.Field("wide", "float32", (30,)),
    ),
)


def test_own_numbers_are_averaged_by_group(look, submit, tmp_path):
    rows = [{"text": "a" * at, "lang": "en" if at < 4 else "fr"} for at in range(1, 6)]
    corpus = pf.open_corpus(write(tmp_path / "c.jsonl", rows), keep=["lang"])
    submit(corpus, tmp_path / "own.zarr", pf.Graph([n_bytes]))
    _, said = text_of(look, pf.report(tmp_path / "own.zarr", tmp_path / "r.html").path)
    assert "Texts; mean of n_bytes, by lang" in said
    assert "en\t3\t2" in said
    assert "fr\t2\t4.5" in said
    assert "ambiguity" not in said
    assert "dhātu in percent" not in said


def test_fields_with_several_numbers_are_summarised(look, submit, tmp_path):
    rows = [{"text": "a" * at} for at in range(1, 4)]
    corpus = pf.open_corpus(write(tmp_path / "c.jsonl", rows))
    submit(corpus, tmp_path / "own.zarr", pf.Graph([LENGTHS]))
    _, said = text_of(look, pf.report(tmp_path / "own.zarr", tmp_path / "r.html").path)
    assert "long\t2\t1\t3" in said
    assert "short\t-1.5\t-2\t-1" in said  # NaN is ignored
    assert "30 numbers per text, the first 20 of them below" in said


def test_texts_of_another_store_are_ranked_by_its_first_number(submit, tmp_path):
    @pf.map_block(fields=[pf.Field("length", "float32")], version="1")
    def length(text):
        lengths = np.array([len(one) for one in text.to_strings()], "float32")
        return np.where(lengths == 3, np.nan, lengths)

    corpus = pf.open_corpus(write(tmp_path / "c.jsonl", [{"text": "x" * n} for n in range(1, 30)]))
    submit(corpus, tmp_path / "s", pf.Graph([length]))
    page = pf.report(tmp_path / "s", tmp_path / "r.html").path.read_text()
    assert "The texts with the largest length" in page
    assert f">{'x' * 29}<" in page
    assert ">x<" in page
    assert f">{'x' * 3}<" not in page
