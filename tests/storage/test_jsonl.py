"""JSON Lines: parsing blocks of lines with Arrow gives the same rows as reading line by line."""

import contextlib
import gzip
import io
import json
from unittest import mock

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paninifs.storage.formats import jsonl, jsonl_blocks
from paninifs.storage.formats.jsonl import by_line
from paninifs.storage.formats.lines import lines_of
from paninifs.storage.rows import Column, ColumnSelection, Fault, RowSpan, SourceFile

FILE = SourceFile(
    url="memory://a.jsonl",
    name="a.jsonl",
    size=0,
    version="",
    format="jsonl",
    compression=None,
)
SELECTION = ColumnSelection("text", (Column("id", "string"),))
ALL = RowSpan(0, 10**9, 0, 0)
GOOD = b'{"text": "good", "id": "g"}\n'


def opener_of(raw):
    return lambda file: contextlib.closing(io.BytesIO(raw))


def joined(batches, row=0):
    """Concatenate batches: texts, columns, faults."""
    texts, columns, faults = [], {}, []
    for batch in batches:
        assert batch.start == row
        row += len(batch)
        texts += batch.text.to_pylist()
        for name, values in batch.columns.items():
            values.validate(full=True)
            assert (values.type, len(values)) == (pa.string(), len(batch))
            columns.setdefault(name, []).extend(values.to_pylist())
        faults += batch.faults
    return texts, columns, faults


def read(raw, selection=SELECTION, span=ALL):
    return joined(jsonl.read(FILE, opener_of(raw), span, selection), span.start)


def read_by_line(raw, selection=SELECTION, span=ALL):
    records = lines_of(io.BytesIO(raw), span, skip_blank=True)
    return joined(by_line(records, span.start, selection), span.start)


@pytest.fixture
def never_by_line(monkeypatch):
    def refuse(records, row, selection):
        raise AssertionError(f"read line by line: {list(records)[:3]}")

    monkeypatch.setattr(jsonl, "by_line", refuse)


# --- what Arrow parses ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        b'{"id": "1", "text": "a"}\n{"id": "2", "text": "b"}\n',
        b'{"id": "1", "text": "a"}\r\n{"id": "2", "text": "b"}\r\n',
        b'{"id": "1", "text": "a"}\n{"id": "2", "text": "b"}',
        b'\n\r\n{"id": "1", "text": "a"}\n\n\r\n{"id": "2", "text": "b"}\n\n\r',
        b'\xef\xbb\xbf{"id": "1", "text": "a"}\n{"id": "2", "text": "b"}\n',
        b'\n\xef\xbb\xbf{"id": "1", "text": "a"}\n',
        b'{ "text"\t:\r"a" }\n',
        b'{"text": "007", "id": "2026-11-21"}\n{"text": "2026-11-21T00:00:00Z", "id": "1e5"}\n',
        b'{"text": ""}\n{"text": "NaN", "id": ""}\n{"text": "b", "id": null}\n',
        b'{"id": 7, "text": ""}\n{"text": "b"}\n{"id": -0, "text": "c"}\n{"id": null, "text": "d"}',
        b'{"id": 9223372036854775807, "text": "a"}\n{"id": -9223372036854775808, "text": "b"}\n',
        b'{"text": "a"}\n{"id": null, "text": "b"}\n{"id": 3, "text": "c"}\n',
        b'{"id": true, "text": "a"}\n{"id": false, "text": "b"}\n{"text": "c"}\n',
        b'{"te\\u0078t": "a\\u0000\\ud83d\\ude00\\/\\n", "\\u0069d": "b"}\n',
        b'{"text": "a", "text\\u0000": 1, "": 2, "x": {"text": 3, "id": []}}\n',
        b'{"text": "a", "x": 1, "x": "2"}\n{"text": "b", "x": NaN}\n{"text": "c", "x": -Infinity}',
        b'{"text": "no number: Inf, -NaN", "x": [Infinity, NaN]}\n',
        '{"text": "\u2028 \x7f \u0101 \U0001f409", "id": "\ufeff"}\n'.encode(),
        b'{"text": "%s"}\n' % (b"long " * 700_000) + GOOD * 1000,
        b'{"text": "a", "x": %s}\n' % (b"[" * 200 + b"]" * 200),
        b'{"text": "%s", "x": [%s]}\n' % (b"[{" * 500, b"[], " * 500 + b"1") + GOOD,
        b'{"text": "%s", "x": [%s1]}\n' % (b"9" * 5000, b"1234567890, " * 500) + GOOD,
        b"",
        b"\n\r\n\n",
    ],
)
@pytest.mark.usefixtures("never_by_line")
def test_ordinary_lines_are_parsed_in_blocks(raw):
    assert read(raw) == read_by_line(raw)


