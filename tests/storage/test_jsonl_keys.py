"""Which keys JSON Lines have: a peek at the first records is no schema."""

from __future__ import annotations

import json
import random
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from paninifs import open_corpus
from paninifs.storage.corpus.columns import own_columns
from paninifs.storage.corpus.reading import read_stretches
from paninifs.storage.errors import ColumnNotFound
from paninifs.storage.formats import jsonl_keys
from paninifs.storage.formats.jsonl_keys import PEEK_RECORDS, KeySearch, parsed

SOUGHT = ("text", "id", "a/b", "clé", "🐉", 'say "x"', "back\\slash", "")


def written(*records):
    return "".join(r if isinstance(r, str) else json.dumps(r) + "\n" for r in records)


def read(path, **options):
    """Return texts, columns and reasons of a corpus."""
    corpus = open_corpus(path, **options)
    index = corpus.index
    texts, columns, reasons = [], {}, {}
    stretches = index.stretches(0, index.rows)
    for _, _, rows in read_stretches(stretches, corpus.opener, index.selection):
        reasons |= {len(texts) + fault.row - rows.start: fault.reason for fault in rows.faults}
        texts += rows.text.to_pylist()
        for name, values in rows.columns.items():
            columns.setdefault(name, []).extend(values.to_pylist())
    return texts, columns, reasons


# --- whole corpora --------------------------------------------------------------------------------


@pytest.mark.documented("late-key")
def test_a_late_text_is_read(tmp_path):
    (tmp_path / "a.jsonl").write_text(written(*({"meta": i} for i in range(150)), {"text": "un"}))
    texts, _, reasons = read(tmp_path)
    assert texts == [None] * 150 + ["un"]
    assert set(reasons.values()) == {"no 'text' (the record has: meta)"}


def test_a_late_id_and_a_late_kept_column_are_read(tmp_path):
    late = {"text": "un", "id": "zz", "lang": "fr"}
    (tmp_path / "a.jsonl").write_text(written(*({"text": f"t{i}"} for i in range(150)), late))
    texts, columns, reasons = read(tmp_path, keep=["lang"])
    assert (texts[-1], reasons) == ("un", {})
    assert columns == {"id": [None] * 150 + ["zz"], "lang": [None] * 150 + ["fr"]}
    corpus = open_corpus(tmp_path, keep=["lang"])
    assert [column.name for column in own_columns(corpus.index, corpus.opener)] == ["lang"]


@pytest.mark.parametrize("size", [9_000_000, 20_000_000])
@pytest.mark.slow("parses a record of 20 MB")
def test_a_long_first_record_is_read(tmp_path, size):
    (tmp_path / "a.jsonl").write_text(written({"text": "x" * size, "id": 7}, {"text": "deux"}))
    texts, columns, _ = read(tmp_path)
    assert [len(text) for text in texts] == [size, 4]
    assert columns == {"id": ["7", None]}


def test_bad_lines_before_the_first_good_one_are_rows(tmp_path):
    (tmp_path / "a.jsonl").write_text(written(*(f"INFO {i}\n" for i in range(120)), {"text": "un"}))
    texts, _, reasons = read(tmp_path)
    assert texts == [None] * 120 + ["un"]
    assert all(reason.startswith("not JSON: ") for reason in reasons.values())


@pytest.mark.parametrize("options", [{"text": "txet"}, {"id": "key"}, {"keep": ["lang"]}])
def test_a_key_that_no_record_has_is_still_refused(tmp_path, options):
    nested = {"text": "the key, the lang, the txet", "more": {"txet": 1, "key": 2, "lang": 3}}
    (tmp_path / "a.jsonl").write_text(written(*([{"text": '"lang": 1'}, nested] * 100)))
    with pytest.raises(ColumnNotFound, match="the columns there are: more, text"):
        open_corpus(tmp_path, **options).index  # noqa: B018


def test_nested_ids_are_no_ids(tmp_path):
    record = {"text": "un", "user": {"id": 7}, "more": [{"x": 1, "id": 8}], "note": '"id": 9'}
    (tmp_path / "a.jsonl").write_text(written(*[record] * 300))
    assert open_corpus(tmp_path).index.id is None


def test_why_no_record_has_a_key_is_told(tmp_path):
    (tmp_path / "a.jsonl").write_text("id,text\n1,un\n")
    with pytest.raises(ColumnNotFound, match=r"none; a\.jsonl, row 0: not JSON: Expecting value"):
        open_corpus(tmp_path).index  # noqa: B018


def test_a_key_with_half_a_surrogate_pair_costs_one_row(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"\\ud800k": 1}\n{"text": "un", "\\udfff": 2}\n')
    texts, _, reasons = read(tmp_path)
    assert texts == [None, "un"]
    assert reasons == {0: r"no 'text' (the record has: '\ud800k')"}


