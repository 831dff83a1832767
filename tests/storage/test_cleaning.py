"""Cleaning: each step alone, all in order, and from `open_corpus` to stored and shown results."""

from __future__ import annotations

import hashlib
import html
import json
import unicodedata
from itertools import chain

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from test_cli import paninifs

import paninifs as pf
from paninifs.engine.results.overview import overview, status_of
from paninifs.graphs.blocks.digest import digest
from paninifs.storage.cleaning import normal_forms
from paninifs.storage.cleaning.markup import without_markup
from paninifs.storage.cleaning.normal_forms import FORMS, NO_FORMS, NormalForms, normalised
from paninifs.storage.cleaning.steps import NO_CLEANING, Cleaning
from paninifs.storage.errors import ResultsMismatch, UsageError
from paninifs.storage.rows import Fault, Rows
from paninifs.storage.store import duplicates as duplicates_module
from paninifs.storage.store.manifest import facts_of, read_index, require_manifest
from paninifs.storage.store.quarantine import first_quarantined
from paninifs.storage.store.shards import marked_shards
from paninifs.storage.targets.local import LocalTarget

many = settings(deadline=None, database=None, max_examples=200)

WHITE_SPACE = [
    *range(0x09, 0x0E),
    *(0x20, 0x85, 0xA0, 0x1680),
    *range(0x2000, 0x200B),
    *(0x2028, 0x2029, 0x202F, 0x205F, 0x3000),
]

SPACE_LIKE = ("Zs", "Zl", "Zp", "Cc", "Cf")

IAST = ["dhātu", "Pāṇini", "Aṣṭādhyāyī", "saṃskṛtam", "ṝ", "ñ"]
DEVANAGARI = ["ऩ", "ऱाम", "धातु", "क़लम", "ज़मीन"]  # letters with a nukta: one code point or two

# Parts that cleaning has to cope with, more often than random text would have them.
pieces = st.sampled_from(
    [
        *"<>&;'\"=/ \t\n",
        *("<p>", "</b>", "<!--", "-->", "<script>", "</script>", "<![CDATA[", "]]>"),
        *("&amp;", "&lt;", "&#233;", "&#", "a\u0304", "ā", "\u0323\u0304"),
        *("\u00a0", "\u3000", "\ufb01", "क\u093c"),
    ]
)
texts = st.lists(pieces | st.text(max_size=4), max_size=12).map("".join)
cleanings = st.builds(
    Cleaning,
    markup=st.booleans(),
    unicode=st.sampled_from([None, *FORMS]),
    whitespace=st.booleans(),
    min_chars=st.none() | st.integers(1, 4),
    max_chars=st.none() | st.integers(4, 9),
)


def clean(texts, kind=None, **steps):
    return Cleaning(**steps).text(pa.array(texts, kind or pa.string())).to_pylist()


@pytest.fixture
def submit(inline, tmp_path):
    """Submit texts or a corpus to the test's own store, and return the run's summary."""

    def run(corpus, graph=None, **options):
        graph = graph or pf.default_graph()
        options = {"client": inline, "progress": False, **options}
        return pf.submit(graph, corpus, tmp_path / "out.zarr", **options).result()

    return run


@pytest.fixture
def store(tmp_path):
    return tmp_path / "out.zarr"


@pytest.fixture
def corpus(tmp_path):
    """Open texts, which may be null, as a corpus of one Parquet file."""

    def opened(texts, **steps):
        path = tmp_path / "corpus.parquet"
        if not path.exists():
            pq.write_table(pa.table({"text": pa.array(texts, pa.string())}), path)
        return pf.open_corpus(path, clean=Cleaning(**steps))

    return opened


# --- declaration ----------------------------------------------------------------------------------


def test_a_cleaning_is_described_and_read_back():
    assert NO_CLEANING.describe() == {}
    assert Cleaning(whitespace=True, max_chars=9).describe() == {"whitespace": True, "max_chars": 9}


