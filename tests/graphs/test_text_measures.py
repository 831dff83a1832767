"""The loops over characters return what plain Python returns, for any bytes."""

from __future__ import annotations

import unicodedata

import numpy as np
import plain_measures as plain
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import paninifs as pf
from paninifs.graphs.kernels import characters
from paninifs.graphs.kernels.cpu import text_measures
from paninifs.graphs.kernels.cpu.compiled import text_repetition
from paninifs.storage.errors import BackendUnavailable, UsageError

PIECES = (
    *("a", "Été", "e\u0301", "don't", "l\u2019eau", "'", "\u2019", "3", "٣", "½", "_", "\u200d"),
    *(".", "!", "?", "…", ". ", '." ', "?!) ", ",", ":", "...", "3.14", "«", "»", "(", ")"),
    *(" ", "\n", "\n\n", "\r\n", "\t", "\u00a0", "\u2028", "\x1c", "\0", "  \n"),
    *(
        "汉字",
        "漢",
        "。",
        "\uff01",
        "ひらがな",
        "カタカナー",
        "한국어",
        "々",
        "\U00020000",
        "\U0001f600",
    ),
    *("धातु", "देवनागरी।", "ไทย", "كلمة", "نیم\u200cکن", "ǅ", "ß", "ﬁ", "\U000e0100", "\u0cf3"),
)
BAD = (
    b"\xff",
    b"\xc3",
    b"\xe2\x82",
    b"\xed\xa0\x80",
    b"\xf0\x9f\x98",
    b"\xc0\xaf",
    b"\xf4\x90\x80\x80",
)

piece = st.one_of(
    st.sampled_from(PIECES).map(str.encode),
    st.text(max_size=3).map(lambda one: one.encode("utf-8", "surrogatepass")),
    st.sampled_from(BAD),
    st.binary(max_size=4),
)
text = st.one_of(
    st.lists(piece, max_size=30).map(b"".join),
    st.lists(st.sampled_from([b"a ", b"b ", b"a\n", b"\xe6\xbc\xa2", b" b\n"]), max_size=40).map(
        b"".join
    ),
)
texts = st.lists(text, max_size=4)


@settings(max_examples=60, deadline=None)
@given(texts)
@example([b"", b"\n", b"a", b"a\n", b" \n a", b"a.\nb", b"a\n \nb", b"a. \xcc\x81b"])
@example(["a.\u0301 b. c".encode(), "a\u3002\u3002b".encode(), b"'a' 'b'", b"a'1'b' c"])
@example(["a'漢 b'字'c ひ'd 漢\u0301e".encode()])
def test_counts_are_those_of_plain_python(raw):
    found, mean = text_measures.counts(pf.PackedText.from_strings(raw))
    for row, one in enumerate(raw):
        expected, length = plain.counts(one)
        assert found[:, row].tolist() == expected
        assert mean[row] == length


@settings(max_examples=60, deadline=None)
@given(texts)
def test_shares_are_those_of_plain_python(raw):
    found = text_measures.shares(pf.PackedText.from_strings(raw))
    for row, one in enumerate(raw):
        assert found[:, row].tolist() == plain.shares(one)


@settings(max_examples=60, deadline=None)
@given(texts, st.integers(1, 6), st.sampled_from([1, 3, 1 << 19]))
@example(["a'漢 a'漢 a 漢 a'b a'b a\u2019b 漢\u0301漢".encode()], 1, 100)
def test_repetition_is_that_of_plain_python(raw, n, most):
    found = text_measures.repetition(pf.PackedText.from_strings(raw), n, most)
    for row, one in enumerate(raw):
        assert found[:, row].tolist() == plain.repetition(one, n, most)


@settings(max_examples=60, deadline=None)
@given(texts)
def test_scripts_are_those_of_plain_python(raw):
    number, share = text_measures.dominant_scripts(pf.PackedText.from_strings(raw))
    for row, one in enumerate(raw):
        assert (number[row], share[row]) == plain.script(one)


@settings(max_examples=30, deadline=None)
@given(st.lists(text, min_size=1, max_size=5), st.data())
def test_a_text_is_measured_alike_in_any_slice(raw, data):
    packed = pf.PackedText.from_strings(raw)
    narrow = pf.PackedText(packed.data, packed.offsets.astype(np.int32))
    start = data.draw(st.integers(0, len(raw) - 1))
    for block in (pf.text_counts(), pf.text_shares(ngram=2), pf.script()):
        whole, part = block(packed), block(narrow[start:])
        assert [one[start:].tolist() for one in whole] == [one.tolist() for one in part]


def test_the_hash_table_of_long_texts_holds_all_that_is_compared():
    # Every byte but the spaces begins a word, and every second one ends a line.
    many = "".join(f"{chr(0x4E00 + k % 20000)}\n" for k in range(20_000)).encode()
    packed = pf.PackedText.from_strings([many + many, b"", many])
    lines, grams = text_measures.repetition(packed, 1)
    assert lines.tolist() == grams.tolist() == [0.5, 0, 0]
    lines, grams = text_measures.repetition(packed, 1, most=100)
    assert lines.tolist() == grams.tolist() == [0, 0, 0]


