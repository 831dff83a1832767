"""Reading: every format yields exactly the planned rows, and names those that cannot be used."""

import csv
import gzip
import io
import json
import os
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from paths import GLOSSES, PROMPTS

from paninifs import open_corpus
from paninifs.storage.corpus import opening
from paninifs.storage.corpus.reading import read_stretch
from paninifs.storage.errors import CorpusChanged, StorageUnreachable
from paninifs.storage.formats import delimited, jsonl, jsonl_blocks, plain
from paninifs.storage.formats import lines as linewise
from paninifs.storage.formats import row_builder as building
from paninifs.storage.formats.parquet import decoder
from paninifs.storage.formats.recognition.encodings import wide
from paninifs.storage.formats.registry import format_of
from paninifs.storage.rows import rows, validity

many = settings(
    deadline=None,
    database=None,
    max_examples=40,
    # The patches are the same for every example.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
# No surrogates, which are not UTF-8 and have tests of their own.
words = st.text(st.characters(codec="utf-8"), max_size=12)
lines = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=12)


@pytest.fixture(params=[1, 7, 64], ids="blocks of {} bytes".format)
def small_blocks(request, monkeypatch):
    """Make blocks so small that every file has many."""
    monkeypatch.setattr(linewise, "BLOCK_BYTES", request.param)
    monkeypatch.setattr(delimited, "BLOCK_BYTES", request.param)
    monkeypatch.setattr(jsonl_blocks, "BLOCK_BYTES", request.param)
    monkeypatch.setattr(jsonl_blocks, "PIECE_BYTES", request.param)


@pytest.fixture
def small_batches(monkeypatch):
    """Make batches so small that a file is read in several."""
    monkeypatch.setattr(building, "BATCH_ROWS", 3)
    monkeypatch.setattr(jsonl, "BATCH_ROWS", 3)


@pytest.fixture(scope="module")
def scratch():
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture
def write(tmp_path):
    """Write a file and open it as a corpus."""

    def write_and_open(name, data, **options):
        (tmp_path / name).write_bytes(data)
        return open_corpus(tmp_path / name, **options)

    return write_and_open


def read(corpus, start=0, stop=None):
    """Read rows ``[start, stop)``: (text, other columns, faults as (row, rows, reason))."""
    index = corpus.index
    stop = index.rows if stop is None else stop
    text, others, faults = [], {column.name: [] for column in index.selection.others}, []
    for stretch in index.stretches(start, stop):
        row = stretch.span.start
        for batch in read_stretch(stretch, corpus.opener, index.selection):
            assert batch.start == row
            row += len(batch)
            assert batch.text.type in (pa.string(), pa.large_string())
            batch.text.validate(full=True)
            text += batch.text.to_pylist()
            for name, values in batch.columns.items():
                assert len(values) == len(batch)
                others[name] += values.to_pylist()
            found = [(f.row, f.rows, f.reason) for f in batch.faults]
            faulty = {r for first, count, _ in found for r in range(first, first + count)}
            nulls = {batch.start + at for at, t in enumerate(batch.text.to_pylist()) if t is None}
            assert faulty == nulls  # rows without text have a reason, and no others
            faults += found
        assert row == stretch.span.stop  # the rows are those planned
    assert len(text) == stop - start
    return text, others, faults


def check_spans(path, expected, data):
    """Compare the whole of a file, and any span of it, with the values written."""
    corpus = open_corpus(path)
    assert corpus.index.rows == len(expected)
    assert read(corpus)[0] == expected
    for _ in range(3):
        start = data.draw(st.integers(0, len(expected) - 1))
        stop = data.draw(st.integers(start + 1, len(expected)))
        assert read(corpus, start, stop)[0] == expected[start:stop]
    return corpus


# --- any span is that slice of the file -----------------------------------------------------------


