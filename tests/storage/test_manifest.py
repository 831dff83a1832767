"""The manifest, the index beside it, and the quarantine: written, read back, compared."""

import copy
import json
import shutil
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import PAPERS, PROMPTS

from paninifs import Field, default_graph, open_corpus
from paninifs.storage.corpus.index import CorpusIndex
from paninifs.storage.corpus.partition import Sharding
from paninifs.storage.corpus.reading import read_stretch
from paninifs.storage.errors import ResultsMismatch, ResultsNotFound
from paninifs.storage.rows import Fault, RowSpan, SourceFile, Stretch
from paninifs.storage.store import lifecycle
from paninifs.storage.store.keys import MANIFEST_KEY, QUARANTINE_KEY
from paninifs.storage.store.leases.lease import Lease
from paninifs.storage.store.manifest import (
    Manifest,
    facts_of,
    read_index,
    read_manifest,
    require_manifest,
    require_same,
    write_index,
)
from paninifs.storage.store.quarantine import (
    QuarantinedRows,
    first_quarantined,
    from_parquet,
    merge,
    quarantined_rows,
    to_parquet,
)
from paninifs.storage.targets.local import LocalTarget

many = settings(deadline=None, database=None, max_examples=100)


@pytest.fixture
def folder(tmp_path):
    here = tmp_path / "corpus"
    here.mkdir()
    shutil.copy2(PAPERS, here / "papers.jsonl")
    shutil.copy2(PROMPTS, here / "prompts.jsonl")
    return here


@pytest.fixture
def target(tmp_path):
    return LocalTarget(tmp_path / "store.zarr")


@pytest.fixture
def facts(folder):
    return facts_of(open_corpus(folder, keep=["lang"]), default_graph().describe(), 1)


def manifest_of(facts):
    fields = (
        Field("dhatu", "float32", (2,), ("root",), {"root": ("RELATE", "MODAL")}),
        Field("note", "string"),
    )
    return Manifest(
        facts=facts,
        fields=fields,
        shard_rows=4096,
        rows=129,
        created="2026-11-21T00:00:00+00:00",
        versions={"zarr": "3.1.6"},
    )


def refusal(target, old, new):
    with pytest.raises(ResultsMismatch) as caught:
        require_same(target, Manifest.from_json(manifest_of(old).to_json()), new)
    return str(caught.value)


# --- the manifest -------------------------------------------------------------------------------


def test_a_manifest_survives_json(facts):
    manifest = manifest_of(facts)
    again = Manifest.from_json(manifest.to_json())
    assert again.facts == json.loads(json.dumps(facts))
    assert again.fingerprint == manifest.fingerprint
    assert (again.shard_rows, again.rows, again.created, again.versions) == (
        4096,
        129,
        "2026-11-21T00:00:00+00:00",
        {"zarr": "3.1.6"},
    )
    kinds = [(f.name, f.dtype, f.shape, f.dims) for f in manifest.fields]
    assert [(f.name, f.dtype, f.shape, f.dims) for f in again.fields] == kinds
    assert Manifest.from_json(again.to_json()) == again


def test_the_fingerprint_depends_on_facts_and_shard_rows(facts):
    manifest = manifest_of(facts)
    backwards = dict(reversed(facts.items()))
    assert list(backwards) != list(facts)
    assert manifest_of(backwards).fingerprint == manifest.fingerprint
    changed = copy.deepcopy(facts)
    changed["corpus"]["text column"] = "body"
    assert manifest_of(changed).fingerprint != manifest.fingerprint
    other = replace(manifest, shard_rows=8192)
    assert other.fingerprint != manifest.fingerprint
    later = replace(manifest, created="2027-01-01T00:00:00+00:00", versions={})
    assert later.fingerprint == manifest.fingerprint


def test_equal_facts_are_equal_after_json(target, folder, facts):
    again = facts_of(open_corpus(folder, keep=["lang"]), default_graph().describe(), 1)
    require_same(target, Manifest.from_json(manifest_of(facts).to_json()), again)


def test_a_changed_corpus_file_is_named(target, folder, facts):
    with (folder / "papers.jsonl").open("ab") as file:
        file.write(b'{"text": "one more"}\n')
    new = facts_of(open_corpus(folder, keep=["lang"]), default_graph().describe(), 1)
    message = refusal(target, facts, new)
    assert "papers.jsonl has changed: 135,688 bytes then, 135,709 now" in message
    assert "prompts.jsonl" not in message
    assert str(target.url) in message
    assert "fresh=True" in message


