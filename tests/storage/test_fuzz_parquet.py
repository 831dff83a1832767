"""Damaged Parquet files: no abort, no traceback, no hang, no lost row, no invented one."""

from __future__ import annotations

import functools
import io
import random
import tempfile
from dataclasses import dataclass
from pathlib import Path

import duckdb
import fuzz
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROWS = 120


@dataclass(frozen=True)
class Original:
    """An undamaged file, and what is in it."""

    name: str
    data: bytes
    options: dict
    texts: list
    groups: list  # first row, last row, and the bytes of each row group: start and stop

    @property
    def footer(self) -> tuple[int, int]:
        """Where the footer's metadata start and stop."""
        length = int.from_bytes(self.data[-8:-4], "little")
        return len(self.data) - 8 - length, len(self.data) - 8


def rows() -> dict:
    """Return columns whose every value says in which row it belongs."""
    texts = [f"row {row} says: {'dhātu ' * (row % 7)}{row * row}" for row in range(ROWS)]
    texts[5] = texts[77] = None
    return {
        "text": texts,
        "id": [10 * row for row in range(ROWS)],
        "lang": [("sa", "fr", None)[row % 3] for row in range(ROWS)],
        "nested": [{"x": row, "y": [str(row)] * (row % 3)} for row in range(ROWS)],
        "score": [row / 7 for row in range(ROWS)],
    }


def written(table: pa.Table, **options: object) -> bytes:
    """Return a table as Parquet."""
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=40, **options)
    return sink.getvalue()


def by_duckdb(table: pa.Table) -> bytes:
    """Return a table as DuckDB writes it."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "a.parquet")
        duckdb.from_arrow(table).write_parquet(str(path), row_group_size=2048)
        return path.read_bytes()


@functools.cache
def originals() -> list[Original]:
    """Return files of several writers and settings."""
    table = pa.table(rows())
    strict = pa.schema(
        [pa.field(f.name, f.type, nullable=f.name in ("text", "lang")) for f in table.schema]
    )
    long = pa.table({"text": [f"row {row} " + "x" * 4000 for row in range(ROWS)]})
    files = {
        "plain": written(table, compression="none", use_dictionary=False, data_page_size=256),
        "snappy": written(table),
        "checked": written(
            table, compression="zstd", write_page_checksum=True, write_page_index=True
        ),
        "v2": written(
            table.select(["text", "id"]),
            data_page_version="2.0",
            data_page_size=256,
            use_dictionary=False,
            column_encoding={"text": "DELTA_LENGTH_BYTE_ARRAY", "id": "DELTA_BINARY_PACKED"},
        ),
        "delta": written(
            table.select(["id", "text"]),
            use_dictionary=False,
            column_encoding={"text": "DELTA_BYTE_ARRAY", "id": "PLAIN"},
        ),
        "gzip": written(
            table.select(["id", "text", "lang"]),
            compression="gzip",
            version="1.0",
            store_schema=False,
            write_statistics=False,
        ),
        "strict": written(table.cast(strict), compression="lz4", data_page_size=512),
        "long": written(long, compression="none"),
        "duckdb": by_duckdb(table),
    }
    return [_original(name, data) for name, data in files.items()]


def _original(name: str, data: bytes) -> Original:
    file = pq.ParquetFile(io.BytesIO(data))
    groups, first = [], 0
    for number in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(number)
        starts, stops = [], []
        for leaf in range(group.num_columns):
            chunk = group.column(leaf)
            start = min(at for at in (chunk.dictionary_page_offset, chunk.data_page_offset) if at)
            starts.append(start)
            stops.append(start + chunk.total_compressed_size)
        groups.append((first, first + group.num_rows, min(starts), max(stops)))
        first += group.num_rows
    texts = file.read(columns=["text"]).column("text").to_pylist()
    options = {"keep": ["lang"]} if "lang" in file.schema_arrow.names else {}
    return Original(name, data, options, texts, groups)


# --- judging --------------------------------------------------------------------------------------


def judge(original: Original, data: bytes, outcome: fuzz.Outcome) -> str | None:
    """Return what is wrong with the outcome for a damaged file."""
    if outcome.refused is not None or outcome.problem is not None:
        if data == original.data:
            return f"undamaged, and {outcome.refused or outcome.problem}"
        return None  # listed with all its rows
    if len(outcome.texts) != len(original.texts):
        return f"{len(outcome.texts)} rows of {len(original.texts)}, and no problem"
    start, _ = original.footer
    footer_is_whole = data[start:] == original.data[start:]
    for first, stop, begin, end in original.groups:
        if data[begin:end] != original.data[begin:end]:
            continue
        for row in range(first, stop):
            read, expected = outcome.texts[row], original.texts[row]
            if read is not None and read != expected:
                return f"row {row} is {read!r:.80} and was {expected!r:.80}"
            if footer_is_whole and read is None and expected is not None:
                return f"row {row} is lost, of an undamaged row group: {outcome.reasons[row]}"
            if footer_is_whole and (wrong := _wrong_values(outcome, row)):
                return wrong
    return None


def _wrong_values(outcome: fuzz.Outcome, row: int) -> str | None:
    expected = {"id": 10 * row, "lang": ("sa", "fr", None)[row % 3]}
    for name, values in outcome.columns.items():
        if values[row] != expected[name]:
            return f"row {row} has the {name} {values[row]!r} and had {expected[name]!r}"
    return None


def case_of(original: Original, data: bytes, how: str) -> fuzz.Case:
    """Return the case of a damaged file."""
    return fuzz.Case(
        name="a.parquet",
        data=data,
        how=f"{original.name}: {how}",
        judge=functools.partial(judge, original, data),
        options=original.options,
    )


# --- mutations ------------------------------------------------------------------------------------


def damaged(chance: random.Random) -> fuzz.Case:
    """Return a file with damaged bytes: anywhere, in the footer, or numbers of the footer."""
    original = chance.choice(originals())
    where = chance.choice((_anywhere, _in_footer, _in_footer, _numbers, _numbers))
    data, how = where(original, chance)
    return case_of(original, data, how)


def _anywhere(original: Original, chance: random.Random) -> tuple[bytes, str]:
    other = chance.choice(originals()).data
    data, how = fuzz.mutated(original.data, chance, other)
    return data, how


def _in_footer(original: Original, chance: random.Random) -> tuple[bytes, str]:
    """Damage the footer, and keep its length right."""
    start, stop = original.footer
    theirs = chance.choice(originals())
    other = slice(*theirs.footer)
    footer, how = fuzz.mutated(original.data[start:stop], chance, theirs.data[other])
    return with_footer(original, footer), f"footer {how}"


def with_footer(original: Original, footer: bytes) -> bytes:
    """Return the file with another footer."""
    start, _ = original.footer
    return original.data[:start] + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def _numbers(original: Original, chance: random.Random) -> tuple[bytes, str]:
    """Replace one to three numbers of the footer by others, at the size they then have."""
    start, stop = original.footer
    footer = original.data[start:stop]
    done = []
    for _ in range(chance.choice((1, 1, 2, 3))):
        found = numbers(footer)
        begin, end, value = chance.choice(found)
        new = chance.choice(
            (
                0,
                1,
                -1,
                value + 1,
                value - 1,
                value * 2,
                -value,
                value ^ 1 << chance.randrange(32),
                chance.choice(found)[2],
                2**31 - 1,
                -(2**31),
                2**63 - 1,
                -(2**63),
                chance.getrandbits(20),
            )
        )
        new = max(-(2**63), min(2**63 - 1, new))
        footer = footer[:begin] + varint(new) + footer[end:]
        done.append(f"{value} at {begin} is {new}")
    return with_footer(original, footer), ", ".join(done)


def varint(value: int) -> bytes:
    """Return a number as Thrift's compact protocol writes it."""
    left, out = (value << 1 ^ value >> 63) & (2**64 - 1), bytearray()
    while left > 127:
        out.append(left & 127 | 128)
        left >>= 7
    return bytes([*out, left])