# --- the search itself ----------------------------------------------------------------------------


def searched(data: bytes, names=SOUGHT, size: int = 1 << 20) -> KeySearch:
    search = KeySearch(names)
    blocks = [data[at : at + size] for at in range(0, len(data), size)]
    assert list(search.watch(blocks)) == blocks
    return search


def expected(data: bytes, names) -> dict[str, str]:
    """What parsing every line finds."""
    lines = [line for line in data.split(b"\n") if line not in (b"", b"\r")]
    records = [parsed(line) for line in lines]
    first = {key for r in records[:PEEK_RECORDS] if isinstance(r, dict) for key in r}
    late = {key for r in records if isinstance(r, dict) for key in r if key in names}
    return dict.fromkeys(first | late, "string")


KEYS = st.sampled_from([*SOUGHT, "other", "\ud800"])
VALUES = st.recursive(
    st.none() | st.integers() | st.sampled_from([*SOUGHT, '"id": 1', "{", "}, {", "\\", "\n"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=2),
    max_leaves=4,
)


@st.composite
def lines(draw):
    record = draw(st.dictionaries(KEYS, VALUES, max_size=3))
    spaced = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", "\t :  ")]))
    line = json.dumps(record, separators=spaced, ensure_ascii=draw(st.booleans()))
    cut = draw(st.none() | st.integers(0, 9))
    line = line if cut is None else draw(st.sampled_from([line[cut:], line[:-cut], ""]))
    ending = draw(st.sampled_from(["\n", "\r\n"]))
    return (line + ending).encode("utf-8", "surrogatepass")


@given(
    st.lists(lines(), max_size=9),
    st.integers(1, 60),
    st.integers(0, 4),
)
@example([b'{"te\\u0078t": 1}\n'], 1, 0)
@example([b'{"cl\\u00E9": 1}\n'], 3, 0)
@example([b'{"a\\/b": 1}\n'], 3, 0)
@example([b'{"\\uD83d\\uDC09": 1}\n'], 3, 0)
@example([b'  {   "id"\t\t:1}'], 3, 0)
@example([b'{"x": {"id": 1}, "id": 2}\n'], 60, 0)
def test_the_search_finds_what_parsing_every_line_finds(given_lines, size, peek):
    data = b"".join(given_lines)
    with pytest.MonkeyPatch.context() as patch:
        for module in (jsonl_keys, sys.modules[__name__]):
            patch.setattr(module, "PEEK_RECORDS", peek)
        assert searched(data, size=size).columns == expected(data, SOUGHT)


@pytest.mark.parametrize("size", [1, 7, 100, 1000])
def test_a_line_too_long_to_parse_is_searched_by_spelling(monkeypatch, size):
    monkeypatch.setattr(jsonl_keys, "LONGEST_PARSED", 300)
    long = b'{"text": "%s", "id": 1, "x": {"a/b": 2}}\n' % (b"y" * 2000)
    data = long + b'{"other": 1}\n'
    assert searched(data, size=size).columns.keys() == {"text", "id", "other"}
    assert searched(b'{"other": 1}\n' * 200 + long, size=size).columns.keys() > {"text", "id"}
    values = b'{"other": "%s", "x": ["text", "id"]}' % (b"y" * 2000)
    assert not searched(values, size=size).columns.keys() & {"text", "id"}


def test_a_long_line_is_not_held(monkeypatch):
    monkeypatch.setattr(jsonl_keys, "LONGEST_PARSED", 1000)
    search = KeySearch(["text"])
    for _ in search.watch([b"y" * 100] * 1000):
        assert sum(map(len, search._begun)) <= 1100


def test_what_is_known_is_not_searched_for():
    search = searched(b'{"text": 1, "id": 2}\n' * 200, ["text", "id"])
    assert search.columns.keys() == {"text", "id"}
    assert not search._missing


def test_random_files_are_searched_alike_however_they_are_cut():
    chance = random.Random(0)
    pool = [json.dumps({"x": {"id": 1}}), json.dumps({"t": '"id":'}), '{"id": 1', "", "7", "[]"]
    for _ in range(50):
        rows = [chance.choice(pool) for _ in range(chance.randrange(300))]
        rows += [json.dumps({"x": 1, "id": 2})] * chance.randrange(2)
        data = "\n".join(rows).encode()
        found = {tuple(searched(data, ["id"], size).columns) for size in (1 << 20, 64, 999)}
        assert len(found) == 1
        assert {"id"} & set(*found) == {"id"} & expected(data, ["id"]).keys()
