"""`cite`: an English paragraph without a figure that is not in the store's manifest."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from typer.testing import CliRunner

import paninifs as pf
from paninifs.engine.cli import app
from paninifs.graphs.blocks.ambiguity import ambiguity
from paninifs.graphs.blocks.dhatu import dhatu
from paninifs.graphs.blocks.digest import digest
from paninifs.graphs.blocks.prime_base import prime_base
from paninifs.storage.errors import ResultsNotFound, UsageError
from paninifs.storage.store.keys import MANIFEST_KEY
from paninifs.storage.store.manifest import read_manifest
from paninifs.storage.targets.open import open_target


@pf.map_block(fields=[pf.Field("length", "int64")], version="2.5", exact=False)
def length_of_text(text):
    return (text.offsets[1:] - text.offsets[:-1]).astype("int64")


@pytest.fixture
def store(glosses, inline, write_jsonl, tmp_path):
    """A store with cleaning, kept columns, a user's block and quarantined rows."""
    rows = [row | {"lang": "en", "year": 1900 + n % 100} for n, row in enumerate(glosses)]
    rows[7] = {"id": "x", "text": None}
    rows[8] = {"id": "y"}
    write_jsonl(rows[:900], "a.jsonl")
    folder = write_jsonl(rows[900:], "b.jsonl").parent
    clean = pf.Cleaning(unicode="NFC", whitespace=True, min_chars=12, duplicates=True)
    corpus = pf.open_corpus(folder, keep=["lang", "year"], clean=clean)
    graph = pf.default_graph(primes=(2, 3, 5)) + length_of_text
    path = tmp_path / "out.zarr"
    pf.submit(graph, corpus, path, client=inline, shard_rows=512, progress=False).result()
    return path


def numbers_of(document):
    """Return every number of a manifest, including those in strings and the lengths of lists."""
    match document:
        case bool() | None:
            return []
        case int() | float():
            return [document]
        case str():
            return [float(one) for one in re.findall(r"\d+(?:\.\d+)?", document)]
        case list():
            return [len(document), *(number for one in document for number in numbers_of(one))]
        case dict():
            inner = [n for key, value in document.items() for n in numbers_of([key, value])]
            return [len(document), *inner]
    raise AssertionError(document)


def missing_figures(paragraph, manifest):
    """Return the figures of a paragraph that equal no number of the manifest, rounded alike."""
    document = json.loads(manifest.to_json())
    for version in {v for one in (document, *document["runs"]) for v in one["versions"].values()}:
        paragraph = paragraph.replace(version, "")
    for fingerprint in (manifest.fingerprint, manifest.fingerprint[:16]):
        paragraph = paragraph.replace(fingerprint, "")
    known = numbers_of(document)
    found = re.findall(r"(?<![\w-])\d[\d,]*(?:\.\d+)?", paragraph)
    missing = []
    for figure in found:
        digits = figure.replace(",", "")
        places = len(digits.partition(".")[2])
        if not any(round(number, places) == float(digits) for number in known):
            missing.append(figure)
    assert len(found) > 10
    return missing


def test_every_figure_is_found_in_the_manifest(store):
    manifest = read_manifest(open_target(store))
    paragraph = pf.cite(store).paragraph
    assert missing_figures(paragraph, manifest) == []
    assert missing_figures(paragraph + " 123,457 texts", manifest) == ["123,457"]


def test_paragraph_names_results_corpus_and_software(store):
    manifest, said = read_manifest(open_target(store)), str(pf.cite(store))
    done, aside = manifest.summary["done"], manifest.summary["quarantined"]
    assert aside > 2
    for part in (
        f"for {done:,} texts in 2 files",
        "the 9 semantic roots RELATE, MODAL",
        "the 3 primes 2, 3, 5",
        f"Of 2,000 records {aside:,} could not be used and were quarantined (",
        "fewer characters than asked for",
        "null text",
        "no 'text'",
        "the Unicode normal form NFC",
        "'lang' and 'year' were kept",
        "our own block 'length_of_text', version 2.5 (arrays: length), whose last digits may",
        "not a model of its meaning",
        "numeric version 1",
        f"Dask {manifest.versions['dask']}",
        f"Zarr {manifest.versions['zarr']}",
        f"Numba {manifest.versions['numba']}",
        "in shards of 512 texts",
        manifest.fingerprint,
        f"took {manifest.runs[0].seconds:.1f} s",
        manifest.runs[0].machine,
        "threads of one process of this machine (1 worker, ",
    ):
        assert part in said, part
    assert "\n" not in said


def test_several_runs_are_listed_many_only_the_last(store):
    target = open_target(store)
    manifest = read_manifest(target)
    for count, told in ((2, 2), (5, 3)):
        runs = [replace(manifest.runs[0], rows=100 + n, seconds=float(n)) for n in range(count)]
        several = replace(manifest, runs=tuple(runs))
        target.put(MANIFEST_KEY, several.to_json())
        said = pf.cite(store).paragraph
        assert said.count("begun") == told
        assert f"in {count} runs" in said
        assert f"{100 + count - 1} records took {count - 1}.0 s" in said
        assert missing_figures(said, several) == []


def test_rows_done_by_stopped_runs_are_reported_too(store, inline):
    target = open_target(store)
    manifest = read_manifest(target)
    target.put(MANIFEST_KEY, replace(manifest, runs=()).to_json())  # as if the run had been killed
    (store / "_run" / "done" / "00000001.json").unlink()
    corpus = manifest.facts["corpus"]
    assert corpus["text column"] == "text"
    folder = store.parent
    again = pf.open_corpus(
        [folder / "a.jsonl", folder / "b.jsonl"],
        keep=["lang", "year"],
        clean=pf.Cleaning(unicode="NFC", whitespace=True, min_chars=12, duplicates=True),
    )
    graph = pf.default_graph(primes=(2, 3, 5)) + length_of_text
    pf.submit(graph, again, store, client=inline, shard_rows=512, progress=False).result()
    manifest, said = read_manifest(target), pf.cite(store).paragraph
    (run,) = manifest.runs
    assert (run.rows_before, run.rows) == (2000 - 512, 512)
    told = "1,488 records had been done by earlier runs that were stopped and left no record. 512"
    assert told in said
    assert "The rest of" not in said
    assert missing_figures(said, manifest) == []


