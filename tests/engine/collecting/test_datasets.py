"""Data sets laid out like those of the Hub: their files, and rows that are not texts."""

from __future__ import annotations

import asyncio
import gzip
import json
from importlib import util
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bulk_files import items_of, pages_of, reasons_of

from paninifs.engine.collecting.outcome import NotKept
from paninifs.engine.collecting.sources.bulk import table_rows
from paninifs.engine.collecting.sources.hugging_face import HuggingFaceDataset
from paninifs.storage.errors import (
    BackendUnavailable,
    ColumnNotFound,
    CorpusChanged,
    CorpusNotFound,
    UsageError,
)


def put(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"text": text}) + "\n")


def texts(folder: Path, *args, **settings) -> list[str | None]:
    source = HuggingFaceDataset("owner/name", *args, base=str(folder), **settings)
    return [item.text for item in items_of(source)]


def test_files_are_chosen_by_configuration_and_split(tmp_path):
    put(
        tmp_path,
        fr__train_dot_jsonl="fr",
        en__train_dot_jsonl="en",
        en__test_dot_jsonl="en test",
        es__train__part_dot_jsonl="es",
        constrain_dot_jsonl="not a split",
        README_dot_md="not data",
    )
    assert texts(tmp_path) == ["en", "es", "fr"]
    assert texts(tmp_path, "en") == ["en"]
    assert texts(tmp_path, "en", "test") == ["en test"]
    assert texts(tmp_path, files="**/train*.jsonl") == ["en", "fr"]
    with pytest.raises(CorpusNotFound, match=r"no Parquet.*'validation'.*en/test.jsonl"):
        texts(tmp_path, split="validation")


def test_columns_become_the_facts_of_an_item(tmp_path):
    row = {
        "body": "un texte",
        "n": 7,
        "t": "Titre",
        "l": "fr",
        "c": "CC0-1.0",
        "u": "http://h.example/",
        "a": ["x"],
    }
    (tmp_path / "train.jsonl").write_text(json.dumps(row))
    columns = {"id": "n", "title": "t", "lang": "l", "licence": "c", "url": "u"}
    (item,) = items_of(
        HuggingFaceDataset(
            "owner/name",
            text_column="body",
            columns=columns,
            extra_columns=["a", "n"],
            base=str(tmp_path),
            licence="MIT",
        )
    )
    assert (item.key, item.text, item.title, item.lang) == ("7", "un texte", "Titre", "fr")
    assert (item.licence, item.url) == ("CC0-1.0", "http://h.example/")
    assert item.extra == {"a": "['x']", "n": "7"}


def test_rows_that_are_no_texts_end_in_a_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(table_rows, "LINE_BYTES", 1000)
    lines = [
        b'{"text": "a"}', b'{"text": null}', b'{"other": 1}', b'{"text": 1}',
        b'{"text": "\\ud800"}', b"[1]", b"{", b"[" * 900, b'{"text": "' + b"x" * 5000 + b'"}',
        b"\xff", b"", b'{"text": "b"}',
    ]  # fmt: skip
    (tmp_path / "train.jsonl").write_bytes(b"\n".join(lines))
    items = items_of(HuggingFaceDataset("owner/name", base=str(tmp_path)))
    assert reasons_of(items) == [
        "", "no-text", "no-text", "bad-record", "bad-record",
        "bad-record", "bad-record", "bad-record", "too-large", "bad-record", "",
    ]  # fmt: skip
    assert items[0].key == "train.jsonl:0"
    assert items[-1].key == "train.jsonl:10"


@pytest.mark.parametrize("ending", ["parquet", "jsonl", "jsonl.gz", "jsonl.zst", "jsonl.bz2"])
def test_every_format_is_read_from_any_row(tmp_path, ending, monkeypatch):
    monkeypatch.setattr("paninifs.engine.collecting.sources.bulk.paging.PAGE_ITEMS", 7)
    rows = [f"texte {n}" for n in range(50)]
    path = tmp_path / f"train.{ending}"
    if ending == "parquet":
        pq.write_table(pa.table({"text": rows}), path, row_group_size=20)
    else:
        packing = {"gz": "gzip", "zst": "zstd", "bz2": "bz2"}.get(path.suffix[1:])
        with pa.output_stream(path, compression=packing) as stream:
            stream.write("".join(json.dumps({"text": row}) + "\n" for row in rows).encode())
    source = HuggingFaceDataset("owner/name", base=str(tmp_path))
    pages = pages_of(source)
    assert [item.text for page in pages for item in page.items] == rows
    for index, page in enumerate(pages):
        assert pages_of(source, page.cursor) == pages[index + 1 :]


def test_damaged_files_stop_the_listing_and_say_which(tmp_path):
    packed = gzip.compress(json.dumps({"text": "a" * 5000}).encode() * 100)
    (tmp_path / "train.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(NotKept, match=r"train\.jsonl\.gz"):
        items_of(HuggingFaceDataset("owner/name", base=str(tmp_path)))
    (tmp_path / "train.jsonl.gz").unlink()
    (tmp_path / "train.parquet").write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(NotKept, match=r"train\.parquet"):
        items_of(HuggingFaceDataset("owner/name", base=str(tmp_path)))


def test_what_is_missing_is_named(tmp_path):
    pq.write_table(pa.table({"body": ["a"]}), tmp_path / "train.parquet")
    with pytest.raises(ColumnNotFound, match=r"no column text; it has body"):
        items_of(HuggingFaceDataset("owner/name", base=str(tmp_path)))
    with pytest.raises(UsageError, match="choose from"):
        HuggingFaceDataset("owner/name", columns={"author": "a"})
    for name in ("../x", "a/b/c", "", "a b"):
        with pytest.raises(UsageError, match="owner/name"):
            HuggingFaceDataset(name)


def test_a_data_set_with_other_files_is_not_resumed(tmp_path):
    put(tmp_path, train_dot_jsonl="a")
    source = HuggingFaceDataset("owner/name", base=str(tmp_path))
    (page,) = pages_of(source)
    put(tmp_path, train_2_dot_jsonl="b")
    with pytest.raises(CorpusChanged, match="began with 1"):
        pages_of(source, page.cursor)


@pytest.mark.skipif(util.find_spec("huggingface_hub") is not None, reason="it is installed")
def test_the_hub_needs_its_package():
    async def read() -> None:
        async for _ in HuggingFaceDataset("owner/name").pages(None, None):
            pass

    with pytest.raises(BackendUnavailable, match="pip install huggingface_hub"):
        asyncio.run(read())


def test_any_filesystem_will_do():
    fs = fsspec.filesystem("memory")
    fs.pipe("/set/data/train-0.jsonl", b'{"text": "a"}\n{"text": "b"}\n')
    assert texts("memory://set") == ["a", "b"]