@given(
    values=st.lists(words, min_size=1, max_size=25),
    blanks=st.lists(st.sampled_from(["", "\n", "\r\n", "\n\n\r\n"]), min_size=26, max_size=26),
    ending=st.sampled_from(["\n", "\r\n"]),
    last=st.sampled_from(["", "\n", "\r", "\r\n"]),
    ascii_only=st.booleans(),
    bom=st.booleans(),
    packed=st.booleans(),
    data=st.data(),
)
@many
@pytest.mark.usefixtures("small_blocks", "small_batches")
def test_json_lines(scratch, values, blanks, ending, last, ascii_only, bom, packed, data):
    records = [json.dumps({"text": v}, ensure_ascii=ascii_only) for v in values]
    body = "".join(b + r + ending for b, r in zip(blanks[1:], records, strict=False))
    # A byte-order mark comes right before the first record, blank lines only without one.
    raw = ("\ufeff" if bom else blanks[0]) + body.removeprefix(blanks[1] if bom else "")
    raw = (raw.removesuffix(ending) + last + blanks[0]).encode()
    path = scratch / ("a.jsonl.gz" if packed else "a.jsonl")
    path.write_bytes(gzip.compress(raw, 1) if packed else raw)
    corpus = check_spans(path, values, data)
    units = corpus.index.files[0].units
    assert not packed or len(units) == 1


@given(
    values=st.lists(lines, min_size=1, max_size=25),
    ending=st.sampled_from(["\n", "\r\n"]),
    final=st.booleans(),
    bom=st.booleans(),
    packed=st.booleans(),
    data=st.data(),
)
@many
@pytest.mark.usefixtures("small_blocks", "small_batches")
def test_plain_text(scratch, values, ending, final, bom, packed, data):
    if not final and not values[-1]:
        values = [*values, "the end"]  # an empty last line without an ending does not count
    if values[0].startswith("\ufeff"):
        values = ["", *values]
    raw = ("\ufeff" if bom else "") + ending.join(values) + (ending if final else "")
    path = scratch / ("a.txt.gz" if packed else "a.txt")
    path.write_bytes(gzip.compress(raw.encode(), 1) if packed else raw.encode())
    check_spans(path, values, data)


@given(
    values=st.lists(words, min_size=1, max_size=25),
    kind=st.sampled_from([("csv", ","), ("tsv", "\t")]),
    ending=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    blank=st.booleans(),
    bom=st.booleans(),
    packed=st.booleans(),
    data=st.data(),
)
@many
@pytest.mark.usefixtures("small_blocks", "small_batches")
def test_delimited(scratch, values, kind, ending, quoting, blank, bom, packed, data):
    # The format has to survive newlines, quotes and delimiters inside the values.
    if kind[0] == "tsv":  # test_delimited has those of which every line looks like a record
        values = [value.replace("\t", "\t\t") for value in values]
    if any("\r" in value or "\n" in value for value in values):
        quoting = csv.QUOTE_ALL  # Python 3.11 writes a bare \r unquoted otherwise
    file = io.StringIO()
    writer = csv.writer(file, delimiter=kind[1], lineterminator=ending, quoting=quoting)
    writer.writerow(["n", "text"])
    for n, value in enumerate(values):
        if blank:
            file.write(ending)
        writer.writerow([n, value])
    raw = (("\ufeff" if bom else "") + file.getvalue()).encode()
    path = scratch / f"a.{kind[0]}{'.gz' if packed else ''}"
    path.write_bytes(gzip.compress(raw, 1) if packed else raw)
    check_spans(path, values, data)


TYPES = [pa.string(), pa.large_string(), pa.binary(), pa.large_binary()]