def test_stopped_runs_between_and_after_recorded_ones(store):
    target = open_target(store)
    manifest = read_manifest(target)

    def told(*parts):
        """Cite the store as if runs had begun and ended at these rows."""
        runs = [
            replace(manifest.runs[0], rows_before=begin, rows=end - begin) for begin, end in parts
        ]
        several = replace(manifest, runs=tuple(runs))
        target.put(MANIFEST_KEY, several.to_json())
        said = pf.cite(store).paragraph
        assert missing_figures(said, several) == []
        return said

    lost = "that were stopped and left no record"
    assert lost not in told((0, 2000))
    assert lost not in told((0, 700), (700, 2000))
    assert lost not in told((0, 1100), (1024, 2000))  # extended: part of a shard is recomputed
    between = told((0, 700), (900, 2000))
    assert f"in 2 runs, and in others {lost}:" in between
    assert f"900 records had been done, in part by earlier runs {lost}. 1,100" in between
    assert f"The rest of the 2,000 records was done by runs {lost}." in told((0, 700))
    many = told((300, 400), (400, 500), (500, 600), (600, 700), (700, 2000))
    assert f"in 5 runs, and in others {lost}; the most recent:" in many


def test_store_without_run_records_is_cited(store):
    target = open_target(store)
    older = replace(read_manifest(target), runs=())
    target.put(MANIFEST_KEY, older.to_json())
    said = pf.cite(store).paragraph
    assert "begun" not in said
    assert "No run left a record of where it ran and how long it took." in said
    assert missing_figures(said, older) == []


def test_graph_of_user_blocks_does_not_mention_hashes(inline, write_jsonl, tmp_path):
    corpus = pf.open_corpus(write_jsonl([{"text": "a"}] * 5))
    graph = pf.Graph((length_of_text,))
    pf.submit(graph, corpus, tmp_path / "s", client=inline, progress=False).result()
    said = pf.cite(tmp_path / "s").paragraph
    assert "hashes" not in said
    assert "our own block 'length_of_text'" in said
    assert "No text was quarantined." in said


def with_parameters(text, primes, dhatus):
    return (text.offsets[1:] - text.offsets[:-1]).astype("int64")


def cited(graph, client, folder, write_jsonl):
    corpus = pf.open_corpus(write_jsonl([{"text": "a"}] * 5))
    pf.submit(graph, corpus, folder / "s", client=client, progress=False).result()
    return pf.cite(folder / "s").paragraph


def test_parameters_of_a_user_block_are_not_inventories(inline, write_jsonl, tmp_path):
    graph = pf.default_graph(dhatus=("GO", "STAY"), primes=(2, 3, 5))
    params = {"primes": (13,), "dhatus": ("x",)}
    graph += pf.MapBlock(
        name="own",
        inputs=("text",),
        fields=(pf.Field("n", "int64"),),
        params=params,
        function=with_parameters,
        version="1",
    )
    said = cited(graph, inline, tmp_path, write_jsonl)
    assert "the 2 semantic roots GO, STAY," in said
    assert "each of the 3 primes 2, 3, 5, with exponents" in said
    assert "entropy (natural logarithm) of those numbers, before" in said


def test_separate_primes_of_ambiguity_are_named(inline, write_jsonl, tmp_path):
    blocks = (digest(), dhatu(), prime_base(9, (2, 3, 5)), ambiguity((7, 11)))
    said = cited(pf.Graph(blocks), inline, tmp_path, write_jsonl)
    assert "each of the 3 primes 2, 3, 5, with exponents" in said
    assert "of such signatures, for each of the 2 primes 7, 11, before" in said


def test_unfinished_store_is_not_cited(store, tmp_path):
    root = store / "zarr.json"
    root.write_text(root.read_text().replace('"complete": true', '"complete": false'))
    with pytest.raises(UsageError, match="is not complete"):
        pf.cite(store)
    with pytest.raises(ResultsNotFound):
        pf.cite(tmp_path / "nothing")


def test_bibtex_entry_has_project_year_and_address(store):
    entry = pf.cite(store).bibtex
    assert entry.startswith("@software{paninifs,")
    assert pf.__version__ in entry
    assert "author = {{PaniniFS Research}}," in entry  # a name that BibTeX must not take apart
    assert re.search(r"year = \{20\d\d\},", entry)
    assert "url = {https://github.com/" in entry
    assert entry.count("{") == entry.count("}")


def test_command_prints_paragraph_and_bibtex(store):
    found = pf.cite(store)
    ran = CliRunner().invoke(app, ["cite", str(store)])
    assert (ran.exit_code, ran.output) == (0, f"{found.paragraph}\n")
    assert CliRunner().invoke(app, ["cite", str(store), "--bibtex"]).output == f"{found.bibtex}\n"
    assert json.loads(CliRunner().invoke(app, ["cite", str(store), "--json"]).output) == {
        "paragraph": found.paragraph,
        "bibtex": found.bibtex,
    }


def test_notebook_output_escapes_names(store):
    target = open_target(store)
    manifest = read_manifest(target)
    odd = replace(manifest.runs[0], machine="<script>")
    target.put(MANIFEST_KEY, replace(manifest, runs=(odd,)).to_json())
    page = pf.cite(store)._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
