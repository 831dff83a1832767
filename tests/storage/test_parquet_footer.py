"""What a Parquet file says of itself is checked before it is believed."""

from __future__ import annotations

import base64
import io
import uuid

import footers
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest

from paninifs import open_corpus
from paninifs.storage.corpus.columns import own_columns
from paninifs.storage.corpus.opening import FileOpener
from paninifs.storage.corpus.reading import read_stretch, read_stretches
from paninifs.storage.errors import ColumnNotFound
from paninifs.storage.formats.decoding import StoredFile
from paninifs.storage.formats.parquet import decoder, footer, parquet, row_groups
from paninifs.storage.rows import Malformed
from paninifs.storage.rows import rows as storage_rows


def read(corpus):
    """Return the texts of a corpus, its other columns, and the reasons by row."""
    index = corpus.index
    texts, reasons = [], {}
    columns = {column.name: [] for column in index.selection.others}
    for _, row, rows in read_stretches(
        index.stretches(0, index.rows), corpus.opener, index.selection
    ):
        texts += rows.text.to_pylist()
        for name, values in rows.columns.items():
            columns[name] += values.to_pylist()
        for fault in rows.faults:
            reasons |= dict.fromkeys(range(row, row + fault.rows), fault.reason)
    return texts, columns, reasons


def written(table, **options):
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


# --- encrypted columns ----------------------------------------------------------------------------


class Keys(pe.KmsClient):
    def __init__(self, _):
        super().__init__()

    def wrap_key(self, key, _):
        return base64.b64encode(key)

    def unwrap_key(self, wrapped, _):
        return base64.b64decode(wrapped)


def write_encrypted(path, column):
    """Write a file of which one column is encrypted, and the footer is not."""
    settings = pe.EncryptionConfiguration(
        footer_key="f", column_keys={"k": [column]}, plaintext_footer=True
    )
    factory = pe.CryptoFactory(Keys)
    secret = factory.file_encryption_properties(pe.KmsConnectionConfig(), settings)
    table = pa.table({"text": ["un", "deux"], "id": ["x", "y"], "n": [1, 2]})
    with pq.ParquetWriter(path, table.schema, encryption_properties=secret) as writer:
        writer.write_table(table)


@pytest.mark.documented("encrypted")
@pytest.mark.parametrize("column", ["id", "n"])
def test_a_text_beside_an_encrypted_column_is_read(tmp_path, column):
    write_encrypted(tmp_path / "a.parquet", column)
    (tmp_path / "b.csv").write_text("id,text,n\nz,bon,3\n")

    texts, columns, reasons = read(corpus := open_corpus(tmp_path, keep=["n"]))

    remark = f"a.parquet: column '{column}' holds encrypted values; they are missing"
    assert corpus.index.notes == (remark,)
    assert texts == ["un", "deux", "bon"]
    assert columns[column] == [None, None, {"id": "z", "n": "3"}[column]]
    assert not reasons


@pytest.mark.documented("encrypted")
def test_an_encrypted_text_is_quarantined(tmp_path):
    write_encrypted(tmp_path / "a.parquet", "text")
    (tmp_path / "b.txt").write_text("bon\n")

    texts, _, reasons = read(corpus := open_corpus(tmp_path))

    assert texts == [None, None, "bon"]
    assert reasons[0] == "column 'text' holds encrypted values, not text"
    assert "its 2 rows are quarantined" in corpus.index.notes[0]


def test_the_columns_of_an_encrypted_file_are_found(tmp_path):
    write_encrypted(tmp_path / "a.parquet", "n")
    corpus = open_corpus(tmp_path)

    assert [column.name for column in own_columns(corpus.index, corpus.opener)] == ["n"]


# --- columns of bytes -----------------------------------------------------------------------------

BYTES = {
    "binary": pa.binary(),
    "large": pa.large_binary(),
    "fixed": pa.binary(2),
    "dictionary": pa.dictionary(pa.int8(), pa.binary()),
}