@many
@given(cleanings)
def test_a_cleaning_survives_json(cleaning):
    assert Cleaning(**json.loads(json.dumps(cleaning.describe()))) == cleaning


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ({"unicode": "nfc"}, "unicode must be one of NFC, NFD, NFKC, NFKD, not 'nfc'"),
        ({"markup": "html"}, "markup must be True or False, not 'html'"),
        ({"whitespace": 1}, "whitespace must be True or False, not 1"),
        ({"duplicates": "yes"}, "duplicates must be True or False"),
        ({"min_chars": 0}, "min_chars must be a number of characters, at least 1, not 0"),
        ({"max_chars": 2.5}, "max_chars must be a number of characters, at least 1, not 2.5"),
        ({"min_chars": True}, "min_chars must be a number of characters"),
        ({"min_chars": 9, "max_chars": 8}, r"no text has at least 9 characters .* at most 8"),
    ],
)
def test_impossible_steps_are_refused(steps, message):
    with pytest.raises(UsageError, match=message):
        Cleaning(**steps)


def test_open_corpus_requires_a_cleaning(tmp_path):
    (tmp_path / "a.txt").write_text("un")
    with pytest.raises(UsageError, match=r"clean must be a Cleaning, .* not 'NFC'"):
        pf.open_corpus(tmp_path / "a.txt", clean="NFC")


# --- the steps ------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", IAST + DEVANAGARI)
def test_nfc_and_nfd_of_a_word_become_one(word):
    nfc, nfd = (unicodedata.normalize(form, word) for form in ("NFC", "NFD"))
    assert clean([nfc, nfd], unicode="NFC") == [nfc, nfc]
    assert clean([nfc, nfd], unicode="NFD") == [nfd, nfd]


def test_compatibility_forms_go_further():
    assert clean(["ﬁn ①"], unicode="NFC") == ["ﬁn ①"]
    assert clean(["ﬁn ①"], unicode="NFKC") == ["fin 1"]


@pytest.mark.slow("checks every Unicode character")
def test_normal_forms_are_the_same_on_every_python():
    # Pins Unicode 14: later versions decompose and reorder characters unknown to it.
    seen = hashlib.sha256()
    for first in range(0, 0x110000, 256):
        block = [chr(c) for c in range(first, first + 256) if not 0xD800 <= c < 0xE000]
        text = " ".join(f"e\u0301{one}\u0323\u0301{one}" for one in block)
        for form in FORMS:
            seen.update(normalised(text, form).encode())
    assert seen.hexdigest() == "c768aafee8a9d815f5820d9dd4fcb562830fbd354664f288d43de0d4881f9550"


def test_white_space_is_unicodes_and_nothing_else():
    for code in chain(range(0xD800), range(0xE000, 0x110000)):
        one = chr(code)
        if one.isspace() or code in WHITE_SPACE or unicodedata.category(one) in SPACE_LIKE:
            expected = "a b" if code in WHITE_SPACE else f"a{one}b"
            assert clean([f"a{one}b"], whitespace=True) == [expected], hex(code)
    assert len(WHITE_SPACE) == 25
    assert clean(["\ufeffa\u200bb\x1f"], whitespace=True) == ["\ufeffa\u200bb\x1f"]


