# ruff: noqa: RUF001 (the punctuation of other scripts is meant)
"""Where sentences, paragraphs and pieces of a length are; no text loses a character."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paninifs.storage.corpus.tables.sentences import length_spans, paragraph_spans, sentence_spans

SENTENCES = {
    "plain": "It rains. | Stay here! | Why? | Because.",
    "abbreviations": "Dr. Who met Mrs. Smith, i.e. The One. | See Fig. 3 and p. 5.",
    "words like them": "The answer is no. | Modern art. | See No. 5. | In Mar. 2020. | So.",
    "initials": "J. K. Rowling and J. R. R. Tolkien wrote. | They did.",
    "enumerators": "1. First of all. | 2. And then. | A. More.",
    "decimals": "It costs 3.50 or 1,000.75 here. | Version 1.2.3 is out.",
    "addresses": "Go to http://a.b/?q=1&r=2 now. | Or write to x@y.org!",
    "lower case": "It was approx. five. | He asked the U.S. government.",
    "ellipsis": "Wait... what? | Well… | No… not now.",
    "quotes": '"Why?" she asked. | "Stop!" | (He did.) | “Go on,” he said. | ‘Yes.’ | No.',
    "French": "« Ça va ? » dit-il. | « Oui. » | M. Dupont et Mme. Durand. | Fin.",
    "German": "Er sagte: „Nein.“ | Das ist z.B. Unsinn, d.h. falsch. | Dr. Weiß ging.",
    "Chinese": "猫在睡觉。|狗呢？|他说：“你好！”|然后走了。",
    "Japanese": "「猫が寝る。」|犬も。|本当！？|はい。",
    "Hindi": "राम घर जाता है। | सीता आती है॥ | क्यों?",
    "Arabic": "أين الكتاب؟ | هنا. | نعم۔",
    "line breaks": "One line\nand another. | Next\r\nline. | End",
    "paragraphs": "A title\n\n | A sentence. | Another\n \n | End",
    "run": "Really?! | Yes!!! | Ok.",
    "comma after": "He said etc., and so on. | Done.",
    "no space": "end.Next is one. | And this.",
    "only marks": "... | ! | Yes.",
}


@pytest.mark.parametrize("what", SENTENCES)
def test_sentences(what):
    marked = SENTENCES[what].replace(" | ", " \0").replace("|", "\0")
    text = marked.replace("\0", "")
    expected = [part.strip() for part in marked.split("\0")]
    assert [text[start:stop] for start, stop in sentence_spans(text)] == expected


def test_paragraphs():
    text = "\n\n One\ntwo. \n \t\nThree.\u2029Four\r\n\r\nfive\n"
    found = [text[start:stop] for start, stop in paragraph_spans(text)]
    assert found == ["One\ntwo.", "Three.", "Four", "five"]


@pytest.mark.parametrize(
    ("chars", "pieces"),
    [
        (100, ["one two  three"]),
        (8, ["one two", "three"]),
        (7, ["one two", "three"]),
        (6, ["one", "two", "three"]),
        (2, ["on", "e", "tw", "o", "th", "re", "e"]),
    ],
)
def test_pieces_of_a_length(chars, pieces):
    text = " one two  three "
    assert [text[start:stop] for start, stop in length_spans(text, chars)] == pieces


def test_a_combining_mark_stays_with_its_letter():
    text = "ae\u0301\u0301o"
    pieces = {n: [text[start:stop] for start, stop in length_spans(text, n)] for n in (2, 3)}
    assert pieces == {2: ["a", "e\u0301", "\u0301o"], 3: ["a", "e\u0301\u0301", "o"]}


_TELLING = "aB1 .!?。।\n\r\t\"'»“()…,:é\u0301\u2029\u00a0"
TEXTS = st.text(st.sampled_from(_TELLING), max_size=60) | st.text()


@given(TEXTS, st.integers(1, 9))
def test_spans_are_in_order_and_lose_nothing(text, chars):
    for spans in (sentence_spans(text), paragraph_spans(text), length_spans(text, chars)):
        covered, last = "", 0
        for start, stop in spans:
            assert last <= start < stop
            assert not text[start].isspace()
            assert not text[stop - 1].isspace()
            assert text[last:start].strip() == ""
            covered += text[start:stop]
            last = stop
        assert "".join(covered.split()) == "".join(text.split())


@given(TEXTS, st.integers(1, 9))
def test_no_piece_is_longer_than_asked_for(text, chars):
    assert all(stop - start <= chars for start, stop in length_spans(text, chars))


@pytest.mark.parametrize("unit", ["A. ", ". ", "a.b ", "\n ", '! " ', "e.g. X ", "..", " » "])
def test_long_texts_take_time_in_proportion(unit):
    def seconds(count):
        text = unit * count
        began = time.process_time()
        for spans in (sentence_spans(text), length_spans(text, 50)):
            for _ in spans:
                pass
        return time.process_time() - began

    seconds(100)
    assert seconds(10_000) < 30 * max(seconds(1000), 0.005)