@given(
    values=st.lists(words, min_size=1, max_size=25),
    type_=st.sampled_from(TYPES),
    coded=st.booleans(),
    group=st.integers(1, 10),
    data=st.data(),
)
@many
@pytest.mark.usefixtures("small_batches")
def test_parquet(scratch, values, type_, coded, group, data):
    column = pa.array([v.encode() for v in values], pa.binary()).cast(type_)
    table = pa.table({"text": column.dictionary_encode() if coded else column})
    path = scratch / "a.parquet"
    pq.write_table(table, path, row_group_size=group)
    corpus = check_spans(path, values, data)
    assert len(corpus.index.files[0].units) == -(-len(values) // group)


@given(texts=st.lists(st.binary(max_size=12), min_size=1, max_size=12), data=st.data())
@many
def test_whatever_the_bytes_are_a_row_is_its_text_or_a_fault(scratch, texts, data):
    def decoded(raw):
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return None

    pq.write_table(pa.table({"text": pa.array(texts, pa.binary())}), scratch / "b.parquet")
    check_spans(scratch / "b.parquet", [decoded(raw) for raw in texts], data)
    raw = [b"=" + text.replace(b"\n", b"").replace(b"\r", b"") for text in texts]
    assume(wide(b"\n".join(raw)) is None)  # else the file is refused as UTF-16
    (scratch / "b.txt").write_bytes(b"\n".join(raw))
    check_spans(scratch / "b.txt", [decoded(line) for line in raw], data)


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt", "a.csv"])
@pytest.mark.usefixtures("small_blocks")
def test_each_of_many_units_is_entered_where_it_begins(write, name):
    values = [f"line {n} ā" for n in range(40)]
    if name == "a.jsonl":
        raw = "".join(json.dumps({"text": v}) + "\n" for v in values)
    else:
        raw = ("text\n" if name == "a.csv" else "") + "".join(f"{v}\n" for v in values)
    corpus = write(name, raw.encode())
    units = corpus.index.files[0].units
    assert len(units) > 5
    assert len({unit.offset for unit in units}) == len(units)
    assert corpus.index.stretches(39, 40)[0].span.unit_row == 40 - units[-1].rows
    assert read(corpus, 39, 40)[0] == values[39:]


def test_reading_a_span_begins_at_its_unit_not_at_the_files_head(write, monkeypatch):
    monkeypatch.setattr(linewise, "BLOCK_BYTES", 64)
    corpus = write("a.txt", b"".join(b"line %d\n" % n for n in range(1000)))
    (stretch,) = corpus.index.stretches(990, 991)
    begun = []

    def noting(stream, span, **options):
        begun.append(stream.tell())
        for line in linewise.lines_of(stream, span, **options):
            begun.append(stream.tell())
            yield line

    monkeypatch.setattr(plain, "lines_of", noting)
    (batch,) = read_stretch(stretch, corpus.opener, corpus.index.selection)
    assert batch.text.to_pylist() == ["line 990"]
    assert stretch.span.unit_offset > 7000
    assert 984 <= stretch.span.unit_row <= 990


# --- real files -----------------------------------------------------------------------------------


def test_real_glosses_in_every_format_are_the_same_texts(tmp_path):
    with gzip.open(GLOSSES, "rt", encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    texts, ids = [r["text"] for r in records], [r["id"] for r in records]
    assert len(texts) == 2000
    (tmp_path / "b.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    pq.write_table(pa.table({"id": ids, "text": texts}), tmp_path / "c.parquet", row_group_size=999)
    for name, delimiter in (("d.csv", ","), ("e.tsv", "\t")):
        with (tmp_path / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter=delimiter)
            writer.writerows([("id", "text"), *zip(ids, texts, strict=True)])
    (tmp_path / "f.txt").write_text("\n".join(texts), "utf-8")
    for path in [GLOSSES, *sorted(tmp_path.iterdir())]:
        text, others, faults = read(open_corpus(path))
        assert (text, faults) == (texts, [])
        assert path.suffix == ".txt" or others["id"] == ids


def test_real_prompts_of_many_scripts(tmp_path):
    corpus = open_corpus(PROMPTS, keep=["lang"])
    raw = PROMPTS.read_bytes()
    records = [json.loads(line) for line in raw.splitlines()]
    text, others, faults = read(corpus)
    assert text == [record["text"] for record in records]
    assert others["lang"] == [record["lang"] for record in records]
    assert (len({*others["lang"]}) > 3, faults) == (True, [])


def test_json_values_are_not_reinterpreted(write):
    raw = (
        b'{"text": "007", "id": "0042", "keep": "2026-11-21"}\n'
        b'{"text": "2026-11-21T00:00:00Z", "id": 42, "keep": 1.50}\n'
        b'{"text": "NaN", "id": true, "keep": null}\n'
        b'{"text": "", "keep": ["\\u0101", {"a": 1}]}\n'
    )
    text, others, faults = read(write("a.jsonl", raw, keep=["keep"]))
    assert text == ["007", "2026-11-21T00:00:00Z", "NaN", ""]
    assert others["id"] == ["0042", "42", "true", None]
    assert others["keep"] == ["2026-11-21", "1.5", None, '["ā", {"a": 1}]']
    assert faults == []


def test_csv_values_are_strings(write):
    text, others, _ = read(write("a.csv", b'id,text\n007,"a\r\nb ""c"", d"\n,2026-11-21\n'))
    assert text == ['a\r\nb "c", d', "2026-11-21"]
    assert others["id"] == ["007", ""]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r", b"\r\n", b"\n\r", b"\n\r\n\r"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_blank_lines_at_the_end_are_not_rows(write, name, end):
    raw = b'{"text": "a"}\n{"text": "b"}' if name == "a.jsonl" else b"text\na\nb"
    corpus = write(name, raw + end)
    assert corpus.index.rows == 2
    assert read(corpus) == (["a", "b"], {}, [])


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.csv.gz"])
def test_a_byte_order_mark_is_not_part_of_the_first_column_name(write, name, ending):
    raw = f"\ufefftext{ending}a{ending}".encode()
    assert read(write(name, gzip.compress(raw) if "gz" in name else raw)) == (["a"], {}, [])


def test_empty_lines_of_plain_text_are_rows(write):
    assert read(write("a.txt", b"\n\r\na\n\nb"))[0] == ["", "", "a", "", "b"]


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("a.parquet", ("parquet", None)),
        ("A.JSONL.GZ", ("jsonl", "gzip")),
        ("a.ndjson", ("jsonl", None)),
        ("a.csv.gz", ("csv", "gzip")),
        ("a.tsv", ("tsv", None)),
        ("a.txt.gz", ("text", "gzip")),
        ("a.jsonl.zst", ("jsonl", "zstd")),
        ("a.TSV.bz2", ("tsv", "bz2")),
        ("a.md", None),
        ("a.parquet.gz", None),
        ("a.parquet.zst", None),
        ("a.gz", None),
        ("a.json", None),
        ("parquet", None),
    ],
)
def test_the_ending_of_a_name_decides_the_format(name, known):
    assert format_of(name) == known


# --- bad rows -------------------------------------------------------------------------------------

GOOD = b'{"text": "good"}\n'


@pytest.mark.parametrize(
    ("line", "reason", "excerpt"),
    [
        (b'{"text": null}', "null text", b""),
        (b'{"body": 1, "a": 2}', "no 'text' (the record has: a, body)", b""),
        (b"{}", "no 'text' (the record has: no keys)", b""),
        (b'{"text": 7}', "'text' is a JSON number, not a string", b'{"text": 7}'),
        (b'{"text": ["a"]}', "'text' is a JSON array, not a string", b'{"text": ["a"]}'),
        (b'{"text": true}', "'text' is a JSON boolean, not a string", b'{"text": true}'),
        (b"[1]", "a JSON array where an object belongs", b"[1]"),
        (b"null", "a JSON null where an object belongs", b"null"),
        (b'{"text": "a"', "not JSON: ", b'{"text": "a"'),
        (b"plain words", "not JSON: ", b"plain words"),
        (b"[" * 100_000, "not JSON: ", b"[" * 1024),
        (b'{"text": %s}' % (b"9" * 5000), "not JSON: ", b'{"text": ' + b"9" * 1015),
        (b'{"text": "a\xff"}', "invalid UTF-8 at byte 11: ", b'{"text": "a\xff"}'),
        (b'{"text": "a\\ud800b"}', "lone surrogate at character 1", b'{"text": "a\\ud800b"}'),
    ],
)
def test_a_bad_json_record_is_named_and_the_others_are_read(write, line, reason, excerpt):
    corpus = write("a.jsonl", GOOD + b"\n" + GOOD + line + b"\n" + GOOD)
    text, _, ((row, count, why),) = read(corpus)
    assert text == ["good", "good", None, "good"]
    assert (row, count) == (2, 1)  # counted in records: blank lines are not records
    assert why.startswith(reason)
    assert excerpts(corpus) == [excerpt]


def excerpts(corpus):
    index = corpus.index
    return [
        fault.excerpt
        for stretch in index.stretches(0, index.rows)
        for batch in read_stretch(stretch, corpus.opener, index.selection)
        for fault in batch.faults
    ]


def test_a_bad_record_keeps_its_id(write):
    raw = b'{"id": "a", "text": null}\n{"id": "b\\ud800", "text": "t"}\n'
    text, others, _ = read(write("a.jsonl", raw))
    assert text == [None, "t"]
    assert others["id"][0] == "a"
    assert others["id"][1].encode() == b"b?"


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"only one\n", "1 values where the header has 2"),
        (b"1,2,3\n", "3 values where the header has 2"),
        (b'1,"a"b\n', "malformed record: "),
        (b"1,a\rb\n", "malformed record: "),
        (b"1,\xff\n", "invalid UTF-8 at byte 0: "),
    ],
)
def test_a_bad_record_of_csv_is_named_and_the_others_are_read(write, record, reason):
    corpus = write("a.csv", b"id,text\n0,good\n" + record + b'2,"go\nod"\n3,good\n')
    text, others, ((row, count, why),) = read(corpus)
    assert text == ["good", None, "go\nod", "good"]
    assert (row, count) == (1, 1)
    assert why.startswith(reason)
    assert others["id"][2:] == ["2", "3"]