@many
@given(texts)
def test_white_space_is_collapsed_as_by_a_simple_loop(text):
    words = "".join(" " if ord(c) in WHITE_SPACE else c for c in text).split(" ")
    assert clean([text], whitespace=True) == [" ".join(filter(None, words))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a < b and c > d", "a < b and c > d"),
        (
            "1<2>3, <anna@example.org>, <https://x.org>, <3",
            "1<2>3, <anna@example.org>, <https://x.org>, <3",
        ),
        ("<p>un</p><p>deux</p>", " un  deux "),
        ("un<br>deux<BR/>trois<br />", "un deux trois "),
        ("d<b>hā</b>tu", "dhātu"),
        ("<jats:p>un</jats:p>deux", " un deux"),
        ("<a href='x>y' title=\"<b>\" c=d e>un</a>", "un"),
        ("<a href=\"x\"class='y'>un", "un"),
        ("<p\n class=a\n>un</p\t>", " un "),
        ("un<!-- > <b> -->deux<!-- open", "undeux"),
        ("<![CDATA[<b>&amp;]]>&amp;<![cdata[<i>", "<b>&amp;&<i>"),
        ("<!DOCTYPE html><?xml version='1.0'?>un", "un"),
        ("<script>if (a<b) x('</b>')</script>un<style>p {}</STYLE >", "un"),
        ("un<script>open", "un"),
        ("<script src='x'/>un<scripts>deux", "undeux"),
        ("&eacute;&#233;&#xE9;&nbsp;AT&T &lt;b&gt;", "ééé\xa0AT&T <b>"),
        ("&amp;lt;", "&lt;"),
        ("&#xD800;&#0;&#1114112;", "\ufffd\ufffd\ufffd"),
        (f"&#{'9' * 5000};un", "\ufffdun"),
        ("<\u017fcript>un", "<\u017fcript>un"),
        ("<b", "<b"),
        ("a <b and c> d", "a  d"),
    ],
)
def test_markup_is_removed_and_its_text_kept(text, expected):
    assert without_markup(text) == expected
    assert clean([text], markup=True) == [expected]


@many
@given(texts)
def test_escaped_text_is_unescaped(text):
    assert without_markup(f"<i>{html.escape(text)}</i>") == text


@many
@given(texts)
def test_markup_never_fails_and_leaves_plain_text_alone(text):
    without_markup(text).encode()
    bare = text.translate({ord("<"): None, ord("&"): None})
    assert without_markup(bare) == bare


@many
@given(texts, cleanings)
def test_cleaning_is_idempotent_unless_references_made_markup(text, cleaning):
    once = cleaning.text(pa.array([text]))
    if not cleaning.markup or not {"<", "&"} & set(once[0].as_py()):
        assert cleaning.text(once).equals(once)


@many
@given(st.lists(st.none() | texts, max_size=6), st.integers(0, 3), cleanings)
def test_steps_are_applied_in_order(given_texts, offset, cleaning):
    def by_hand(text):
        if text is None:
            return None
        if cleaning.markup:
            text = without_markup(text)
        if cleaning.unicode:
            text = unicodedata.normalize(cleaning.unicode, text)
        return clean([text], whitespace=True)[0] if cleaning.whitespace else text

    for kind in (pa.string(), pa.large_string()):
        array = pa.array([*["before"] * offset, *given_texts], kind).slice(offset)
        found = cleaning.text(array)
        assert found.to_pylist() == [by_hand(text) for text in given_texts]
        assert found.type == kind


def test_later_steps_see_the_characters_of_references():
    steps = {"markup": True, "unicode": "NFC", "whitespace": True}
    assert clean(["<p>dha&#x304;tu&nbsp;&#x2003;</p>"], **steps) == ["dhātu"]


def test_texts_that_need_no_cleaning_are_not_copied():
    array = pa.array(["ein Wort", None, "dhātu"])
    steps = Cleaning(markup=True, unicode="NFC", whitespace=True, min_chars=2, max_chars=99)
    assert steps.text(array) is array
    rows = Rows(0, array, {})
    assert rows.cleaned(steps) is rows
    assert rows.cleaned(NO_CLEANING) is rows


def test_texts_that_outgrow_a_short_array_get_a_long_one(monkeypatch):
    from paninifs.storage.cleaning import steps as cleaning

    monkeypatch.setattr(cleaning, "_LONGEST_STRING", 50)
    assert Cleaning(unicode="NFD").text(pa.array(["ā"])).type == pa.string()
    long = Cleaning(unicode="NFD").text(pa.array(["ā" * 20, None]))
    assert (long.type, long.to_pylist()) == (pa.large_string(), ["a\u0304" * 20, None])