@pytest.mark.documented("binary-column")
@pytest.mark.parametrize("kind", BYTES)
@pytest.mark.parametrize("column", ["b", "id"])
def test_values_that_are_not_utf_8_are_noted_once_per_column(tmp_path, column, kind):
    values = pa.array([b"\x00\xff", b"ok"], pa.binary()).cast(BYTES[kind])
    for name in ("a.parquet", "b.parquet"):
        pq.write_table(pa.table({"text": ["un", "deux"], column: values}), tmp_path / name)

    _, columns, reasons = read(corpus := open_corpus(tmp_path, keep=[column]))

    assert columns[column] == [None, "ok"] * 2
    assert not reasons
    (note,) = corpus.index.notes
    assert note.startswith(f"a.parquet and 1 further files: column '{column}' holds binary; ")
    assert note.endswith("values that are not UTF-8 are missing")


def test_bytes_that_nobody_asked_for_are_no_matter(tmp_path):
    table = pa.table({"text": [b"un"], "b": [b"\xff"], "u": pa.array([b"1" * 16], pa.uuid())})
    pq.write_table(table, tmp_path / "a.parquet")

    assert open_corpus(tmp_path, keep=["u"]).index.notes == ()


# --- counts that contradict one another -----------------------------------------------------------

GROUPS = {"text": [f"row {row}" for row in range(50)], "n": list(range(50))}


@pytest.mark.documented("contradictory-footer")
@pytest.mark.parametrize("old", [50, 37, 13], ids=["of the file", "of a row group", "of another"])
@pytest.mark.parametrize("new", [-7, 1, 21, 38, 2**40, 2**63 - 1])
def test_a_footer_with_a_wrong_count_is_listed(tmp_path, old, new):
    data = written(pa.table(GROUPS), row_group_size=37)
    (tmp_path / "a.parquet").write_bytes(footers.with_numbers(data, old, new))
    (tmp_path / "b.txt").write_text("bon\n")

    texts, _, _ = read(corpus := open_corpus(tmp_path))

    assert texts == ["bon"]
    assert "not readable as parquet: damaged footer" in corpus.index.files[0].problem


def test_a_file_that_leaves_its_rows_at_zero_is_read(tmp_path):
    data = written(pa.table(GROUPS), row_group_size=37)
    (tmp_path / "a.parquet").write_bytes(footers.with_numbers(data, 50, 0))

    assert read(open_corpus(tmp_path))[0] == GROUPS["text"]


def test_a_footer_with_absurd_counts_is_listed(tmp_path):
    data = written(pa.table({"text": pa.array(["same"] * 777)}))
    (tmp_path / "a.parquet").write_bytes(footers.with_numbers(data, 777, 2**45))
    (tmp_path / "b.txt").write_text("bon\n")

    corpus = open_corpus(tmp_path)

    assert read(corpus)[0] == ["bon"]
    assert f"{2**45} rows in" in corpus.index.files[0].problem


def test_columns_that_overlap_are_not_believed(tmp_path):
    data = written(pa.table(GROUPS), compression="none", use_dictionary=False)
    at = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(1).data_page_offset
    (tmp_path / "a.parquet").write_bytes(footers.with_numbers(data, at, at - 16))
    (tmp_path / "b.txt").write_text("bon\n")

    texts, _, reasons = read(open_corpus(tmp_path))

    assert texts == [None] * 50 + ["bon"]
    assert reasons[0] == "column 'text' holds values with a wrong description, not text"


@pytest.mark.documented("value-beside-text")
def test_a_wrong_description_of_a_column_costs_its_values(tmp_path):
    data = written(pa.table(GROUPS), compression="zstd")
    size = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(1).total_compressed_size
    (tmp_path / "a.parquet").write_bytes(footers.with_numbers(data, size, size + 9999))

    texts, others, reasons = read(open_corpus(tmp_path, keep=["n"]))

    assert (texts, others["n"]) == (GROUPS["text"], [None] * 50)
    assert not reasons


def test_a_wrong_description_costs_its_row_group_alone(tmp_path):
    data = written(pa.table({"text": GROUPS["text"]}), row_group_size=25, compression="none")
    chunk = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(1).column(0)
    size = chunk.total_compressed_size
    (tmp_path / "a.parquet").write_bytes(footers.with_numbers(data, size, size + 9999))

    texts, _, reasons = read(open_corpus(tmp_path))

    assert texts == GROUPS["text"][:25] + [None] * 25
    assert reasons[25] == "cannot decode: values with a wrong description"


