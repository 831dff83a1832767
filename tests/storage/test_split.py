"""`Corpus.split`: the pieces, their columns, and what is refused."""

from __future__ import annotations

import pytest

from paninifs import Cleaning, open_corpus
from paninifs.storage.corpus.tables.split_part import SplitPart
from paninifs.storage.errors import RunFailed, UsageError

DATA = {
    "text": ["It rains. Stay.", " ", None, "Yes."],
    "key": ["a", "b", "c", "d"],
    "lang": ["en", "xx", "xx", "fr"],
}


def pieces(split):
    """Return the rows of all parts."""
    source = split.source
    tables = [table for n in range(source.partitions) for table in source.part(n).tables()]
    return [tuple(row.values()) for table in tables for row in table.to_pylist()]


def test_pieces_have_the_parents_id_their_span_and_its_columns():
    split = open_corpus(DATA, id="key", keep=["lang"]).split("sentence")
    assert (split.text, split.id, split.keep) == ("text", None, ("parent", "start", "stop", "lang"))
    assert pieces(split) == [
        ("It rains.", "a", 0, 9, "en"),
        ("Stay.", "a", 10, 15, "en"),
        (None, "c", None, None, "xx"),
        ("Yes.", "d", 0, 4, "fr"),
    ]


def test_without_ids_the_parent_is_the_row_number(tmp_path):
    for part in range(2):
        lines = "".join(f"line {n} of {part}\n" for n in range(5000))
        (tmp_path / f"{part}.txt").write_text(lines)
    split = open_corpus(tmp_path).split(chars=6)
    assert split.source.partitions > 1
    found = pieces(split)
    assert [row[1] for row in found] == sorted(row[1] for row in found)
    assert {row[1] for row in found} == set(range(10_000))
    assert "".join(row[0] for row in found if row[1] == 7001).replace(" ", "") == "line2001of1"
    lines = [f"line {n} of {part}" for part in range(2) for n in range(5000)]
    assert all(lines[parent][start:stop] == text for text, parent, start, stop in found)


def test_a_part_is_read_batch_by_batch(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("".join(f"line {n}\n" for n in range(50_000)))
    part = open_corpus(tmp_path / "a.txt").split("sentence").source.part(0)
    tables = part.tables(most=1000)
    first = next(tables)
    assert len(first) == 1000
    assert max(len(table) for table in tables) <= 1000


def test_pieces_are_of_cleaned_texts():
    clean = Cleaning(whitespace=True, markup=True)
    split = open_corpus({"text": ["<p>It\n\n rains.</p> Now"]}, clean=clean).split("sentence")
    assert [row[0] for row in pieces(split)] == ["It rains.", "Now"]
    assert split.cleaning == Cleaning()
    marked = open_corpus(DATA, clean=Cleaning(whitespace=True, duplicates=True))
    assert marked.split("sentence").cleaning == Cleaning(duplicates=True)


def by_words(text):
    return text.split()


def pairs(text):
    return [(0, 2), [1, 3], (3, 3)]


@pytest.mark.parametrize(
    ("function", "found"),
    [
        (by_words, [("un", 0, 0, 2), ("un", 0, 3, 5), ("deux", 0, 6, 10)]),
        (pairs, [("un", 0, 0, 2), ("n ", 0, 1, 3)]),
        (lambda text: iter([]), []),
    ],
)
def test_functions_return_parts_or_spans(function, found):
    assert pieces(open_corpus({"text": ["un un deux"]}).split(function)) == found


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (str.upper, r"upper\(\) returned 'D' as piece 0, which is not in the text after char"),
        (lambda text: [(0, 99)], r"returned the span \(0, 99\) as piece 0 of a text of 4 char"),
        (lambda text: [(3, 1)], r"the span \(3, 1\)"),
        (lambda text: [7], r"<lambda>\(\) returned 7 as piece 0; return strings, or spans"),
        (lambda text: 1 / 0, r"<lambda>\(\) failed \(ZeroDivisionError: division by zero\)"),
    ],
)
def test_what_is_no_piece_is_refused_with_its_row(function, words):
    with pytest.raises(RunFailed, match=rf"in-memory:\w+, row 1: .*{words}"):
        pieces(open_corpus({"text": [None, "deux"]}).split(function))


REFUSED = [
    ({}, "and exactly one of them"),
    ({"how": "sentence", "chars": 3}, "and exactly one of them"),
    ({"how": "word"}, "split takes 'sentence', 'paragraph', chars=N or a function.*not 'word'"),
    ({"how": 3}, "not 3"),
    ({"chars": 0}, "chars must be a whole number of at least 1, not 0"),
    ({"chars": True}, "not True"),
]


@pytest.mark.parametrize(("arguments", "words"), REFUSED)
def test_arguments_that_mean_nothing_are_refused(arguments, words):
    with pytest.raises(UsageError, match=words):
        open_corpus(DATA).split(**arguments)


def test_names_that_pieces_need_are_refused():
    data = {"text": ["un"], "start": [1]}
    with pytest.raises(UsageError, match="must not have one called 'start'"):
        open_corpus(data, keep=["start"]).split("sentence")
    with pytest.raises(UsageError, match=r"the corpus is sentences of .*stage"):
        open_corpus(DATA).split("sentence").split("sentence")


def test_the_first_pieces_are_shown_without_counting(tmp_path):
    (tmp_path / "a.txt").write_text(" . \n\nOne. Two.\n" + "Three. Four.\n" * 100_000)
    corpus = open_corpus(tmp_path / "a.txt")
    head = corpus.split("sentence").head(4)
    assert head.text.tolist() == [".", "One.", "Two.", "Three."]
    assert head.parent.tolist() == [0, 2, 2, 3]
    assert "index" not in vars(corpus)
    blank = open_corpus({"text": [" "] * 20 + ["un"]})
    assert blank.split("sentence").head(1).parent.tolist() == [20]


def test_a_part_carries_what_lies_in_memory():
    part = open_corpus({"text": ["un deux"]}).split(by_words).source.part(0)
    assert isinstance(part, SplitPart)
    assert len(part.batches) == 1