def test_lengths_are_in_characters_of_the_cleaned_text():
    null = Fault(11, "null text")
    rows = Rows(10, pa.array(["  āé  ", None, "abc", "", "abcdef"]), {}, (null,))
    found = rows.cleaned(Cleaning(whitespace=True, min_chars=3, max_chars=5))
    assert found.text.to_pylist() == [None, None, "abc", None, None]
    assert found.faults == (
        Fault(10, "2 characters, fewer than the 3 asked for", "āé".encode()),
        null,
        Fault(13, "0 characters, fewer than the 3 asked for", b""),
        Fault(14, "6 characters, more than the 5 asked for", b"abcdef"),
    )
    one = Rows(0, pa.array(["x" * 5000]), {}).cleaned(Cleaning(max_chars=1)).faults[0]
    assert (one.reason, len(one.excerpt)) == ("5,000 characters, more than the 1 asked for", 1024)


@many
@given(st.lists(st.none() | texts, max_size=6), cleanings)
def test_faulty_texts_are_null_and_faults_are_in_order(given_texts, cleaning):
    nulls = tuple(Fault(r, "null text") for r, text in enumerate(given_texts) if text is None)
    rows = Rows(0, pa.array(given_texts, pa.string()), {}, nulls).cleaned(cleaning)
    assert [fault.row for fault in rows.faults] == np.flatnonzero(rows.text.is_null()).tolist()
    for text in filter(None, rows.text.to_pylist()):
        assert (cleaning.min_chars or 0) <= len(text) <= (cleaning.max_chars or len(text))


# --- in a run -------------------------------------------------------------------------------------


def test_with_nfc_the_digests_of_nfc_and_nfd_are_equal(submit, store, corpus):
    words = IAST + DEVANAGARI
    both = [unicodedata.normalize(form, word) for word in words for form in ("NFC", "NFD")]
    summary = submit(corpus(both, unicode="NFC"))
    digests = pf.open_results(store).digest.values
    assert (digests[::2] == digests[1::2]).all()
    expected = [hashlib.sha256(text.encode()).digest() for text in both[::2]]
    assert [bytes(one) for one in digests[::2]] == expected
    assert (summary.not_nfc, summary.not_nfd) == (None, None)  # not checked
    assert pf.verify(store).passed


@pytest.mark.documented("length")
def test_frames_show_verify_and_a_run_see_one_text(submit, store, corpus):
    opened = corpus(
        ["<p>Le  mot</p>", "x", None, "la&nbsp;chose"], markup=True, whitespace=True, min_chars=2
    )
    cleaned = ["Le mot", None, None, "la chose"]
    assert (
        opened.frame.text.compute().map(lambda text: text, na_action="ignore").tolist()[::3]
        == (cleaned[::3])
    )
    assert opened.frame.text.isna().compute().tolist() == [False, True, True, False]
    summary = submit(opened)
    assert (summary.rows, summary.done, summary.quarantined) == (4, 2, 2)
    assert {one.text for one in overview(store).ranked} == {"Le mot", "la chose"}
    assert pf.verify(store).passed
    dataset = pf.open_results(store)
    assert dataset.valid.values.tolist() == [True, False, False, True]
    assert bytes(dataset.digest.values[3]) == hashlib.sha256(b"la chose").digest()


def test_a_changed_step_is_refused_by_name(submit, store, corpus):
    submit(corpus(["un", "deux"], unicode="NFC", min_chars=2))
    for steps, message in [
        ({"min_chars": 2}, "corpus → cleaning → unicode was NFC and is absent"),
        ({"unicode": "NFD", "min_chars": 2}, "corpus → cleaning → unicode was NFC and is NFD"),
        ({"unicode": "NFC", "min_chars": 3}, "corpus → cleaning → min_chars was 2 and is 3"),
        (
            {"unicode": "NFC", "min_chars": 2, "markup": True},
            "corpus → cleaning → markup was absent and is true",
        ),
    ]:
        with pytest.raises(ResultsMismatch, match=message):
            submit(corpus(None, **steps))
    assert submit(corpus(None, unicode="NFC", min_chars=2)).done == 2