# --- names ----------------------------------------------------------------------------------------


def doubled(**columns):
    names = [name.rstrip("_") for name in columns]
    return pa.Table.from_arrays([pa.array(values) for values in columns.values()], names=names)


@pytest.mark.documented("doubled-name")
@pytest.mark.parametrize("name", ["text", "id", "lang"])
def test_the_first_of_two_columns_of_one_name_is_read(tmp_path, name):
    columns = {"text": ["un", "deux"], "id": ["x", "y"], "lang": ["fr", "sa"]}
    pq.write_table(doubled(**columns, **{f"{name}_": ["p", "q"]}), tmp_path / "a.parquet")

    texts, others, _ = read(corpus := open_corpus(tmp_path, keep=["lang"]))

    assert {"text": texts, **others} == columns
    assert corpus.index.notes == (
        f"a.parquet: several columns are called '{name}'; the first is read",
    )
    assert f"{name}_1" in [column.name for column in own_columns(corpus.index, corpus.opener)]


def test_a_doubled_name_that_nobody_asked_for_is_no_matter(tmp_path):
    pq.write_table(doubled(text=["un"], a=[1], a_=[2], a__=[3]), tmp_path / "a.parquet")

    texts, others, _ = read(corpus := open_corpus(tmp_path, keep=["a_2"]))

    assert (texts, others) == (["un"], {"a_2": [3]})
    assert not corpus.index.notes


@pytest.mark.documented("doubled-name")
def test_the_first_leaf_of_a_doubled_name_is_read(tmp_path):
    fields = [pa.array(["un", "deux"]), pa.array(["x", "y"]), pa.array(["p", "q"])]
    nested = pa.StructArray.from_arrays(fields, names=["fr", "fr", "sa"])
    pq.write_table(pa.table({"t": nested}), tmp_path / "a.parquet")

    texts, others, _ = read(open_corpus(tmp_path, text="t.fr", keep=["t.fr_1", "t.sa"]))

    assert texts == ["un", "deux"]
    assert others == {"t.fr_1": ["x", "y"], "t.sa": ["p", "q"]}


@pytest.mark.documented("name-not-utf-8")
def test_a_name_that_is_not_utf_8_costs_nothing(tmp_path):
    data = written(pa.table({"text": ["un"], "prXnom": ["Anne"], "n": [1]}))
    start, stop = footers.span(data)
    odd = data[start:stop].replace(b"prXnom", b"pr\xe9nom")
    (tmp_path / "a.parquet").write_bytes(footers.with_footer(data, odd))

    texts, others, _ = read(corpus := open_corpus(tmp_path, keep=["pr\ufffdnom", "n"]))

    assert (texts, others) == (["un"], {"pr\ufffdnom": ["Anne"], "n": [1]})
    assert [c.name for c in own_columns(corpus.index, corpus.opener)] == ["pr\ufffdnom", "n"]


# --- values beside the text -----------------------------------------------------------------------


@pytest.mark.documented("value-beside-text")
@pytest.mark.parametrize("zone", ["Z", "PST", "GMT+1", "/etc/localtime", "dateutil//x", "UTC"])
@pytest.mark.parametrize("role", ["id", "keep"])
def test_a_time_of_an_unknown_zone_is_kept_in_utc(tmp_path, zone, role):
    days = pa.array([0, None, 1_500_000], pa.timestamp("us", tz=zone))
    pq.write_table(pa.table({"text": ["un", "deux", "trois"], "d": days}), tmp_path / "a.parquet")

    texts, others, _ = read(open_corpus(tmp_path, **{role: "d" if role == "id" else ["d"]}))

    assert texts == ["un", "deux", "trois"]
    assert others["d"] == ["1970-01-01 00:00:00.000000Z", None, "1970-01-01 00:00:01.500000Z"]


