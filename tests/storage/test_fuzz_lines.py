"""Damaged JSON Lines, plain text and documents, compared with a reader line by line."""

from __future__ import annotations

import bz2
import codecs
import functools
import gzip
import json
import random
import zlib
from collections.abc import Callable, Sequence

import fuzz
import pytest

from paninifs import open_corpus
from paninifs.storage.corpus.reading import read_stretches
from paninifs.storage.formats import jsonl_blocks, jsonl_keys, lines

WORDS = ("un", "deux", "", " ", "dhātu", "🐉", "é" * 40, "x" * 300, "a\0b", '"', "\\", "\u2028")
KEYS = ("text", "text", "text", "id", "lang", "clé", "", "text ")
PIECES = (
    *(b"\n", b"\r", b"\r\n", b"\n\n", b"\0", b"\xef\xbb\xbf", b"\xff", b"\xed\xa0\x80", b"\x1e"),
    *(
        b'"',
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"null",
        b'{"text": "un"}',
        b"NaN",
        b"1e999",
    ),
    *(b"\\ud800", b"\\u0000", b'"text"', b'"text": 7,', b"Infinity", b"-", b"\t", b"\x0b", b"\xa0"),
)
ENCODINGS = (
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "utf-32",
    "utf-32-be",
    "latin-1",
    "cp1252",
    "utf-7",
)
MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
HEAD = 1 << 16

ODD_LINES = [
    *(b"null", b"true", b"7", b"-0", b'"text"', b"[]", b'[{"text": "un"}]', b"{}", b"{", b"}"),
    *(b'{"text"}', b'{"text":}', b'{"text": "un",}', b'{"text": "un"} ', b' {"text": "un"}'),
    *(b'{"text": "un"}{"text": "deux"}', b'{"text": "un"}, {"text": "deux"}', b"{'text': 'un'}"),
    *(b'{"text": "un" "id": 1}', b'{"text" "un"}', b'{text: "un"}', b'{"text": un}', b"//"),
    *(b'{"text": "\t"}', b'{"text": "\\x"}', b'{"text": "\\u12"}', b'{"text": "\\uD83D\\uDC09"}'),
    *(
        b'{"text": "\\ud83d"}',
        b'{"text": "\\udc09\\ud83d"}',
        b'{"text": "\x7f"}',
        b'{"text": "\0"}',
    ),
    *(b'{"text": "un", "n": 01}', b'{"text": "un", "n": .5}', b'{"text": "un", "n": 1.}'),
    *(b'{"text": "un", "n": +1}', b'{"text": "un", "n": 1e}', b'{"text": "un", "n": 0x1}'),
    *(b'{"text": "un", "n": NaN}', b'{"text": "un", "n": Inf}', b'{"text": "un", "n": -Infinity}'),
    *(
        b'{"text": "un", "n": 1e400}',
        b'{"text": "un", "n": %s}' % (b"9" * 400),
    ),
    *(
        b'{"text": "un", "n": %s}' % (b"9" * 5000),
        b'{"text": "un", "n": %s1%s}' % (b"[" * 90, b"]" * 90),
    ),
    *(
        b'{"text": "un", "n": %s}' % (b"[" * 5000),
        b'{"a": 1, "a": 2, "text": "un", "text": "deux"}',
    ),
    *(b'{"text": 7}', b'{"text": null}', b'{"text": ["un"]}', b'{"text": {"text": "un"}}'),
    *(
        b'\xef\xbb\xbf{"text": "un"}',
        b'{"text": "un\xff"}',
        b'{"text\xff": "un"}',
        b"\xff\xfe",
        b"\r",
    ),
    *(
        b'{"text": "un"}\r',
        b'{"text":\r"un"}',
        b'{"te\\u0078t": "un"}',
        b'{"": "un"}',
        b'{"text": ""}',
    ),
]
"""Lines in the manner of JSONTestSuite: valid ones, invalid ones, and those left to the parser."""


# --- the independent readers ----------------------------------------------------------------------


def text_of(line: bytes) -> str | None:
    """Return the text of a line of JSON; None if it has none."""
    try:
        value = json.loads(line.decode("utf-8"))
        text = value.get("text") if isinstance(value, dict) else None
        return text if isinstance(text, str) and text.encode("utf-8") is not None else None
    except (ValueError, RecursionError):
        return None


def json_texts(data: bytes) -> list[str | None]:
    """Return the text of every line that is not empty."""
    found = [line for line in data.split(b"\n") if line not in (b"", b"\r")]
    found = [line.removesuffix(b"\r") for line in found]
    if found:
        found[0] = found[0].removeprefix(codecs.BOM_UTF8)
    return [text_of(line) for line in found]


def plain_texts(data: bytes) -> list[str | None]:
    """Return every line."""
    found = data.split(b"\n")
    found = found[:-1] if found[-1] == b"" else found
    if found:
        found[0] = found[0].removeprefix(codecs.BOM_UTF8)
    return [_decoded(line.removesuffix(b"\r")) for line in found]


