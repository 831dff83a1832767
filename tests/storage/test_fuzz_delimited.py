"""Damaged CSV and TSV in many dialects and encodings, compared with Python's strict `csv`."""

from __future__ import annotations

import codecs
import csv
import functools
import io
import random
from dataclasses import dataclass

import fuzz
import pytest

from paninifs.storage.formats import delimited, delimited_records
from paninifs.storage.rows.dialect import Dialect

ENCODINGS = ("cp1252", "utf-16", "utf-16-be", "utf-32", "shift_jis", "gb18030", "utf-8-sig")
WIDE_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
PIECES = (
    b"\x0a\xd8",  # half a surrogate pair with the byte of a line break
    b'"',
    b'""',
    b",",
    b"\t",
    b";",
    b"\n",
    b"\r\n",
    b"\r",
    b"\x00",
    b"\xef\xbb\xbf",
    b"\\",
)
WORDS = ("un", "deux, trois", 'il dit "non"', "", " ", "a\nb", "c\td", "dhātu", "5;6", "'", "\\")


@dataclass(frozen=True)
class Written:
    """How a file is written, and how it is read."""

    name: str
    delimiter: str
    quote: str | None = '"'
    escape: str | None = None
    encoding: str | None = None

    @property
    def options(self) -> dict:
        """The arguments of `open_corpus`."""
        usual = {"a.csv": ",", "a.tsv": "\t"}[self.name]
        options = {"quote": self.quote, "escape": self.escape, "encoding": self.encoding}
        return options if self.delimiter == usual else options | {"delimiter": self.delimiter}


def file_of(how: Written, chance: random.Random) -> bytes:
    """Return a sound file."""
    text = io.StringIO()
    quoting = chance.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL)) if how.quote else csv.QUOTE_NONE
    writer = csv.writer(
        text,
        delimiter=how.delimiter,
        quotechar=how.quote,
        escapechar=how.escape or "\\",
        doublequote=how.escape is None,
        quoting=quoting,
        lineterminator=chance.choice(("\n", "\r\n")),
    )
    header = chance.choice((["id", "text"], ["text"], ["a", "text", "id", "", ""]))
    writer.writerow(header)
    words = WORDS if len(header) > 1 else [word for word in WORDS if word]
    for _ in range(chance.randrange(60)):
        width = len(header) + chance.choice((0,) * 20 + (1, -1))
        writer.writerow([chance.choice(words) for _ in range(width)] if width > 1 else ["un"])
    return text.getvalue().encode(how.encoding or "utf-8", "replace")


def with_pieces(data: bytes, chance: random.Random) -> bytes:
    """Return a file with quotes, delimiters, line breaks and marks put in."""
    for _ in range(chance.randrange(8)):
        at = chance.randrange(len(data) + 1)
        data = data[:at] + chance.choice(PIECES) + data[at + chance.choice((0, 0, 1)) :]
    return data


# --- judging --------------------------------------------------------------------------------------