@pytest.mark.documented("value-beside-text")
def test_a_damaged_column_costs_its_own_values_alone(tmp_path):
    table = pa.table(
        {
            "text": [f"text {row}" for row in range(3000)],
            "lang": [f"lang {row}" for row in range(3000)],
            "n": list(range(3000)),
        }
    )
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, row_group_size=1000, use_dictionary=False)
    chunk = pq.ParquetFile(path).metadata.row_group(1).column(1)
    data = bytearray(path.read_bytes())
    data[chunk.data_page_offset : chunk.data_page_offset + 60] = b"\xff" * 60
    path.write_bytes(data)

    texts, others, reasons = read(open_corpus(tmp_path, keep=["lang", "n"]))

    assert texts == table["text"].to_pylist()
    assert others["n"] == table["n"].to_pylist()
    assert others["lang"][1000:2000] == [None] * 1000
    assert others["lang"][2000:] == table["lang"].to_pylist()[2000:]
    assert not reasons


def test_values_that_cannot_be_represented_are_missing(tmp_path):
    times = pa.array([[0], [2**60]], pa.list_(pa.timestamp("ms")))
    pq.write_table(pa.table({"text": ["un", "deux"], "times": times}), tmp_path / "a.parquet")
    index = (corpus := open_corpus(tmp_path)).index
    selection = storage_rows.ColumnSelection("text", own_columns(index, corpus.opener))

    (rows,) = read_stretch(index.stretches(0, 2)[0], corpus.opener, selection)

    assert rows.text.to_pylist() == ["un", "deux"]
    assert rows.columns["times"].to_pylist() == ['["1970-01-01 00:00:00"]', None]


# --- types ----------------------------------------------------------------------------------------

U1, U2 = uuid.UUID(int=1), uuid.UUID(int=2**127 + 5)


@pytest.mark.skipif(not hasattr(pa, "uuid"), reason="this pyarrow has no UUID")
@pytest.mark.parametrize("role", ["text", "id", "keep"])
def test_a_uuid_is_read_as_its_36_characters(tmp_path, role):
    values = pa.array([U1.bytes, U2.bytes, None], pa.uuid())
    table = pa.table({"text": ["un", "deux", "trois"], "u": values})
    pq.write_table(table, tmp_path / "a.parquet")

    texts, others, _ = read(open_corpus(tmp_path, **{role: ["u"] if role == "keep" else "u"}))

    assert {"u": texts, **others}["u"] == [str(U1), str(U2), None]


@pytest.mark.skipif(not hasattr(pa, "json_"), reason="this pyarrow has no JSON")
@pytest.mark.parametrize("role", ["text", "id", "keep"])
def test_json_is_read_as_it_is_written(tmp_path, role):
    values = pa.array(['{"a": 1}', "[]", None], pa.json_())
    table = pa.table({"text": ["un", "deux", "trois"], "j": values})
    pq.write_table(table, tmp_path / "a.parquet")

    texts, others, _ = read(open_corpus(tmp_path, **{role: ["j"] if role == "keep" else "j"}))

    assert {"j": texts, **others}["j"] == ['{"a": 1}', "[]", None]


UNFIT = {
    "struct": pa.array([{"a": 1}, None]),
    "list": pa.array([[1], []]),
    "map": pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64())),
}


@pytest.mark.documented("id-kinds")
@pytest.mark.parametrize("kind", UNFIT)
def test_an_unasked_id_that_cannot_be_stored_is_left_out(tmp_path, kind):
    pq.write_table(pa.table({"text": ["un", "deux"], "id": UNFIT[kind]}), tmp_path / "a.parquet")

    corpus = open_corpus(tmp_path)

    assert corpus.index.id is None
    assert read(corpus)[0] == ["un", "deux"]
    assert "cannot be stored; a text's id is its row number" in corpus.index.notes[0]
    assert "id" in [column.name for column in own_columns(corpus.index, corpus.opener)] or (
        kind == "struct"
    )


@pytest.mark.documented("id-kinds")
def test_a_named_id_that_cannot_be_stored_is_refused(tmp_path):
    pq.write_table(pa.table({"text": ["un"], "id": [[1]]}), tmp_path / "a.parquet")

    with pytest.raises(ColumnNotFound, match=r"column 'id' holds list<.*, which cannot be stored"):
        _ = open_corpus(tmp_path, id="id").index


# --- long texts that a dictionary repeats ---------------------------------------------------------


def rows_of_batches(path):
    index = (corpus := open_corpus(path)).index
    (stretch,) = index.stretches(0, index.rows)
    return [rows.text for rows in read_stretch(stretch, corpus.opener, index.selection)]