def test_texts_of_the_wrong_length_are_quarantined_in_place(submit, store, corpus):
    texts = [None if row % 50 == 7 else "x" * (row % 10) for row in range(300)]
    summary = submit(corpus(texts, min_chars=2, max_chars=8), shard_rows=64)
    fits = [text is not None and 2 <= len(text) <= 8 for text in texts]
    assert pf.open_results(store).valid.values.tolist() == fits
    assert (summary.done, summary.quarantined) == (sum(fits), 300 - sum(fits))
    entries, _ = first_quarantined(LocalTarget(store), 100)
    assert [entry.row for entry in entries] == [row for row in range(300) if not fits[row]]
    for entry in entries:
        text = texts[entry.row]
        assert entry.file_row == entry.row
        assert entry.excerpt == (text or "").encode()
        assert ("null" if text is None else f"{len(text)} character") in entry.reason
    assert pf.verify(store).passed


# --- duplicates -----------------------------------------------------------------------------------


def marked_by_hand(texts):
    seen, marks = set(), []
    for text in texts:
        marks.append(text is not None and text in seen)
        seen.add(text)
    return marks


def test_duplicates_of_the_cleaned_text_are_marked_across_shards(submit, store, corpus):
    texts = [f" text  {row % 150}" if row % 3 else f"text {row % 150}" for row in range(400)]
    texts[5] = texts[17] = texts[399] = None
    texts[8] = texts[390] = ""
    summary = submit(corpus(texts, whitespace=True, duplicates=True), shard_rows=64)
    expected = marked_by_hand([t if t is None else " ".join(t.split()) for t in texts])
    dataset = pf.open_results(store)
    assert dataset.duplicate.values.tolist() == expected
    assert dataset.duplicate.dtype == bool
    assert summary.duplicates == sum(expected)
    assert json.loads(dataset.attrs["summary"])["duplicates"] == sum(expected)
    assert overview(store).arrays["duplicate"] == "bool [400]"
    assert pf.verify(store).passed
    marks = zarr.open_group(store)["duplicate"]
    marks[8] = True
    assert pf.verify(store).problems == (
        "duplicate, row 8: stored and computed marks differ (1 of 400 rows)",
    )
    (store / "duplicate/c/3").write_bytes(b"torn")
    assert "duplicate: cannot be decoded" in pf.verify(store).problems[0]


def test_duplicates_are_only_marked_on_request(submit, store, corpus):
    summary = submit(corpus(["un", "un"]))
    assert summary.duplicates is None
    assert "duplicate" not in pf.open_results(store)


def test_marks_are_false_until_a_resumed_run_is_done(submit, store, corpus):
    opened = corpus(["un", "deux", "un", "deux"], duplicates=True)
    submit(opened, shard_rows=2)
    (store / "_run/done/00000001.json").unlink()
    assert submit(opened, shard_rows=2).duplicates == 2
    assert pf.open_results(store).duplicate.values.tolist() == [False, False, True, True]