def test_an_added_or_removed_corpus_file_is_named(target, folder, facts):
    (folder / "prompts.jsonl").rename(folder / "questions.jsonl")
    new = facts_of(open_corpus(folder, keep=["lang"]), default_graph().describe(), 1)
    message = refusal(target, facts, new)
    assert "prompts.jsonl is gone; questions.jsonl is new." in message


def test_another_order_of_the_files_is_another_corpus(target, folder):
    # Rows are numbered across the files in order, so every id and position would change.
    files = [folder / "papers.jsonl", folder / "prompts.jsonl"]
    old, new = (facts_of(open_corpus(order), {}, 1) for order in (files, files[::-1]))
    assert manifest_of(old).fingerprint != manifest_of(new).fingerprint
    assert "another order: prompts.jsonl where papers.jsonl was" in refusal(target, old, new)


def test_other_columns_are_named(target, folder, facts):
    new = facts_of(
        open_corpus(folder, text="body", id="key", keep=["lang", "x"]),
        default_graph().describe(),
        1,
    )
    message = refusal(target, facts, new)
    assert "corpus → text column was text and is body" in message
    assert "corpus → id column was absent and is key" in message
    assert 'corpus → kept columns was ["lang"] and is ["lang", "x"]' in message


def test_another_parameter_of_the_graph_is_named(target, folder):
    corpus = open_corpus(folder)
    old = facts_of(corpus, default_graph().describe(), 1)
    new = facts_of(corpus, default_graph(primes=(2, 3, 5)).describe(), 1)
    message = refusal(target, old, new)
    assert "graph → " in message
    assert "[2, 3, 5]" in message


def test_other_block_source_and_numeric_version_are_named(target, facts):
    old, new = ({**facts, "graph": {"mine": {"source": digest}}} for digest in ("aaa", "bbb"))
    new["numeric version"] = 2
    message = refusal(target, old, new)
    assert "graph → mine → source was aaa and is bbb" in message
    assert "numeric version was 1 and is 2" in message


def test_long_texts_are_shown_where_they_differ(target, facts):
    old, new = (
        {**facts, "graph": {"mine": {"cuda": "line\n" * 40 + end}}} for end in ("i < n", "i <= n")
    )
    message = refusal(target, old, new)
    was, now = message.split("graph → mine → cuda was ")[1].split(" and is ")
    assert was.startswith("...")
    assert was.endswith("line line i < n...")
    assert now.startswith("...")
    assert "line line i <= n" in now


def test_three_differences_are_named_and_the_rest_counted(target, facts):
    new = {**facts, **{f"fact {n}": "x" * 1000 for n in range(5)}}
    message = refusal(target, facts, new)
    assert message.count("was absent and is xxx") == 3
    assert "(and 2 more)" in message
    assert len(message) < 800


def test_a_store_without_a_manifest_is_no_store(target):
    assert read_manifest(target) is None
    with pytest.raises(ResultsNotFound, match="no results store of this engine at"):
        require_manifest(target)
    manifest = manifest_of({})
    with pytest.raises(ResultsNotFound, match=f"its index {manifest.index_key} is missing"):
        read_index(target, manifest)