def _replaced(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    wide = error.encoding.startswith(("utf-16", "utf-32"))
    return "\udcff" + "\n" * (
        not wide and b"\n" in error.object[error.start : error.end]
    ), error.end


codecs.register_error("fuzz.replaced", _replaced)


def expected(data: bytes, how: Written) -> list[str | None] | None:
    """Return the texts of a file, None for a bad row; None if the file cannot be read."""
    marks = {"utf-16": (b"\xff\xfe", b"\xfe\xff"), "utf-32": WIDE_MARKS}
    if how.encoding in marks and not data.startswith(marks[how.encoding]):
        return None
    if how.encoding in (None, "utf-8-sig"):
        decoded = data.decode("utf-8", "surrogateescape")
    else:
        decoded = data.decode(how.encoding, "fuzz.replaced")
    lines = io.StringIO(decoded.removeprefix("\ufeff"), newline="\n").readlines()
    reader = csv.reader(
        (line.removesuffix("\n") + "\n" for line in lines),  # else escaped breaks confuse it
        strict=True,
        delimiter=how.delimiter,
        quotechar=how.quote,
        escapechar=how.escape,
        quoting=csv.QUOTE_MINIMAL if how.quote else csv.QUOTE_NONE,
    )
    texts: list[str | None] = []
    header: list[str] = []
    while True:
        before = reader.line_num
        try:
            record = next(reader)
        except StopIteration:
            break
        except csv.Error:
            record = None
        if record == []:
            continue
        if not header:
            if record is None or "text" not in record:
                return None
            header = record
        elif (
            record is not None
            and len(record) == len(header)
            and not fused(lines[before : reader.line_num], how, len(header))
        ):
            text = record[header.index("text")]
            texts.append(text if _is_utf8(text) else None)
        else:
            texts += [None for line in lines[before : reader.line_num] if line.strip("\r\n")]
    return texts


def fused(lines: list[str], how: Written, width: int) -> bool:
    """Return whether the lines of a record of TSV look like records of their own."""
    alike = all(line.count("\t") == width - 1 and line[0] != "\t" for line in lines)
    return how.delimiter == "\t" and how.quote is not None and len(lines) > 1 < width and alike


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def judge(how: Written, data: bytes, outcome: fuzz.Outcome) -> str | None:
    """Return what is wrong with the outcome for a file."""
    texts = expected(data, how)
    if how.encoding is None and b"\0" in data and "it is UTF-" in (outcome.refused or ""):
        return None  # damaged so that it looks like UTF-16
    if outcome.refused is not None or outcome.problem is not None:
        return None if not texts else f"{len(texts)} rows, and {outcome.refused or outcome.problem}"
    if texts is None:
        return f"{len(outcome.texts)} rows of a file that csv cannot read"
    if list(outcome.texts) == texts:
        return None
    pairs = zip(outcome.texts, texts, strict=False)
    row = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(texts), len(outcome.texts)))
    return f"{len(outcome.texts)} rows for {len(texts)}; row {row} differs: " + repr(
        (outcome.texts[row : row + 1], texts[row : row + 1])
    )


def case_of(how: Written, chance: random.Random) -> fuzz.Case:
    """Return a damaged file, to be read in blocks and records of random sizes."""
    delimited.BLOCK_BYTES = chance.choice((1, 16, 100, 1 << 20))
    delimited_records.LARGE_BYTES = chance.choice((3, 20, 100, 8 << 20))
    data = file_of(how, chance)
    damage = "nothing"
    if chance.random() < 0.5 and data:
        data, damage = fuzz.mutated(data, chance)
    data = with_pieces(data, chance)
    return fuzz.Case(
        name=how.name,
        data=data,
        how=f"{how}, {damage}, blocks of {delimited.BLOCK_BYTES}, "
        f"records of {delimited_records.LARGE_BYTES}",
        judge=functools.partial(judge, how, data),
        options=how.options,
    )


def in_utf8(chance: random.Random) -> fuzz.Case:
    """Return a damaged file in UTF-8."""
    name, usual = chance.choice((("a.csv", ","), ("a.tsv", "\t")))
    how = Written(
        name,
        chance.choice((usual, usual, ";", "|", "é")),
        quote=chance.choice(('"', '"', "'", None)),
        escape=chance.choice((None, None, "\\")),
    )
    return case_of(how, chance)


def in_another_encoding(chance: random.Random) -> fuzz.Case:
    """Return a damaged file in another encoding."""
    quote = chance.choice(('"', None))
    return case_of(Written("a.csv", ",", quote=quote, encoding=chance.choice(ENCODINGS)), chance)


TARGETS = {"delimited": in_utf8, "encodings": in_another_encoding}


# --- tests ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
def test_cases_of_a_second_pass(tmp_path, target, monkeypatch):
    for module, name in ((delimited, "BLOCK_BYTES"), (delimited_records, "LARGE_BYTES")):
        monkeypatch.setattr(module, name, getattr(module, name))  # cases change them
    for number in range(40):
        chance = fuzz.chance_of(target, 0, number)
        case = TARGETS[target](chance)
        path = tmp_path / f"{number}-{case.name}"
        path.write_bytes(case.data)
        assert fuzz.faults_of(case, path, chance) is None, (number, case.how)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.soak("half a minute of damaged files each")
def test_damaged_files_end_nothing_and_lose_nothing(target):
    found, read = fuzz.findings(target, seconds=30)

    assert not found, "\n\n".join(map(str, found))
    assert read > 100


def test_a_dialect_is_written_as_it_is_read():
    how = Written("a.csv", ";", quote=None, escape="\\", encoding="utf-16")
    options = how.options
    assert Dialect(**options).describe() == options