@pytest.mark.usefixtures("never_by_line")
def test_the_text_may_be_the_id_too():
    selection = ColumnSelection("text", (Column("text", "string"),))
    assert read(GOOD, selection) == (["good"], {"text": ["good"]}, [])


@pytest.mark.usefixtures("never_by_line")
def test_blocks_and_batches_are_small_whatever_the_files_size():
    raw = GOOD * 600_000
    blocks = list(jsonl_blocks.blocks_of(io.BytesIO(raw), ALL))
    most = jsonl_blocks.BLOCK_BYTES + jsonl_blocks.PIECE_BYTES
    assert max(len(block.data) for block in blocks) <= most < len(raw) / 7
    sizes = [len(rows) for rows in jsonl.read(FILE, opener_of(raw), ALL, SELECTION)]
    assert (sum(sizes), max(sizes)) == (600_000, jsonl.BATCH_ROWS)


# --- what Arrow does not parse: read line by line -------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        # accepted by Arrow, but not JSON
        b'{"text": "a", "x": "\xff"}',
        b'{"text": "a", "\xff": 1}',
        b'{"text": "\xed\xa0\x80"}',
        b" ",
        b"\r\r",
        b'{"text": "a"}{"text": "b"}',
        b'{"text": "a"} null {"text": "b"}',
        b'{"text":\n"a"}',
        b'{"text": "a"}{"text":\n"b"}',
        b'{"text": "a"\n}{"text": "b"}',
        b'{"text": "a"}{"text": "b", "x":\n{}}',
        b'{"text": "a"}{"text": "b"}\n ',
        b'{"text": "a", "x": Inf}',
        b'{"text": "a", "x": [-Inf\t,\tInf]}',
        b'{"text": "a", "x": -NaN}',
        b'{"text": "a", "x": %s}' % (b"[" * 100_000 + b"]" * 100_000),
        b'{"text": "a", "x": %s}' % (b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
        b'{"text": "a", "x": %s}' % (b"9" * 4301),
        b'\xef\xbb\xbf{"text": "a"}',
        # crashes Arrow
        b"null",
        b" null",
        # rejected by Arrow, but JSON, or accepted by Python's json
        b'{"text": "a", "text": "b"}',
        b'{"text": null, "text": "b"}',
        b'{"text": "a", "id": "1", "id": 2}',
        b'{"text": "a", "x": "\\ud800"}',
        b'{"text": "a", "id": "\\udc00\\ud800"}',
        b'{"text": "a", "\\ud800": 1}',
        b'{"text": "a", "x": 1e999}',
        # values of other kinds
        *(b'{"text": "a", "id": %s}' % value for value in (b"7", b"true", b"1e5", b"1.50", b"NaN")),
        b'{"text": "a", "id": {"a": [1, null, "\\u0101"]}}',
        b'{"text": "a", "id": 9223372036854775808}',
        # faults
        b'{"text": null}',
        b'{"id": "a"}',
        b"{}",
        b'{"text": 7, "id": 7}',
        b'{"text": ["a"]}',
        b'{"text": "a\\ud800b"}',
        b'{"text": "a\x00b"}',
        b'{"text": "a"\x00}',
        b'{"text": "a"}\x00}',
        b'{"text": "a"}{"text": "b"}\x00}',
        b'{"text": "a\x01\tb"}',
        b'{"text": "a", "x": 007}',
        b'{"text": "a",}',
        b'{"text": "a"},{"text": "b"}',
        b"[1]",
        b"7",
    ],
    ids=lambda line: repr(line[:40]),
)
@pytest.mark.parametrize("others", [SELECTION.others, ()], ids=["with ids", "text only"])
@pytest.mark.parametrize("at", [0, 1, 3])
def test_odd_lines_mean_the_same_in_blocks_and_alone(line, others, at):
    lines = [GOOD] * 3
    lines.insert(at, line + b"\n")
    raw = b"".join(lines)
    # A hundred lines, so that the block does not count as one of long lines.
    for end in (b"", b"\n", b'{"text": "7", "id": 7}\n', GOOD * 100):
        assert read(raw + end, ColumnSelection("text", others)) == read_by_line(
            raw + end, ColumnSelection("text", others)
        )


