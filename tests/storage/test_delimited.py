"""CSV and TSV: no line is lost to a quote, no record to a header, no memory to a value."""

from __future__ import annotations

import csv
import io
import json
import random
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paninifs import open_corpus
from paninifs.storage.corpus.columns import own_columns
from paninifs.storage.corpus.index import CorpusIndex
from paninifs.storage.corpus.reading import read_stretch
from paninifs.storage.errors import ColumnNotFound
from paninifs.storage.formats import delimited, delimited_records
from paninifs.storage.rows import rows
from paninifs.storage.rows.dialect import Dialect

REMEDY = "read it with quote=None (--quote none)"


@pytest.fixture
def write(tmp_path):
    def write_and_open(data, name="a.csv", **options):
        (tmp_path / name).write_bytes(data)
        return open_corpus(tmp_path / name, **options)

    return write_and_open


def read(corpus, index=None):
    """Return texts, and (row, reason, excerpt) of those that are missing."""
    index = index or corpus.index
    texts, faults = [], []
    for stretch in index.stretches(0, index.rows):
        for batch in read_stretch(stretch, corpus.opener, index.selection):
            texts += batch.text.to_pylist()
            faults += [(fault.row, fault.reason, fault.excerpt) for fault in batch.faults]
    assert [row for row, *_ in faults] == [n for n, text in enumerate(texts) if text is None]
    return texts, faults


def read_by_row(corpus):
    """Return the texts as read one by one."""
    index = corpus.index
    texts = []
    for row in range(index.rows):
        (stretch,) = index.stretches(row, row + 1)
        (batch,) = read_stretch(stretch, corpus.opener, index.selection)
        texts += batch.text.to_pylist()
    return texts


@pytest.fixture
def large_records(monkeypatch):
    """Make every record a large one."""
    monkeypatch.setattr(delimited_records, "LARGE_BYTES", 4)


# --- quotes that are ordinary characters ----------------------------------------------------------


@pytest.fixture(scope="module")
def sentences():
    """TSV without quoting, as many corpora have it, with quotation marks in one text of 25."""
    chance = random.Random(3)
    words = ["le", "roi", "mer", "ciel", "dit", "vient", "rouge", "pierre", "feu", "nuit"]
    texts = []
    for _ in range(2000):
        text = " ".join(chance.choice(words) for _ in range(8))
        forms = [f'"{text}" dit-il', f'"{text}', f'{text}"', f'{text} 5" {text}']
        texts.append(chance.choice(forms) if chance.random() < 0.04 else text)
    return texts


def as_tsv(texts):
    return ("id\ttext\n" + "".join(f"{n}\t{text}\n" for n, text in enumerate(texts))).encode()


def test_every_line_is_a_row_that_is_done_or_set_aside(write, sentences):
    corpus = write(as_tsv(sentences), "a.tsv")
    texts, faults = read(corpus)
    assert len(texts) == len(sentences)
    done = [(row, text) for row, text in enumerate(texts) if text is not None]
    assert len(done) > len(sentences) / 2
    assert all(sentences[row].replace('"', "") == text.replace('"', "") for row, text in done)
    assert not any("\n" in text for _, text in done)
    several = [reason for _, reason, _ in faults if "in a record of" in reason]
    assert {reason.partition(", in")[0] for reason in several} == {
        "malformed record: '\t' expected after '\"'",
        "its lines look like records that quotes have made one",
    }
    assert all(reason.endswith(REMEDY) for reason in several)
    lines = as_tsv(sentences).splitlines(keepends=True)[1:]
    assert [excerpt for *_, excerpt in faults] == [lines[row] for row, *_ in faults]


def test_without_quotes_every_line_is_a_text(write, sentences):
    corpus = write(as_tsv(sentences), "a.tsv", quote=None)
    assert read(corpus) == (sentences, [])
    assert corpus.index.notes == ()