def document_texts(data: bytes) -> list[str | None]:
    """Return the whole file."""
    return [_decoded(data.removeprefix(codecs.BOM_UTF8))]


def _decoded(data: bytes) -> str | None:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


# --- judging --------------------------------------------------------------------------------------


def judge(
    texts: Sequence[str | None], data: bytes, document: bool, outcome: fuzz.Outcome
) -> str | None:
    """Return what is wrong with the outcome, given the texts that there are."""
    reason = outcome.refused or outcome.problem
    if reason is not None:
        return None if _may_be_refused(texts, data, reason) else f"{reason}, but {texts!r:.200}"
    read = list(outcome.texts)
    if document and read == [None] and "it is " in outcome.reasons[0]:
        return None if _is_odd(data) else f"{outcome.reasons[0]}: {data[:99]!r}"
    if read == list(texts):
        return None
    pairs = zip(read, texts, strict=False)
    row = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(read), len(texts)))
    return (
        f"{len(read)} rows for {len(texts)}; row {row} is "
        f"{read[row : row + 1]!r:.99} and not {texts[row : row + 1]!r:.99}"
    )


def _may_be_refused(texts: Sequence[str | None], data: bytes, reason: str) -> bool:
    good = sum(text is not None for text in texts)
    if not good or "no column" in reason:
        return not good
    if "it is a JSON " in reason or "it is JSON " in reason:
        return good <= 1 or 4 * good < len(texts)
    if "its lines end in CR alone" in reason:
        return b"\n" not in data[:HEAD]
    return _is_odd(data)


def _is_odd(data: bytes) -> bool:
    """Return whether a file begins with what no text in UTF-8 without control codes has."""
    head = data[:HEAD]
    return head.startswith(MARKS) or b"\0" in head or head.startswith((b"\x1f\x8b", b"BZh"))


# --- files ----------------------------------------------------------------------------------------


def json_lines(chance: random.Random) -> bytes:
    """Return JSON Lines, most of them good."""
    ending = chance.choice((b"\n", b"\n", b"\r\n"))
    odd = chance.choice((0.0, 0.0, 0.1, 0.9))
    written = []
    for _ in range(chance.choice((0, 1, 3, 30, 150))):
        if chance.random() < odd:
            written.append(chance.choice(ODD_LINES))
            continue
        record = {chance.choice(KEYS): chance.choice(WORDS) for _ in range(chance.randrange(4))}
        if chance.random() < 0.1:
            record["more"] = {"text": 1, "id": [chance.choice(WORDS)]}
        ascii_only = chance.random() < 0.5
        written.append(json.dumps(record, ensure_ascii=ascii_only).encode())
    return ending.join([*written, b""][: chance.choice((None, -1))])


def plain_lines(chance: random.Random) -> bytes:
    """Return lines of words."""
    ending = chance.choice(("\n", "\n", "\r\n", "\r"))
    count = chance.choice((0, 1, 3, 30, 150))
    return ending.join(chance.choice(WORDS) for _ in range(count)).encode()


def damaged(data: bytes, chance: random.Random) -> tuple[bytes, str]:
    """Return a file in another encoding, with bytes changed, or with odd pieces put in."""
    how = []
    if chance.random() < 0.1:
        encoding = chance.choice(ENCODINGS)
        data = data.decode("utf-8", "replace").encode(encoding, "replace")
        how.append(encoding)
    if chance.random() < 0.4 and data:
        data, done = fuzz.mutated(data, chance)
        how.append(done)
    for _ in range(chance.choice((0, 0, 1, 8))):
        at = chance.choice((0, chance.randrange(len(data) + 1)))
        piece = chance.choice(PIECES)
        data = data[:at] + piece + data[at + chance.choice((0, 0, 1)) :]
        how.append(f"{piece!r} at {at}")
    return data, ", ".join(how) or "nothing"


