"""Damaged Parquet files: no abort, no traceback, no hang, no lost row, no invented one."""

from __future__ import annotations

import functools
import io
import random
import tempfile
from dataclasses import dataclass
from pathlib import Path

import duckdb
import footers
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
        return footers.span(self.data)


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
    return footers.with_footer(original.data, footer), f"footer {how}"


def _numbers(original: Original, chance: random.Random) -> tuple[bytes, str]:
    """Replace one to three numbers of the footer by others, at the size they then have."""
    start, stop = original.footer
    footer = original.data[start:stop]
    done = []
    for _ in range(chance.choice((1, 1, 2, 3))):
        found = footers.numbers(footer) or [(0, 1, 0)]
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
        footer = footer[:begin] + footers.varint(new) + footer[end:]
        done.append(f"{value} at {begin} is {new}")
    return footers.with_footer(original.data, footer), ", ".join(done)


FLIPPED = ("gzip", "duckdb", "v2")


@functools.cache
def flips() -> list[tuple[Original, int]]:
    """Return every bit of three footers, their lengths and the magic bytes behind them."""
    return [
        (original, bit)
        for original in originals()
        if original.name in FLIPPED
        for bit in range(8 * original.footer[0], 8 * len(original.data))
    ]


def flipped(chance: random.Random) -> fuzz.Case:
    """Return a file with a single bit of its footer flipped; the number of the case says which."""
    original, bit = flips()[chance.number % len(flips())]
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


@pytest.mark.soak("reads twenty thousand files")
@pytest.mark.timeout(900)
def test_no_flipped_bit_of_a_footer_loses_or_invents_a_row():
    found, read = fuzz.findings("parquet-flips", cases=len(flips()))

    assert not found, "\n\n".join(map(str, found))
    assert read == len(flips())