@pytest.mark.documented("swallowed")
def test_a_note_says_that_quotes_swallow_lines(write, sentences):
    corpus = write(as_tsv(sentences), "a.tsv")
    (note,) = corpus.index.notes
    unusable = sum("in a record of" in reason for _, reason, _ in read(corpus)[1])
    assert note.startswith(f"a.tsv: {unusable:,} lines are quarantined, because quotes join them")
    assert note.endswith(REMEDY)
    assert CorpusIndex.from_json(json.loads(json.dumps(corpus.index.to_json()))) == corpus.index


def test_lines_of_tsv_that_quotes_fuse_are_rows(write):
    corpus = write(b'id\ttext\n1\t"un\n2\tdeux"\n3\t"\ttrois\n\tquatre"\n', "a.tsv")
    texts, faults = read(corpus)
    assert texts == [None, None, "\ttrois\n\tquatre"]  # a paragraph may begin with a tab
    assert [excerpt for *_, excerpt in faults] == [b'1\t"un\n', b'2\tdeux"\n']
    assert read_by_row(corpus) == texts


def test_lines_of_csv_that_look_like_rows_are_noted(write):
    corpus = write(b'id,text\n1,"un\n2,deux\n3,trois"\n')
    assert read(corpus) == (["un\n2,deux\n3,trois"], [])
    (note,) = corpus.index.notes
    assert note.startswith("a.csv: 3 lines look like rows, but are in 1 quoted values")


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_quoted_paragraphs_are_not_noted(write, name):
    between = "," if name == "a.csv" else "\t"
    text = "One, two.\n\nThree, four, five.\nSix."
    corpus = write(f'id{between}text\n1{between}"{text}"\n'.encode(), name)
    assert corpus.index.notes == ()
    assert read(corpus) == ([text], [])


@pytest.mark.documented("ragged")
def test_each_line_behind_an_open_quote_is_a_row(write):
    texts, faults = read(write(b'id,text\n0,a\n1,"b\n2,c\n\n3,d\n'))
    assert texts == ["a", None, None, None]
    assert [excerpt for *_, excerpt in faults] == [b'1,"b\n', b"2,c\n", b"3,d\n"]
    reason = "malformed record: unexpected end of data, in a record of 3 lines; if quotes are "
    assert all(why.startswith(reason) and why.endswith(REMEDY) for _, why, _ in faults)


def test_characters_behind_a_quote_may_mean_that_it_is_none(write):
    _, ((row, reason, excerpt),) = read(write(b'id\ttext\n1\t"non" dit-il\n', "a.tsv"))
    assert (row, excerpt) == (0, b'1\t"non" dit-il\n')
    assert reason.startswith("malformed record: ")
    assert reason.endswith(REMEDY)


def test_each_line_of_a_ragged_record_is_a_row(write):
    corpus = write(b'id,text\n0,a\n1,"b\nc",d\n2,e\n')
    texts, faults = read(corpus)
    assert texts == ["a", None, None, "e"]
    assert faults[1][1].startswith("3 values where the header has 2, in a record of 2 lines; ")
    assert read_by_row(corpus) == texts


def test_units_begin_behind_lines_that_were_swallowed(write, monkeypatch):
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 1)
    corpus = write(b'id,text\n0,a\n1,"b\nc"d\n2,e\n3,"f\n4,g\n')
    assert [unit.rows for unit in corpus.index.files[0].units] == [1, 2, 1, 2]
    assert read_by_row(corpus) == ["a", None, None, "e", None, None]


# --- stores of version 0.1.0 ----------------------------------------------------------------------


def test_a_former_index_keeps_one_row_per_record(write):
    corpus = write(b'id,text\n0,a\n1,"b\nc"d\n2,e\n3,"f\n4,g\n')
    found = corpus.index.to_json()
    assert found["files"][0]["file"].pop("dialect") == {"line_rows": True}
    found["files"][0]["units"] = [[4, 8]]
    former = CorpusIndex.from_json(found)
    texts, faults = read(corpus, former)
    assert texts == ["a", None, "e", None]
    assert [excerpt for *_, excerpt in faults] == [b'1,"b\nc"d\n', b'3,"f\n4,g\n']
    assert former.moved_to(corpus.files) == former