@many
@given(st.data(), st.integers(1, 40), st.integers(1, 7), st.integers(1, 50))
def test_marks_are_exact_however_many_passes_they_take(data, rows, shard_rows, rows_a_pass):
    # Digests that differ only in the last byte, only in the first, or not at all.
    ends = data.draw(
        st.lists(st.sampled_from([0, 1, 128, 255]), min_size=2 * rows, max_size=2 * rows)
    )
    digests = np.zeros((rows, 32), np.uint8)
    digests[:, 0], digests[:, 31] = ends[:rows], ends[rows:]
    valid = np.array(data.draw(st.lists(st.booleans(), min_size=rows, max_size=rows)))
    texts = [bytes(d) if v else None for d, v in zip(digests, valid, strict=True)]
    layout = duplicates_module.StoreLayout((), rows, shard_rows, "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates_module, "ROWS_PER_PASS", rows_a_pass)
        patch.setattr(duplicates_module, "_ROWS_READ", 4)
        arrays = {"digest": digests, "valid": valid}
        found = duplicates_module.find_duplicates(arrays, layout)
        passes = -(-rows // rows_a_pass)
        shares = [
            {
                int(row)
                for part, _ in duplicates_module._share(arrays, layout, one, passes)
                for row in part
            }
            for one in range(passes)
        ]
    assert (
        sorted(chain(*shares)) == np.flatnonzero(valid).tolist()
    )  # each digest is compared in exactly one pass
    assert found.tolist() == marked_by_hand(texts)


@pf.map_block(fields=[pf.Field("digest", "uint8", (8,))])
def short_digest(text):
    return np.zeros((len(text), 8), "uint8")


def test_duplicates_need_the_digest(submit, store, corpus):
    graph = pf.Graph((pf.dhatu(),))
    with pytest.raises(UsageError, match=r"paninifs.digest\(\), or leave out --mark-duplicates"):
        submit(corpus(["un"], duplicates=True), graph)
    with pytest.raises(UsageError, match=r"uint8 \[n, 32\], which no block of this graph computes"):
        submit(corpus(None, duplicates=True), pf.Graph((short_digest,)))
    assert not store.exists()
    assert submit(corpus(None, duplicates=True), pf.Graph((digest(),))).duplicates == 0


@pf.map_block(fields=[pf.Field("duplicate", "int32")])
def duplicate(text):
    return np.zeros(len(text), "int32")


def test_duplicates_need_a_name_of_their_own(submit, store, corpus, tmp_path):
    with pytest.raises(UsageError, match="two arrays of the results would be called 'duplicate'"):
        submit(corpus(["un"], duplicates=True), pf.default_graph() + duplicate)
    (tmp_path / "c.csv").write_text("text,duplicate\nun,1\n")
    kept = pf.open_corpus(tmp_path / "c.csv", keep=["duplicate"], clean=Cleaning(duplicates=True))
    with pytest.raises(UsageError, match="two arrays of the results would be called 'duplicate'"):
        submit(kept)
    assert not store.exists()


# --- mixed normal forms ---------------------------------------------------------------------------

NFC, NFD = "dh\u0101tu", "dha\u0304tu"


def test_the_first_text_of_each_kind_is_remembered():
    found = NO_FORMS.updated(pa.array(["ascii", None, NFC, "ß"]), 100)
    assert (found, found.warning) == (NormalForms(None, 102), None)
    found = found.updated(pa.array([NFC, NFD, NFD]), 200)
    assert found == NormalForms(201, 102)
    assert "row 201 is not in NFC, row 102 is not in NFD" in found.warning
    assert found.updated(pa.array([NFD]), 0) is found
    assert NormalForms.joined([NO_FORMS, NormalForms(7, None), NormalForms(9, 8)]) == (
        NormalForms(7, 8)
    )


@many
@given(st.lists(st.none() | texts, max_size=8), st.integers(0, 2), st.sampled_from(range(3)))
def test_every_text_of_a_small_batch_is_checked(given_texts, offset, known):
    def first(form):
        changed = (text and normalised(text, form) != text for text in given_texts)
        return next((100 + row for row, one in enumerate(changed) if one), None)

    before = (NO_FORMS, NormalForms(1, None), NormalForms(None, 2))[known]
    batch = pa.array([*["\u0304"] * offset, *given_texts], pa.string()).slice(offset)
    assert before.updated(batch, 100) == NormalForms(
        first("NFC") if before.not_nfc is None else 1, first("NFD") if before.not_nfd is None else 2
    )


def test_a_bounded_sample_of_a_large_batch_is_checked(monkeypatch):
    texts = pa.array([NFC] * 10_000 + [NFD] * 240)
    found = NO_FORMS.updated(texts, 0)
    assert found.not_nfd == 0
    assert found.not_nfc >= 10_000
    looked_at = []
    monkeypatch.setattr(normal_forms, "normalised", lambda text, form: looked_at.append(text))
    NO_FORMS.updated(texts, 0)
    together, *singly = looked_at
    assert normal_forms.MAX_SAMPLED == 256
    assert len(together) <= 256 * len(NFD)
    assert len(singly) <= 2 * 256 + 1


def test_only_the_beginning_of_a_long_text_is_checked():
    near, far = (pa.array(["x" * at + NFD]) for at in (900, 5_000))
    assert NO_FORMS.updated(near, 0).not_nfc == 0
    assert NO_FORMS.updated(far, 0) == NO_FORMS


@pytest.mark.parametrize("before", range(4))
def test_a_sample_cut_within_a_character_is_checked_without_it(before):
    lead = "x" * (normal_forms.MAX_BYTES - before)
    texts = pa.array([lead + "\U0001d15e", "e", "\u0301", NFD])  # either form changes a note
    assert NO_FORMS.updated(texts, 0).not_nfc == 3
    assert NO_FORMS.updated(texts.slice(0, 3), 0) == NO_FORMS


def test_a_run_notices_mixed_forms_and_cleaning_ends_them(submit, store, corpus):
    texts = ["ascii"] * 100 + [NFC] * 100 + [NFD] * 100
    summary = submit(corpus(texts), shard_rows=64)
    assert (summary.not_nfc, summary.not_nfd) == (200, 100)
    status = status_of(store)
    assert (status.not_nfc, status.not_nfd) == (200, 100)
    # A task that found one does not search for another.
    target = LocalTarget(store)
    manifest = require_manifest(target)
    layout = manifest.layout(read_index(target, manifest))
    assert [marked_shards(target, layout)[shard].not_nfd for shard in range(5)] == [None] + [
        100
    ] * 4
    summary = submit(corpus(None, unicode="NFD"), shard_rows=64, fresh=True)
    assert (summary.not_nfc, summary.not_nfd) == (None, None)


def test_facts_name_the_steps(corpus):
    facts = facts_of(corpus(["un"], whitespace=True, duplicates=True), {}, 1)
    assert facts["corpus"]["cleaning"] == {"whitespace": True, "duplicates": True}


# --- the command ----------------------------------------------------------------------------------


def test_the_command_line_cleans_marks_and_warns(tmp_path):
    texts = [f"<p>{NFC}</p>", f"<p> {NFC}</p>", NFD, "x", "x" * 99]
    rows = pd.DataFrame({"text": texts})
    rows.to_json(tmp_path / "c.jsonl", orient="records", lines=True)
    ran = paninifs("run", "c.jsonl", "plain.zarr", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "warning: the texts mix Unicode normal forms: row 2 is not in NFC" in ran.stderr
    shown = paninifs("show", "plain.zarr", cwd=tmp_path)
    assert "row 2 is not in NFC, row 0 is not in NFD" in shown.stderr
    assert "--unicode NFC" in shown.stderr
    options = ["--strip-markup", "--unicode", "NFC", "--collapse-whitespace", "--min-chars", "2"]
    options += ["--max-chars", "50", "--mark-duplicates"]
    ran = paninifs("run", "c.jsonl", "clean.zarr", *options, cwd=tmp_path)
    assert ran.returncode == 3, ran.stderr  # done, with quarantined rows
    assert "duplicates: 2, marked in the array 'duplicate'" in ran.stdout
    assert "1 character, fewer than the 2 asked for" in ran.stdout
    assert "99 characters, more than the 50 asked for" in ran.stdout
    shown = paninifs("show", "clean.zarr", cwd=tmp_path)
    assert "duplicates: 2" in shown.stdout
    assert "warning" not in ran.stderr + shown.stderr
    assert paninifs("verify", "clean.zarr", cwd=tmp_path).returncode == 0
    again = paninifs("run", "c.jsonl", "clean.zarr", *options[3:], cwd=tmp_path)
    assert again.returncode == 2
    assert "corpus → cleaning → markup was true and is absent" in again.stderr
    assert paninifs("run", "c.jsonl", "x.zarr", "--unicode", "UTF", cwd=tmp_path).returncode == 2