def test_other_csv_values_that_are_not_utf_8_lose_no_text(write):
    text, others, faults = read(write("a.csv", b"id,text\n\xff1,a\n"))
    assert (text, faults) == (["a"], [])
    assert others["id"] == ["\ufffd1"]


def test_plain_text_that_is_not_utf_8_is_named(write):
    corpus = write("a.txt", b"good\nb\xe4d\n\xed\xa0\x80\ngood\n")
    text, _, faults = read(corpus)
    assert text == ["good", None, None, "good"]
    assert [fault[0] for fault in faults] == [1, 2]
    assert faults[0][2].startswith("invalid UTF-8 at byte 1: ")
    assert excerpts(corpus) == [b"b\xe4d", b"\xed\xa0\x80"]


@pytest.mark.parametrize("type_", TYPES, ids=str)
def test_parquet_rows_that_are_null_or_not_utf_8_are_named(tmp_path, type_):
    large = "large" in str(type_)
    raw = pa.array([b"good", None, b"\xff", b"", None], pa.large_binary() if large else pa.binary())
    pq.write_table(pa.table({"text": raw.view(type_)}), tmp_path / "a.parquet", row_group_size=2)
    corpus = open_corpus(tmp_path)
    text, _, faults = read(corpus)
    assert text == ["good", None, None, "", None]
    assert [(row, why[:15]) for row, _, why in faults] == [
        (1, "null text"),
        (2, "invalid UTF-8 a"),
        (4, "null text"),
    ]
    assert excerpts(corpus) == [b"", b"\xff", b""]