def test_a_former_index_ends_at_a_value_too_long(write, monkeypatch):
    monkeypatch.setattr(delimited_records, "LONGEST_VALUE", 1000)
    corpus = write(b'text\nun\n"' + b"".join(b"line %d\n" % line for line in range(300)))
    found = corpus.index.to_json()
    del found["files"][0]["file"]["dialect"]
    found["files"][0]["units"] = [[2, 5]]
    texts, ((_, why, _),) = read(corpus, CorpusIndex.from_json(found))
    assert texts == ["un", None]
    assert why.startswith("malformed record: field larger than field limit (1000)")
    assert why.endswith("; nothing behind it is read")


def test_a_sound_file_leaves_no_trace_of_its_dialect(write):
    corpus = write(b'id,text\n0,a\n1,"b\nc"\n2\n')
    (file,) = corpus.index.to_json()["files"]
    assert file.keys() == {"file", "units", "problem", "lengths"}
    assert "dialect" not in file["file"]


# --- very large records ---------------------------------------------------------------------------


@pytest.mark.documented("endless-value")
def test_a_value_too_long_is_one_row_and_the_next_are_read(write, monkeypatch, large_records):
    monkeypatch.setattr(delimited_records, "LONGEST_VALUE", 1000)
    long = b"x" * 1001
    corpus = write(b"id,blob,text\n1," + long + b',un\n2,,deux\n3,"' + long + b'",\n4,,trois\n')
    texts, faults = read(corpus)
    assert texts == [None, "deux", None, "trois"]
    assert faults[0][1] == "a value may have 1,000 characters, and one has 1,001"
    assert read_by_row(corpus) == texts


class Bounded(io.BytesIO):
    """A stream of which never more than a large record is read at once."""

    def readline(self, size=-1):
        assert 0 < size <= delimited_records.LARGE_BYTES
        return super().readline(size)

    def __next__(self):
        raise AssertionError("a line of any length")


def test_counting_never_holds_a_long_line(write, monkeypatch):
    """Counting runs on the client, whose memory no check foresees."""
    monkeypatch.setattr(delimited_records, "LARGE_BYTES", 1 << 16)
    data = b"id,text\n1," + b"a" * (20 << 20) + b"\n2,b\n"
    (file,) = write(data).files
    found = delimited.outline(file, lambda file: Bounded(data))
    assert sum(unit.rows for unit in found.units) == 2
    assert found.lengths[rows.ANY_TEXT].longest == (20 << 20) + 3


def test_a_long_line_that_is_unusable_needs_no_memory(write, monkeypatch):
    """A run is not refused for a text that is never held."""
    monkeypatch.setattr(delimited, "UNUSABLE_BYTES", 100)
    corpus = write(b"id,text\n1,2," + b"a" * 1000 + b"\n2,b\n")
    assert corpus.index.files[0].lengths.longest == 100


FIELDS = st.text(st.sampled_from('ab",;\\\n\r\u00e9\t'), max_size=12)


@given(
    raw=FIELDS,
    dialect=st.builds(
        Dialect,
        delimiter=st.sampled_from([",", ";", "\u00e9"]),
        quote=st.sampled_from(['"', None]),
        escape=st.sampled_from([None, "\\"]),
    ),
    piece=st.integers(1, 5),
)
@settings(deadline=None, database=None, max_examples=500)
def test_large_records_end_where_python_ends_them(raw, dialect, piece):
    lines = io.StringIO(raw + "\n", newline="\n").readlines()
    parser = csv.reader(
        iter(lines),
        strict=True,
        delimiter=dialect.delimiter,
        quotechar=dialect.quote,
        escapechar=dialect.escape,
        quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
    )
    try:
        values, malformed = next(parser), False
    except csv.Error:
        values, malformed = [], True
    if not values and not malformed:  # a blank line
        return
    scan = delimited_records.Scan(dialect)
    ended = 0
    for line in lines:
        for at in range(0, len(line), piece):
            scan.feed(line[at : at + piece])
        ended += 1
        if scan.ended:
            break
    else:
        scan.finish()
    assert ended == parser.line_num
    assert (scan.error is not None) == malformed
    if not malformed:
        assert scan.values == len(values)
        assert scan.longest == max(map(len, values))