def test_a_torn_manifest_is_not_read(target, facts):
    data = manifest_of(facts).to_json()
    target.put(MANIFEST_KEY, data)
    assert require_manifest(target).fingerprint == manifest_of(facts).fingerprint
    target.put(MANIFEST_KEY, data[: len(data) // 2])
    assert read_manifest(target) is None


# --- the index ----------------------------------------------------------------------------------


def test_an_index_survives_json(folder, target):
    (folder / "broken.parquet").write_bytes(b"no Parquet")
    (folder / "other.csv").write_text("body,lang\nx,san\n", "utf-8")
    (folder / "notes.txt").write_text("a\nb\n", "utf-8")
    index = open_corpus(folder, keep=["lang"]).index
    assert any(f.problem and f.units for f in index.files)
    assert any(f.problem and not f.units for f in index.files)
    again = CorpusIndex.from_json(json.loads(json.dumps(index.to_json())))
    assert again == index
    manifest = manifest_of({})
    write_index(target, manifest, index)
    assert read_index(target, manifest) == index
    assert read_index(target, manifest).stretches(0, 5) == index.stretches(0, 5)
    assert list(target.sizes()) == [manifest.index_key]


def test_an_index_may_hold_names_that_are_not_unicode(folder, target):
    (folder / "latin.csv").write_bytes("pr\u00e9nom,body\n1,2\n".encode("latin-1"))
    (folder / "half.jsonl").write_text('{"\\ud800k": 1}\n{"text": "un"}\n')
    index = open_corpus(folder).index
    write_index(target, manifest_of({}), index)
    assert read_index(target, manifest_of({})) == index


def test_remarks_are_kept_and_do_not_identify_a_store(folder, target):
    index = open_corpus(folder).index
    remarked = replace(index, remarks=("column 'id' was left out",))
    write_index(target, manifest_of({}), remarked)
    assert read_index(target, manifest_of({})) == remarked
    assert remarked.digest == index.digest
    assert "remarks" not in index.to_json()


def test_a_run_resumes_after_the_whole_corpus_moved(folder, target):
    def begin(corpus):
        facts = facts_of(corpus, {}, 1)
        with Lease.acquire(target) as lease:
            fields = (Field("n", "int64"),)
            return lifecycle.begin(
                target,
                corpus,
                facts=facts,
                computed=fields,
                sharding=Sharding(),
                ticket=lease.ticket,
                existing="resume",
            )

    first = begin(open_corpus(folder))
    moved = folder.rename(folder.with_name("elsewhere"))
    corpus = open_corpus(moved)
    opened = begin(corpus)
    assert opened.manifest.fingerprint == first.manifest.fingerprint
    index = opened.index
    stretches = index.stretches(0, index.rows)
    read = [r for s in stretches for r in read_stretch(s, corpus.opener, index.selection)]
    assert sum(map(len, read)) == index.rows == first.index.rows


# --- the quarantine -----------------------------------------------------------------------------

entries = st.builds(
    QuarantinedRows,
    row=st.none() | st.integers(0, 50),
    rows=st.integers(1, 3),
    file=st.sampled_from(["a", "b"]),
    file_row=st.none() | st.integers(0, 50),
    reason=st.sampled_from(["null text", "not JSON: ā"]),
    excerpt=st.binary(max_size=2),
)


@given(st.lists(entries, max_size=10))
@many
def test_the_quarantine_survives_parquet(found):
    assert from_parquet(to_parquet(found)) == found


@st.composite
def runs(draw):
    """Entries as a partition makes them: rows ascend, in the corpus and in each file."""
    found, row = [], 0
    for _ in range(draw(st.integers(0, 12))):
        row += draw(st.integers(0, 1))
        rows = draw(st.integers(1, 3))
        file = "a" if row < 8 else "b"
        reason = draw(st.sampled_from(["null text", "not JSON"]))
        excerpt = draw(st.sampled_from([b"", b"", b"x"]))
        at = row if file == "a" else row - 8
        found.append(
            QuarantinedRows(
                row=row, rows=rows, file=file, file_row=at, reason=reason, excerpt=excerpt
            )
        )
        row += rows
    return found


def one_by_one(found):
    return [
        (e.row + n, e.file, e.file_row + n, e.reason, e.excerpt)
        for e in found
        for n in range(e.rows)
    ]


@given(runs())
@many
def test_merging_keeps_every_row_and_joins_all_it_can(found):
    merged = merge(found)
    assert one_by_one(merged) == one_by_one(found)
    for before, after in pairwise(merged):
        assert (
            before.excerpt
            or after.excerpt
            or before.row + before.rows != after.row
            or (before.file, before.reason) != (after.file, after.reason)
        )


def test_entries_of_uncounted_files_are_not_merged():
    unread = [
        QuarantinedRows(row=None, rows=0, file="a", file_row=None, reason=reason)
        for reason in ("torn", "x")
    ]
    assert merge([unread[0], unread[0], unread[1]]) == [unread[0], unread[0], unread[1]]
    assert str(unread[0]) == "a: torn"


def test_an_entry_has_rows_of_corpus_and_file():
    file = SourceFile(
        url="file:///a.txt", name="a.txt", size=9, version="", format="text", compression=None
    )
    stretch = Stretch(1000, file, RowSpan(10, 20, 0, 0))
    found = quarantined_rows(stretch, Fault(13, "null text", b"", 2))
    assert found == QuarantinedRows(row=1003, rows=2, file="a.txt", file_row=13, reason="null text")
    assert str(found) == "a.txt, row 13-14: null text"
    odd = quarantined_rows(stretch, Fault(13, "no 'text' (the record has: \ud800k)"))
    assert from_parquet(to_parquet([odd])) == [odd]
    assert odd.reason == "no 'text' (the record has: \\ud800k)"


def test_a_store_without_a_quarantine_has_no_entries(target):
    assert first_quarantined(target, 5) == ([], 0)
    entry = QuarantinedRows(row=1, rows=1, file="a", file_row=1, reason="null text")
    target.put(QUARANTINE_KEY, to_parquet([entry]))
    entries, every = first_quarantined(target, 5)
    assert ([str(entry) for entry in entries], every) == (["a, row 1: null text"], 1)