def test_valid_parquet_text_reaches_the_rows_as_arrow_decoded_it(tmp_path, monkeypatch):
    from paninifs.storage.formats.parquet import values

    pq.write_table(pa.table({"text": ["a", "b"]}), tmp_path / "a.parquet")
    corpus, decoded = open_corpus(tmp_path), []
    original = values.plain
    monkeypatch.setattr(values, "plain", lambda array: decoded.append(array) or original(array))
    index = corpus.index
    (batch,) = read_stretch(index.stretches(0, 2)[0], corpus.opener, index.selection)
    assert batch.text.buffers()[2].address == decoded[0].buffers()[2].address


# --- bad files ------------------------------------------------------------------------------------


def damage(path, change):
    """Change a file so that the index does not notice: same size, same time."""
    before = path.stat()
    data = change(bytearray(path.read_bytes()))
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


def test_a_truncated_gzip_file_is_not_counted_others_are_read(tmp_path):
    (tmp_path / "b.jsonl").write_bytes(GOOD)
    packed = gzip.compress(b"".join(b'{"text": "%d"}\n' % n for n in range(5000)))
    (tmp_path / "a.jsonl.gz").write_bytes(packed[:-20])
    corpus = open_corpus(tmp_path)
    assert read(corpus)[0] == ["good"]
    (unlisted,) = corpus.index.uncounted
    assert unlisted.file.name == "a.jsonl.gz"
    assert unlisted.problem.startswith("not readable as jsonl: damaged gzip: ")


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.txt.gz", "a.csv.gz"])
def test_a_gzip_file_damaged_after_counting_gives_faults(tmp_path, name):
    line = b'{"text": "%d"}\n' if "jsonl" in name else b"%d\n"
    head = gzip.compress(
        (b"text\n" if "csv" in name else b"") + b"".join(map(line.__mod__, range(9)))
    )
    path = tmp_path / name
    path.write_bytes(head + gzip.compress(b"".join(map(line.__mod__, range(9, 15)))))
    corpus = open_corpus(path)
    assert corpus.index.rows == 15
    damage(path, lambda data: data[: len(head)] + b"XX" + data[len(head) + 2 :])
    text, _, faults = read(corpus)
    assert text == [str(n) for n in range(9)] + [None] * 6
    ((row, count, why),) = faults
    assert (row, count, why.startswith("damaged gzip: ")) == (9, 6, True)


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.txt.gz", "a.csv.gz"])
def test_a_gzip_file_with_a_wrong_checksum_is_not_accepted(tmp_path, name):
    line = b'{"text": "%d"}\n' if "jsonl" in name else b"%d\n"
    path = tmp_path / name
    path.write_bytes(
        gzip.compress(b"text\n" * ("csv" in name) + b"".join(map(line.__mod__, range(9))))
    )
    corpus = open_corpus(path)
    assert corpus.index.rows == 9
    damage(path, lambda data: data[:-8] + bytes(4) + data[-4:])
    with pytest.raises(CorpusChanged):
        read(corpus)