@pytest.mark.parametrize("raw", [b"\xef\xbb\xbf", b"\xef\xbb\xbf\n" + GOOD, b"\xef\xbb\xbf\r\n"])
def test_a_byte_order_mark_alone_is_a_row(raw):
    assert read(raw) == read_by_line(raw)
    assert read(raw)[2] == [Fault(0, "not JSON: Expecting value: line 1 column 1 (char 0)")]


@pytest.mark.parametrize("block", [1, 1 << 20])
@pytest.mark.parametrize("offset", [0, 3])
@pytest.mark.parametrize("lines", [b"%s%s", b"\n%s%s", b"\n%s\n%s", b"\n\n\n\n%s%s"])
def test_a_byte_order_mark_is_one_only_where_the_file_begins(monkeypatch, lines, offset, block):
    monkeypatch.setattr(jsonl_blocks, "BLOCK_BYTES", block)
    monkeypatch.setattr(jsonl_blocks, "PIECE_BYTES", block)
    raw = lines % (b"\xef\xbb\xbf" + GOOD, b"\xef\xbb\xbf" + GOOD)
    span = RowSpan(0, 9, 0, offset)
    assert read(raw, span=span) == read_by_line(raw, span=span)


def test_a_column_of_another_kind_is_read_line_by_line():
    selection = ColumnSelection("text", (Column("id", "int64"),))
    (rows,) = jsonl.read(FILE, opener_of(b'{"text": "a", "id": 7}\n'), ALL, selection)
    assert rows.columns["id"].equals(pa.array([7], pa.int64()))


def test_a_text_that_is_the_id_too_must_be_a_string():
    selection = ColumnSelection("text", (Column("text", "string"),))
    raw = b'{"text": 7}\n'
    assert read(raw, selection) == read_by_line(raw, selection)


@pytest.mark.parametrize("first", ["7", '"7"', "null", "1.5"])
@pytest.mark.parametrize("second", ["8", '"8"', "null", "1.5", "true", "1e5", "-0", "[8]"])
def test_ids_of_any_kinds_are_the_strings_they_always_were(first, second):
    raw = f'{{"text": "a", "id": {first}}}\n{{"text": "b", "id": {second}}}\n'.encode() * 40
    assert read(raw) == read_by_line(raw)


def test_values_that_arrow_returns_broken_are_read_again(monkeypatch):
    broken = pa.array([b"\xff"]).view(pa.string())
    table = pa.table({"text": broken, "id": pa.array(["a"])})
    monkeypatch.setattr(jsonl_blocks, "_read", lambda region, kinds: table)
    assert read(GOOD) == (["good"], {"id": ["g"]}, [])