def test_the_repetition_of_glosses_has_no_collision(glosses):
    raw = [(one["text"] + "\n") * 2 + one["text"][:40] for one in glosses[:400]]
    found = text_measures.repetition(pf.PackedText.from_strings(raw), 3)
    expected = np.array([plain.repetition(one.encode(), 3, 1 << 19) for one in raw]).T
    assert np.array_equal(found, expected)


# --- the tables -----------------------------------------------------------------------------------


def test_the_table_of_classes_is_unicodes():
    table = characters.classes()
    for code in (*range(0x3000), *range(0xFE00, 0x10000), *range(0x1F000, 0x20000)):
        one = chr(code)
        kind = plain.category(one)
        bits = int(table[code])
        assert bool(bits & characters.LETTER) == (kind[0] == "L")
        assert bool(bits & characters.UPPER) == (kind in ("Lu", "Lt"))
        assert bool(bits & characters.DIGIT) == (kind == "Nd")
        assert bool(bits & characters.PUNCTUATION) == (kind[0] == "P")
        assert bool(bits & characters.SPACE) == plain.is_space(one)


def test_another_unicode_is_refused(monkeypatch):
    category = unicodedata.category
    monkeypatch.setattr(
        characters.unicodedata, "category", lambda one: "So" if one == "a" else category(one)
    )
    with pytest.raises(BackendUnavailable, match=r"Unicode version of this Python \("):
        characters.classes.__wrapped__()


NAMED = {name.upper().replace("_", " "): name for name in characters.SCRIPTS} | {
    "CJK UNIFIED": "Han",
    "CJK COMPATIBILITY": "Han",
    "NKO": "Nko",
    "CANADIAN SYLLABICS": "Canadian_Aboriginal",
    "HALFWIDTH KATAKANA LETTER": "Katakana",
    "HALFWIDTH HANGUL": "Hangul",
    "FULLWIDTH LATIN": "Latin",
    "MEETEI MAYEK": "Meetei_Mayek",
    "EGYPTIAN HIEROGLYPH": "Egyptian_Hieroglyphs",
}
OF_NO_SCRIPT = ("GREEK NUMERAL SIGN", "ARABIC TATWEEL", "JAVANESE PANGRANGKEP")
MANY = (range(0x3500, 0x9F00), range(0xAD00, 0xD700), range(0x20100, 0x31300))


def test_most_letters_are_of_the_script_that_begins_their_name():
    table = characters.scripts()
    seen = wrong = 0
    for code in np.flatnonzero(characters.classes() & characters.LETTER).tolist():
        if any(code in one for one in MANY):
            continue
        name = unicodedata.name(chr(code), "")
        first = next((one for one in NAMED if name.startswith(f"{one} ")), None)
        if first is None or name in OF_NO_SCRIPT:
            continue
        seen += 1
        wrong += characters.SCRIPT_NAMES[table[code] - 1] != NAMED[first]
    assert seen > 10_000
    assert wrong == 0


def test_scripts_are_numbers_of_letters_only():
    table, classes = characters.scripts(), characters.classes()
    assert np.array_equal(table > 0, (classes & characters.LETTER) > 0)
    assert table.max() == len(characters.SCRIPT_NAMES)
    assert characters.SCRIPT_NAMES[table[0x1D400] - 1] == "Other"  # mathematical bold A


# --- the blocks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("ngram", [0, 65, 1.5, True, "5", None])
def test_an_ngram_that_cannot_be_is_refused(ngram):
    with pytest.raises(UsageError, match="ngram must be a number of words from 1 to 64"):
        pf.text_shares(ngram=ngram)


def test_blocks_have_names_and_conditions():
    block = pf.script(name="writing", when="wanted")
    assert [one.name for one in block.fields] == ["writing", "writing_share"]
    assert (block.name, block.when) == ("writing", "wanted")
    assert pf.text_counts(when="x").when == pf.text_shares(when="x").when == "x"
    assert pf.text_shares(ngram=3).describe() != pf.text_shares().describe()


def test_no_texts_are_measured():
    for block in (pf.text_counts(), pf.text_shares(), pf.script()):
        assert {len(one) for one in block([])} == {0}


def test_the_loops_hash_with_an_odd_factor():
    assert text_measures.HASH_FACTOR % 2 == 1
    assert int(text_repetition.FACTOR) == text_measures.HASH_FACTOR


def test_texts_and_fields_in_a_devices_memory_are_measured_alike(cuda_on_host):
    from paninifs.graphs import kernels

    cuda = kernels.load("cuda")
    packed = pf.PackedText.from_strings(["", "Le mot. Le mot.", "12 漢字\n\n12"])[1:]
    blocks = pf.text_counts(), pf.text_shares(ngram=2), pf.script()
    chosen = pf.condition("chosen", "n_words > 3 and script == 'Latin'", pf.script())

    def work(values):
        assert not isinstance(values["text"].data, np.ndarray)
        made = {}
        for block in blocks:
            made |= block.outputs(block.function(values["text"], **block.params), 2)
        on_device = {name: cuda.asarray(made[name]) for name in chosen.inputs}
        return made | {"chosen": chosen.function(**on_device, **chosen.params)}

    found = cuda.offload({"text": packed}, work)
    expected = {}
    for block in blocks:
        expected |= block.outputs(block.function(packed, **block.params), 2)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)
    assert found["chosen"].tolist() == [True, False]