@pytest.mark.documented("damaged-later")
@pytest.mark.parametrize("what", ["a page's header", "a digit"])
def test_a_parquet_page_damaged_after_counting_gives_faults(tmp_path, what):
    path = tmp_path / "a.parquet"
    table = pa.table({"text": [f"{n * 7919}" for n in range(32_768)]})
    # One digit replaced by another is only detected with a checksum.
    options = {"compression": "none", "use_dictionary": False, "write_page_checksum": True}
    pq.write_table(table, path, row_group_size=16_384, **options)
    corpus = open_corpus(path)
    assert corpus.index.rows == 32_768
    if what == "a digit":
        at, new = path.read_bytes().index(b"%d" % (7919 * 20_000)), b"2"
    else:
        at, new = pq.read_metadata(path).row_group(1).column(0).data_page_offset, b"7" * 9
    damage(path, lambda data: data[:at] + new + data[at + len(new) :])
    text, _, faults = read(corpus)
    assert text[:16_384] == table["text"].to_pylist()[:16_384]
    assert text[20_000] is None
    assert sum(count for _, count, _ in faults) == text.count(None)
    assert all(why.startswith("cannot decode: ") for _, _, why in faults)


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt", "a.csv"])
def test_records_lost_after_counting_are_faults(tmp_path, name):
    head = b"text\n" if name == "a.csv" else b""
    line = b'{"text": "%d"}\n' if name == "a.jsonl" else b"%d\n"
    path = tmp_path / name
    path.write_bytes(head + b"".join(line % n for n in range(9)))
    corpus = open_corpus(path)
    assert corpus.index.rows == 9
    damage(path, lambda data: data.replace(line % 7, b" " * len(line % 7)))
    text, _, faults = read(corpus)
    assert text[:7] == [str(n) for n in range(7)]
    assert (faults[-1][0] + faults[-1][1], faults[-1][2]) == (9, "the file ends before this row")


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl", "a.csv", "a.txt", "a.txt.gz"])
@pytest.mark.parametrize("what", ["grown", "cut", "touched", "gone"])
def test_a_file_that_changes_after_it_was_counted_is_refused(tmp_path, name, what):
    path = tmp_path / name
    if name == "a.parquet":
        pq.write_table(pa.table({"text": ["a", "b"]}), path)
    else:
        raw = b'{"text": "a"}\n' if "jsonl" in name else b"text\na\n"
        path.write_bytes(gzip.compress(raw) if "gz" in name else raw)
    corpus = open_corpus(path)
    (stretch,) = corpus.index.stretches(0, 1)
    assert sum(map(len, read_stretch(stretch, corpus.opener, corpus.index.selection))) == 1
    data, time = path.read_bytes(), path.stat().st_mtime_ns
    if what == "grown":
        path.write_bytes(data + b"\n")
        os.utime(path, ns=(time, time))
    elif what == "cut":
        path.write_bytes(data[:-1])
        os.utime(path, ns=(time, time))
    elif what == "touched":
        os.utime(path, ns=(time, time + 10**9))
    else:
        path.unlink()
    words = "no longer exists" if what == "gone" else "changed after it was indexed"
    if what == "touched":
        assert sum(map(len, read_stretch(stretch, corpus.opener, corpus.index.selection))) == 1
        return
    with pytest.raises(CorpusChanged, match=words) as caught:
        list(read_stretch(stretch, corpus.opener, corpus.index.selection))
    assert str(path) in str(caught.value)
    assert isinstance(caught.value, OSError)