def test_long_lines_are_not_parsed_in_blocks(monkeypatch):
    monkeypatch.setattr(jsonl_blocks, "_read", lambda region, kinds: pytest.fail("parsed"))
    raw = b'{"text": "%s"}\n' % (b"long " * 2000) * 300
    assert read(raw) == read_by_line(raw)


def test_a_name_that_arrow_cannot_hold_is_read_line_by_line():
    selection = ColumnSelection("text", (Column("\ud800", "string"),))
    raw = b'{"text": "a", "\\ud800": "b"}\n'
    assert read(raw, selection) == (["a"], {"\ud800": ["b"]}, [])


def test_a_bad_line_slows_only_its_neighbours(monkeypatch):
    raw = GOOD * 700 + b'{"text": null, "id": 5}\n' + GOOD * 899
    counts = []

    def counting(records, row, selection):
        known = list(records)
        counts.append((row, len(known)))
        return by_line(known, row, selection)

    monkeypatch.setattr(jsonl, "by_line", counting)
    texts, columns, faults = read(raw)
    assert counts == [(700, 100)]
    assert (texts[700], columns["id"][700], len(texts)) == (None, "5", 1600)
    assert faults == [Fault(700, "null text")]


# --- spans and streams ----------------------------------------------------------------------------


@pytest.mark.usefixtures("never_by_line")
def test_a_line_longer_than_a_block_is_one_record(monkeypatch):
    monkeypatch.setattr(jsonl_blocks, "BLOCK_BYTES", 64)
    monkeypatch.setattr(jsonl_blocks, "PIECE_BYTES", 16)
    values = ["a" * size for size in (0, 1000, 1, 40, 5000, 2)]
    raw = b"".join(json.dumps({"text": value}).encode() + b"\n" for value in values)
    assert read(raw)[0] == values


def test_a_line_too_long_for_arrow_is_read_alone(monkeypatch):
    monkeypatch.setattr(jsonl_blocks, "LONGEST_BYTES", 64)
    monkeypatch.setattr(jsonl_blocks, "_read", lambda region, kinds: pytest.fail("parsed"))
    assert read(b'{"text": "%s"}\n' % (b"a" * 100))[0] == ["a" * 100]


@pytest.mark.parametrize("packed", [False, True])
def test_rows_before_a_break_are_yielded_first(packed):
    class Breaking(io.BytesIO):
        def read1(self, size=-1):
            if not (data := super().read1(size)):
                raise OSError(5, "Input/output error")
            return data

    lines = b"".join(b'{"text": "%d"}\n' % n for n in range(9))
    stream = Breaking(gzip.compress(lines)[:-8] if packed else lines + b'{"text": "half')
    opened = gzip.GzipFile(fileobj=io.BytesIO(stream.getvalue())) if packed else stream
    batches = jsonl.read(
        FILE, lambda file: contextlib.closing(opened), ALL, ColumnSelection("text")
    )
    found = []
    with pytest.raises(EOFError if packed else OSError):
        found += (batch.text.to_pylist() for batch in batches)
    assert found == [[str(n) for n in range(9)]]


def test_reading_ends_with_the_span():
    class Counting(io.BytesIO):
        asked = 0

        def read1(self, size=-1):
            self.asked += size
            return super().read1(size)

    stream = Counting(GOOD * 600_000)
    opener = contextlib.nullcontext
    span = RowSpan(300_010, 300_020, 300_000, 300_000 * len(GOOD))
    (batch,) = jsonl.read(FILE, lambda file: opener(stream), span, SELECTION)
    assert (batch.start, len(batch)) == (300_010, 10)
    assert stream.asked <= jsonl_blocks.BLOCK_BYTES + jsonl_blocks.PIECE_BYTES


# --- any file -------------------------------------------------------------------------------------