def numbers(footer: bytes) -> list[tuple[int, int, int]]:
    """Return start, stop and value of each number in a footer, as far as it can be read."""
    found: list[tuple[int, int, int]] = []

    def unsigned(at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            value |= (footer[at] & 127) << shift
            shift += 7
            at += 1
            if footer[at - 1] < 128:
                return value, at

    def value_of(kind: int, at: int, depth: int) -> int:
        if kind in (1, 2):
            return at
        if kind == 3:
            return at + 1
        if kind in (4, 5, 6):
            value, end = unsigned(at)
            found.append((at, end, value >> 1 ^ -(value & 1)))
            return end
        if kind == 7:
            return at + 8
        if kind == 8:
            length, at = unsigned(at)
            return at + length
        if kind in (9, 10):
            head, at = footer[at], at + 1
            count = head >> 4
            if count == 15:
                count, at = unsigned(at)
            for _ in range(min(count, len(footer))):
                at = value_of(3 if head & 15 in (1, 2) else head & 15, at, depth)
            return at
        if kind == 12 and depth < 50:
            while footer[at]:
                head, at = footer[at], at + 1
                if not head >> 4:
                    _, at = unsigned(at)
                at = value_of(head & 15, at, depth + 1)
            return at + 1
        raise IndexError(kind)

    try:
        value_of(12, 0, 0)
    except IndexError:
        pass
    return found or [(0, 1, 0)]


def flipped(chance: random.Random) -> fuzz.Case:
    """Return a file with a single bit of its footer flipped, at random."""
    original = chance.choice(originals())
    start, stop = original.footer
    return with_flip(original, chance.randrange(8 * start, 8 * stop))


def with_flip(original: Original, bit: int) -> fuzz.Case:
    """Return the case of one flipped bit of a file."""
    data = bytearray(original.data)
    data[bit // 8] ^= 1 << bit % 8
    return case_of(original, bytes(data), f"bit {bit}")


TARGETS = {"parquet": damaged, "parquet-flips": flipped}


# --- tests ----------------------------------------------------------------------------------------


def test_undamaged_files_pass(tmp_path):
    for original in originals():
        case = case_of(original, original.data, "nothing")
        path = tmp_path / f"{original.name}-{case.name}"
        path.write_bytes(case.data)

        assert fuzz.faults_of(case, path, random.Random(0)) is None, original.name


def test_the_same_seed_makes_the_same_case():
    first, again = (damaged(fuzz.chance_of("parquet", 0, 7)) for _ in range(2))

    assert (first.data, first.how) == (again.data, again.how)


@pytest.mark.soak("a minute of damaged files")
def test_damaged_files_end_nothing_and_lose_nothing():
    found, read = fuzz.findings("parquet", seconds=60)

    assert not found, "\n\n".join(map(str, found))
    assert read > 100