@pytest.mark.parametrize("name", ["a.parquet", "a.txt", "a.jsonl", "a.csv"])
def test_a_disk_that_fails_is_an_error_not_a_bad_row(tmp_path, monkeypatch, name):
    values = [f"{n * 7919}" for n in range(20_000)]
    if name == "a.parquet":
        pq.write_table(pa.table({"text": values}), tmp_path / name, row_group_size=1000)
    elif name == "a.jsonl":
        (tmp_path / name).write_text("".join(f'{{"text": "{value}"}}\n' for value in values))
    else:
        (tmp_path / name).write_text("text\n" + "".join(f"{value}\n" for value in values))
    corpus = open_corpus(tmp_path / name)
    (stretch,) = corpus.index.stretches(0, corpus.index.rows)

    class Failing(io.FileIO):
        """A file with a broken sector in the middle."""

        def checked(self, size):
            if self.tell() < 40_000 <= self.tell() + size:
                raise OSError(5, "Input/output error")

        def readinto(self, buffer):
            self.checked(len(buffer))
            return super().readinto(buffer)

        def read(self, size=-1):
            self.checked(size)
            return super().read(size)

    def open_failing(self, path, *args, **options):
        return Failing(path) if name == "a.parquet" else io.BufferedReader(Failing(path))

    monkeypatch.setattr(LocalFileSystem, "_open", open_failing)
    monkeypatch.setattr(opening, "SMALL_BYTES", 0)
    monkeypatch.setenv("PANINIFS_PATIENCE", "0.1")
    with pytest.raises(StorageUnreachable, match=r"reading file://.*Input/output error"):
        list(read_stretch(stretch, corpus.opener, corpus.index.selection))