LONG = [letter * 3_000 for letter in "abc"]
REPEATED = {
    "string": pa.array(LONG * 200),
    "dictionary": pa.array(LONG * 200).dictionary_encode(),
    "large_string": pa.array(LONG * 200, pa.large_string()),
}


@pytest.mark.documented("repeated-text")
@pytest.mark.parametrize("kind", REPEATED)
@pytest.mark.parametrize("known", [True, False], ids=["sizes are known", "sizes are unknown"])
@pytest.mark.parametrize("few", [1, 1000], ids=["in small batches", "in a dictionary"])
def test_repeated_texts_come_in_batches_of_decoded_size(tmp_path, monkeypatch, kind, known, few):
    monkeypatch.setattr(decoder, "BATCH_BYTES", 100_000)
    monkeypatch.setattr(decoder, "_FEW_ROWS", few)
    if not known:
        chunk = row_groups._chunk
        monkeypatch.setattr(
            row_groups, "_chunk", lambda *about: chunk(*about)._replace(decoded=None)
        )
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": REPEATED[kind]}), path)

    batches = rows_of_batches(path)

    assert [text for batch in batches for text in batch.to_pylist()] == LONG * 200
    assert max(batch.nbytes for batch in batches) < 4.1 * 100_000


# --- the footer is read once ----------------------------------------------------------------------


def test_a_process_reads_a_footer_once(tmp_path, monkeypatch):
    pq.write_table(pa.table(GROUPS), tmp_path / "a.parquet", row_group_size=5)
    index = (corpus := open_corpus(tmp_path)).index
    footers_read = []
    original = footer.read_footer
    monkeypatch.setattr(
        footer, "read_footer", lambda stored: footers_read.append(stored) or original(stored)
    )

    for start in range(0, 50, 5):
        for stretch in index.stretches(start, start + 5):
            assert sum(map(len, read_stretch(stretch, corpus.opener, index.selection))) == 5

    assert not footers_read  # the index has read it


def test_only_recent_footers_are_kept(tmp_path, monkeypatch):
    recent = footer._RecentFooters()
    monkeypatch.setattr(footer, "_recent", recent)
    monkeypatch.setattr(footer, "_KEPT_BYTES", 1500)
    for name in "abcdefgh":
        pq.write_table(pa.table(GROUPS), tmp_path / f"{name}.parquet")
    corpus = open_corpus(tmp_path)

    for file in corpus.files:
        parquet.columns(file, corpus.opener)

    assert 0 < len(recent._footers) < 8
    assert list(recent._footers)[-1] == corpus.files[-1]


def test_a_file_without_a_version_is_read_again(tmp_path, monkeypatch):
    recent = footer._RecentFooters()
    monkeypatch.setattr(footer, "_recent", recent)
    pq.write_table(pa.table(GROUPS), tmp_path / "a.parquet")
    file = storage_rows.SourceFile(
        url=str(tmp_path / "a.parquet"),
        name="a.parquet",
        size=(tmp_path / "a.parquet").stat().st_size,
        version="",
        format="parquet",
        compression=None,
    )

    parquet.columns(file, FileOpener())

    assert not recent._footers


# --- what a decoder raises ------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyError, OverflowError, MemoryError, RecursionError])
def test_whatever_a_decoder_raises_is_about_its_file(tmp_path, monkeypatch, error):
    pq.write_table(pa.table({"text": ["un"]}), tmp_path / "a.parquet")
    (tmp_path / "b.txt").write_text("bon\n")

    def fails(*_, **__):
        raise error("odd")

    monkeypatch.setattr(pq, "ParquetFile", fails)

    texts, _, _ = read(corpus := open_corpus(tmp_path))

    assert texts == ["bon"]
    assert f"no footer: {error.__name__}" in corpus.index.files[0].problem


def test_an_error_of_the_storage_is_no_damage():
    class Failing(io.BytesIO):
        def read(self, *_):
            raise ConnectionResetError("gone")

    stored = StoredFile(Failing())
    with pytest.raises(ConnectionResetError), stored.decoding("no footer"):
        stored.read(1)
    sound = StoredFile(io.BytesIO())
    with pytest.raises(Malformed, match="no footer: KeyError: 'x'"), sound.decoding("no footer"):
        raise KeyError("x")