@given(
    raw=st.lists(st.tuples(FIELDS, st.sampled_from(["", '"'])), min_size=1, max_size=8),
    quote=st.sampled_from(['"', None]),
    delimiter=st.sampled_from([",", "\t"]),
)
@settings(
    deadline=None,
    database=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_large_and_small_records_are_the_same_rows(tmp_path_factory, raw, quote, delimiter):
    path = tmp_path_factory.mktemp("records") / "a.csv"
    records = "\n".join(["id,text".replace(",", delimiter), *(q + t + q for t, q in raw)])
    path.write_bytes(records.encode())
    options = {"quote": quote, "delimiter": delimiter}
    try:
        found = [read(open_corpus(path, **options))]
    except ValueError:  # there are no rows
        return
    for size in (1, 3, 8):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(delimited_records, "LARGE_BYTES", size)
            found.append(read(open_corpus(path, **options)))
    assert all(texts == found[0][0] for texts, _ in found)


# --- headers --------------------------------------------------------------------------------------


@pytest.mark.documented("repeated-names")
@pytest.mark.parametrize(
    ("header", "others"),
    [
        (b"text,,", ["", "_1"]),
        (b"text,a,a", ["a", "a_1"]),
        (b",text,", ["", "_1"]),
        (b"text,\xff,\xff", ["\\xff", "\\xff_1"]),
        (b"a,text,text", ["a", "text_1"]),
    ],
)
def test_names_may_be_blank_or_doubled(write, header, others):
    values = [b"1", b"2", b"3"]
    values[header.split(b",").index(b"text")] = b"un"
    corpus = write(header + b"\n" + b",".join(values) + b"\n")
    assert read(corpus) == (["un"], [])
    assert [column.name for column in own_columns(corpus.index, corpus.opener)] == others


@pytest.mark.documented("repeated-names")
def test_a_doubled_name_that_is_asked_for_is_noted(write, tmp_path):
    (tmp_path / "b.csv").write_bytes(b"id,lang,text\n1,fr,b\n")
    (tmp_path / "c.csv").write_bytes(b"id,lang,lang,text\n2,fr,de,c\n3,fr,de,d\n")
    corpus = open_corpus(tmp_path, keep=["lang", "lang_1"])
    frame = corpus.frame.compute(scheduler="sync")
    assert frame.lang.tolist() == ["fr"] * 3
    assert frame.lang_1.isna().tolist() == [True, False, False]
    assert corpus.index.notes == ("c.csv: several columns are called 'lang'; the first is read",)
    assert open_corpus(tmp_path).index.notes == ()


def test_a_column_may_have_any_name(write):
    corpus = write(b"id,*\n1,a\n")
    with pytest.raises(ColumnNotFound, match=r"no column 'text'; the columns there are: \*, id"):
        corpus.index  # noqa: B018
    assert read(write(b"id,*\n1,a\n", text="*")) == (["a"], [])


def test_an_escape_makes_no_character_of_wrong_bytes(write):
    texts, ((_, reason, _),) = read(write(b"text\n\xc3\\\xa9\nun\n", escape="\\"))
    assert texts == [None, "un"]
    assert reason == "invalid UTF-8: a character has an escape in it"


def test_a_header_of_many_columns_takes_linear_time(write):
    names = [f"c{number}" for number in range(50_000)]
    corpus = write(",".join([*names, "text"]).encode() + b"\n" + b"1," * 50_000 + b"un\n")
    assert read(corpus) == (["un"], [])


@pytest.mark.parametrize(("delimiter", "option"), [(";", ";"), ("\t", "tab"), ("|", "|")])
def test_another_delimiter_is_offered(tmp_path, delimiter, option):
    (tmp_path / "a.csv").write_text(f"id{delimiter}Text\n1{delimiter}un\n")
    with pytest.raises(ColumnNotFound, match=rf"--delimiter '{re.escape(option)}'"):
        open_corpus(tmp_path, text="Text").index  # noqa: B018
    assert open_corpus(tmp_path, text="Text", delimiter=delimiter).index.rows == 1


@pytest.mark.documented("header-not-utf-8")
def test_a_header_that_is_not_utf_8_is_escaped_and_noted(write, tmp_path):
    corpus = write("id,text,prénom\n1,un,x\n".encode("latin-1"))
    assert read(corpus) == (["un"], [])
    assert [column.name for column in own_columns(corpus.index, corpus.opener)] == ["pr\\xe9nom"]
    (note,) = corpus.index.notes
    assert note.endswith("name its encoding, such as encoding='latin-1' (--encoding latin-1)")
    (tmp_path / "b.csv").write_bytes("id,données\n1,un\n".encode("latin-1"))
    index = open_corpus(tmp_path).index
    assert json.dumps(index.to_json(), ensure_ascii=False).encode()  # as a store writes it
    assert "donn\\xe9es" in index.files[1].problem


def test_a_header_without_end_is_not_held(write, monkeypatch):
    monkeypatch.setattr(delimited_records, "LONGEST_HEADER", 1 << 20)
    corpus = write(b"x" * (12 << 20))
    with pytest.raises(ValueError, match="the header is not CSV: it has more than 1 MiB"):
        corpus.index  # noqa: B018


# --- a published suite ----------------------------------------------------------------------------

# What the files of csv-spectrum (BSD-2-Clause) are about, each with "\n" and "\r\n".
SPECTRUM = {
    "comma in quotes": (
        'first,last,address,city,zip\nJohn,Doe,120 any st.,"Anytown, WW",08123',
        [{"first": "John", "address": "120 any st.", "city": "Anytown, WW", "zip": "08123"}],
    ),
    "empty": ('a,b,c\n1,"",""\n2,3,4', [{"b": "", "c": ""}, {"b": "3", "c": "4"}]),
    "escaped quotes": ('a,b\n1,"ha ""ha"" ha"\n3,4\n', [{"b": 'ha "ha" ha'}, {"b": "4"}]),
    "json": (
        'key,val\n1,"{""type"": ""Point"", ""coordinates"": [102.0, 0.5]}"\n',
        [{"val": '{"type": "Point", "coordinates": [102.0, 0.5]}'}],
    ),
    "newlines": (
        'a,b,c\n1,2,3\n"Once upon \na time",5,6\n7,8,9\n',
        [{"a": "1"}, {"a": "Once upon \na time"}, {"a": "7", "c": "9"}],
    ),
    "quotes and newlines": (
        'a,b\n1,"ha \n""ha"" \nha"\n3,4\n',
        [{"b": 'ha \n"ha" \nha'}, {"b": "4"}],
    ),
    "simple": ("a,b,c\n1,2,3\n", [{"a": "1", "b": "2", "c": "3"}]),
    "utf8": ("a,b,c\n1,2,3\n4,5,ʤ", [{"c": "3"}, {"c": "ʤ"}]),
}


@pytest.mark.parametrize("ending", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("kind", SPECTRUM)
def test_spectrum(write, kind, ending):
    raw, records = SPECTRUM[kind]
    for name in {name for record in records for name in record}:
        expected = [record[name].replace("\n", ending) for record in records if name in record]
        corpus = write(raw.replace("\n", ending).encode(), text=name)
        texts, faults = read(corpus)
        assert faults == []
        assert [text for text in texts if text in expected] == expected