def test_a_file_with_a_problem_is_not_opened_rows_are_faults(tmp_path):
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"body": ["b"] * 20_000, "id": ["x"] * 20_000}), tmp_path / "b.parquet")
    corpus = open_corpus(tmp_path)
    assert corpus.index.rows == 20_001
    (tmp_path / "b.parquet").unlink()
    text, others, faults = read(corpus)
    assert text == ["a"] + [None] * 20_000
    assert others["id"] == [None] * 20_001
    assert len(faults) == 1 + (20_000 - 1) // rows.BATCH_ROWS  # in batches


@pytest.mark.parametrize("start", [0, 1, 7, 8, 9, 17])
@pytest.mark.parametrize("length", [0, 1, 8, 20])
def test_validity_of_a_slice_is_that_of_its_elements(start, length):
    values = [None if row % 3 == 0 else "x" for row in range(60)]
    part = pa.array(values, pa.string()).slice(start, length)
    assert validity(part).tolist() == [value is not None for value in values[start:][:length]]
    assert validity(pa.nulls(length, pa.string())).tolist() == [False] * length


def test_counting_json_lines_never_holds_more_than_a_batch(write):
    """Counting runs on the client, which must not need memory for a line of a gigabyte."""
    data = b'{"text": "' + b"a" * (20 << 20) + b'"}\n{"text": "b"}\n'
    (file,) = write("a.jsonl", data).files

    class Bounded(io.BytesIO):
        def read(self, size=-1):
            assert 0 < size <= rows.BATCH_BYTES
            return super().read(size)

        def __next__(self):
            raise AssertionError("a line of any length")

    found = jsonl.outline(file, lambda file: Bounded(data))
    assert sum(unit.rows for unit in found.units) == 2
    assert found.lengths[rows.ANY_TEXT] == rows.Lengths(len(data), (20 << 20) + 12, 0)


@pytest.mark.parametrize("values", [["a", "b"], [b"a", b"b"]])
def test_repeated_dictionary_text_is_decoded_with_64_bit_offsets(tmp_path, values):
    column = pa.array([values[0]] * 3 + [values[1]]).dictionary_encode()
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    corpus = open_corpus(tmp_path)
    (stretch,) = corpus.index.stretches(0, 4)
    (batch,) = read_stretch(stretch, corpus.opener, corpus.index.selection)
    assert batch.text.type == pa.large_string()
    assert batch.text.to_pylist() == ["a", "a", "a", "b"]


def test_long_values_beside_the_text_fill_a_batch_too(write, monkeypatch):
    monkeypatch.setattr(building, "BATCH_BYTES", 100)
    corpus = write("a.csv", b"id,text\n" + b"%s,a\n" % (b"x" * 60) * 6)
    (stretch,) = corpus.index.stretches(0, 6)
    batches = list(read_stretch(stretch, corpus.opener, corpus.index.selection))
    assert [len(batch) for batch in batches] == [2, 2, 2]


def test_long_values_beside_parquets_text_make_a_batch_smaller(tmp_path, monkeypatch):
    monkeypatch.setattr(decoder, "BATCH_BYTES", 10_000)
    table = pa.table({"id": [f"{n:01000d}" for n in range(50)], "text": ["a"] * 50})
    pq.write_table(table, tmp_path / "a.parquet", use_dictionary=False)
    corpus = open_corpus(tmp_path)
    (stretch,) = corpus.index.stretches(0, 50)
    batches = list(read_stretch(stretch, corpus.opener, corpus.index.selection))
    assert max(len(batch) for batch in batches) < 10