strings = st.text(max_size=6).map(json.dumps) | st.text(
    st.characters(codec="utf-8", exclude_characters='"\\\x00\r\n'), max_size=6
).map(lambda value: f'"{value}"')
plain_values = st.one_of(
    strings,
    st.integers().map(str),
    st.sampled_from(["true", "false", "null", '"007"', '"\\u0000"', '"\\ud83d\\ude00"', "1.5"]),
)
odd_values = st.sampled_from(
    [
        *("NaN", "Infinity", "-Infinity", "Inf", "-Inf", "-NaN", "1e5", "1e999", "-0", "-", "007"),
        *("9223372036854775807", "9223372036854775808", "9" * 5000, '"' + "9" * 5000 + '"'),
        *('"\\ud800"', '"\\udc00\\ud800"', '"\\x"', '"\t"', '"\x00"', '"', "", "'a'", "1.", ".5"),
        *("[]", "{}", '{"text": "b", "text": 1}', '[1, {"a": [null]}]', "[1,]", "[" * 2000),
        *("[" * 2000 + "]" * 2000, "[" * 100 + "]" * 100, '"' + "[{" * 400 + '"', '"Inf"'),
    ]
)
keys = st.sampled_from(['"id"', '"x"', '"y"', '"te\\u0078t"', '"text\\u0000"', '""', '"\\ud800"'])


def an_object(texts, fields):
    pairs = [f'"text": {texts}', *(f"{key}: {value}" for key, value in fields)]
    return ("{" + ", ".join(pairs) + "}").encode(errors="surrogatepass")


plain_lines = st.builds(
    lambda text, kind, number: b'{"id": %s, "text": %s}' % (kind % number, text.encode()),
    strings.filter(str.isascii),
    st.sampled_from([b"%d", b"%d", b'"%d"']),
    st.integers(0, 99),
)
any_lines = st.builds(
    an_object,
    plain_values | odd_values,
    st.lists(st.tuples(keys, plain_values | odd_values), max_size=3),
)
scraps = st.sampled_from(
    [
        *(b"\xff", b"\x00", b"\n", b"{", b"}", b'"', b"\\", b"null", b"\r", b" ", b"[", b","),
        *(b"\xef\xbb\xbf", b"}{", b'}{"text": "b"}', b"Inf", b"\xc3", b"}null{"),
    ]
)
endings = st.sampled_from([b"\n"] * 8 + [b"\r\n", b"\n\n", b"\n \n", b"\r\r\n", b"", b"null\n"])


@st.composite
def files(draw):
    """A file of lines that are mostly JSON."""
    lines = draw(st.lists(st.one_of(plain_lines, plain_lines, any_lines), max_size=8))
    raw = b"".join(line + draw(endings) for line in lines)
    for scrap in draw(st.lists(scraps, max_size=2)):
        at = draw(st.integers(0, len(raw)))
        raw = raw[:at] + scrap + raw[at + draw(st.integers(0, 1)) :]
    return draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf", b"\n"])) + raw


@pytest.mark.slow("reads hundreds of files, each in two ways")
@given(
    raw=files(),
    selection=st.lists(st.sampled_from(["id", "x", "text"]), unique=True, max_size=2),
    block=st.sampled_from([1, 40, 300, 1 << 20]),
    parts=st.sampled_from([1, 2, 16]),
    bounds=st.tuples(st.integers(0, 9), st.integers(1, 30)),
)
@settings(deadline=None, database=None, max_examples=300)
def test_any_file_is_read_as_line_by_line(raw, selection, block, parts, bounds):
    columns = ColumnSelection("text", tuple(Column(name, "string") for name in selection))
    span = RowSpan(bounds[0], sum(bounds), 0, 0)
    with (
        mock.patch.object(jsonl_blocks, "BLOCK_BYTES", block),
        mock.patch.object(jsonl_blocks, "PIECE_BYTES", block),
        mock.patch.object(jsonl, "PARTS", parts),
        mock.patch.object(jsonl, "BATCH_ROWS", 3),
    ):
        assert read(raw, columns, span) == read_by_line(raw, columns, span)
        assert read(raw, columns) == read_by_line(raw, columns)