def in_small_blocks(chance: random.Random) -> str:
    """Have files read in blocks of a random size."""
    size = chance.choice((1, 64, 1000, 1000, 1 << 20, 1 << 20))  # Arrow takes 2 ms for a block
    lines.BLOCK_BYTES = jsonl_blocks.BLOCK_BYTES = size
    jsonl_blocks.PIECE_BYTES = max(1, size // chance.choice((1, 3)))
    jsonl_keys.PEEK_RECORDS = chance.choice((1, 2, 100))  # a mark is before the first
    return f"blocks of {size}"


Reader = Callable[[bytes], list[str | None]]


def case_of(
    name: str, make: Callable[[random.Random], bytes], texts: Reader, chance: random.Random
) -> fuzz.Case:
    """Return a damaged file."""
    blocks = in_small_blocks(chance)
    data, how = damaged(make(chance), chance)
    options = {"format": "document"} if texts is document_texts else {}
    judging = functools.partial(judge, texts(data), data, bool(options))
    return fuzz.Case(name=name, data=data, how=f"{how}; {blocks}", judge=judging, options=options)


def unpacked_bz2(data: bytes) -> bytes:
    """Decompress all streams of a file. Python's own function ends at the first that is wrong."""
    found = b""
    while data:
        stream = bz2.BZ2Decompressor()
        found += stream.decompress(data)
        if not stream.eof:
            raise EOFError
        data = stream.unused_data
    return found


def gzipped(data: bytes) -> bytes:
    """Compress without a date, so that a case is the same again."""
    return gzip.compress(data, mtime=0)


PACKED = {".gz": (gzipped, gzip.decompress), ".bz2": (bz2.compress, unpacked_bz2)}


def compressed(chance: random.Random) -> fuzz.Case:
    """Return a compressed file, damaged before or after it was compressed."""
    blocks = in_small_blocks(chance)
    pack, unpack = PACKED[ending := chance.choice((".gz", ".bz2"))]
    data, how = damaged(json_lines(chance), chance)
    packed = pack(data)
    if chance.random() < 0.5:
        packed, after = fuzz.mutated(packed, chance)
        how += f"; then {after}"
    try:
        data = unpack(packed)
    except (OSError, EOFError, ValueError, zlib.error):
        return fuzz.Case(name=f"a.jsonl{ending}", data=packed, how=how, judge=_must_be_refused)
    judging = functools.partial(judge, json_texts(data), data, False)
    return fuzz.Case(name=f"a.jsonl{ending}", data=packed, how=f"{how}; {blocks}", judge=judging)


def _must_be_refused(outcome: fuzz.Outcome) -> str | None:
    return None if outcome.refused or outcome.problem else f"{len(outcome.texts)} rows of no file"


TARGETS: dict[str, fuzz.Target] = {
    "jsonl": functools.partial(case_of, "a.jsonl", json_lines, json_texts),
    "text": functools.partial(case_of, "a.txt", plain_lines, plain_texts),
    "document": functools.partial(case_of, "a.txt", plain_lines, document_texts),
    "compressed": compressed,
}


# --- tests ----------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _sizes(monkeypatch):
    """Restore the sizes of blocks, which cases change."""
    for module, name in (
        (lines, "BLOCK_BYTES"),
        (jsonl_blocks, "BLOCK_BYTES"),
        (jsonl_blocks, "PIECE_BYTES"),
        (jsonl_keys, "PEEK_RECORDS"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name))


@pytest.mark.parametrize("target", TARGETS)
def test_a_few_cases_pass(tmp_path, target):
    for number in range(15):
        chance = fuzz.chance_of(target, 0, number)
        case = TARGETS[target](chance)
        path = tmp_path / f"{number}-{case.name}"
        path.write_bytes(case.data)
        assert fuzz.faults_of(case, path, chance) is None, (number, case.how)


@pytest.mark.parametrize("line", ODD_LINES, ids=lambda line: ascii(line[:40]))
def test_an_odd_line_of_json_is_one_row(tmp_path, line):
    data = b'{"text": "first"}\n%s\n{"text": "last"}\n' % line
    (tmp_path / "a.jsonl").write_bytes(data)
    assert fuzz.read(tmp_path / "a.jsonl", {}).texts == json_texts(data)


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt"])
@pytest.mark.slow("reads a file cut at each of its bytes")
def test_rows_are_the_same_wherever_blocks_end(tmp_path, monkeypatch, name):
    good = [
        '{"text": "é🐉", "id": 1}',
        '{"more": {"id": 2}}',
        "",
        "\r",
        '{"text": "a\\n"}\r',
        "[1]",
    ]
    data = "\n".join([*good, "the end"]).encode()
    texts = {"a.jsonl": json_texts, "a.txt": plain_texts}[name](data)
    (tmp_path / name).write_bytes(data)
    for size in range(1, len(data) + 2):
        monkeypatch.setattr(lines, "BLOCK_BYTES", size)
        monkeypatch.setattr(jsonl_blocks, "BLOCK_BYTES", size)
        monkeypatch.setattr(jsonl_blocks, "PIECE_BYTES", size)
        corpus = open_corpus(tmp_path / name)
        index = corpus.index
        assert index.rows == len(texts)
        for cut in range(len(texts) + 1):
            read: list[str | None] = []
            for start, stop in ((0, cut), (cut, len(texts))):
                stretches = index.stretches(start, stop)
                for *_, rows in read_stretches(stretches, corpus.opener, index.selection):
                    read += rows.text.to_pylist()
            assert read == texts, (size, cut)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.soak("a minute of damaged files of each format")
def test_damaged_lines_end_nothing_and_lose_nothing(target):
    found, read = fuzz.findings(target, seconds=60)

    assert not found, "\n\n".join(map(str, found))
    assert read > 100
