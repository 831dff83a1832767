"""`open_corpus` with arguments that are no locations, and no names: each has its own sentence."""

from __future__ import annotations

import datetime as dt
import io
import types

import numpy as np
import pandas as pd
import pytest

from paninifs import open_corpus
from paninifs.storage.errors import ColumnNotFound, CorpusNotFound, UsageError

TEXTS = ["Le chat dort sur le lit.", "Il pleut."]
FRAME = pd.DataFrame({"text": TEXTS})


def stand_in(module, name, *bases, given=()):
    """An object of a class that says it is of a package, which need not be installed."""
    return type(name, bases or (object,), {"__module__": module})(*given)


OTHERS = {
    "dask bag": (stand_in("dask.bag.core", "Bag"), r"open_corpus\(bag\.to_dataframe\(\)\)"),
    "dict": ({"text": "un"}, r"not a dict; .* open_corpus\(\{'text': \[\.\.\.\]\}\)"),
    "splits": (
        stand_in("datasets.dataset_dict", "DatasetDict", dict, given=[{"train": TEXTS}]),
        r"open_corpus\(datasets\['train'\]\)",
    ),
    "stream": (stand_in("datasets.iterable_dataset", "IterableDataset"), "from_list"),
    "text file": (io.StringIO("un"), "not a StringIO; open_corpus\\(texts="),
    "None": (None, r"needs files or data, not None; open_corpus\(texts="),
    "int": (7, "needs files or data, not 7; "),
    "bool": (True, "needs files or data, not True; "),
    "bytes": (b"a.txt", r"not a bytes; .*os\.fsdecode"),
    "class": (types.SimpleNamespace(), r"not a types SimpleNamespace; open_corpus\(texts="),
    "records": (["a.txt", {"text": "un"}], r"item 1 is a dict; a dict of columns"),
    "frames": (["a.txt", FRAME], "item 1 is a pandas DataFrame; corpus = "),
    "numbers": (np.arange(3), "item 0 is a numpy int64; "),
    "none in a list": ([None], "item 0 is None; "),
    "generator": ((n for n in range(3)), "item 0 is 0; "),
    "date": (dt.date(2026, 1, 1), "not a datetime date; "),
}


@pytest.mark.parametrize("what", OTHERS)
def test_what_is_no_location_is_named_with_the_way_that_works(what):
    given, words = OTHERS[what]
    with pytest.raises(UsageError, match=words) as refused:
        open_corpus(given)
    assert str(refused.value).startswith("open_corpus needs ")
    assert len(str(refused.value)) < 400


def test_an_open_file_is_told_by_its_path(tmp_path):
    (tmp_path / "a.txt").write_text("un\n")
    with (tmp_path / "a.txt").open() as file, pytest.raises(UsageError, match=r"open_corpus\('.*a"):
        open_corpus(file)


@pytest.mark.parametrize(
    "given", [TEXTS[0], ("one " * 9,) * 2 + ("a.txt",), "a\0\n", ["Il pleut."]]
)
def test_texts_in_place_of_files_are_told_so(given):
    with pytest.raises(
        CorpusNotFound, match=r"open_corpus\(texts=\['\.\.\.', '\.\.\.'\]\)$"
    ) as told:
        open_corpus(given)
    assert len(str(told.value)) < 600


def test_what_the_advice_says_works():
    assert open_corpus(texts=TEXTS).index.rows == 2
    assert open_corpus({"text": TEXTS}).index.rows == 2


def test_paths_of_any_kind_are_locations(tmp_path):
    (tmp_path / "a.txt").write_text("un\n")
    (tmp_path / "b.txt").write_text("deux\n")
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    given = (
        tuple(paths),
        iter(paths),
        np.array(list(map(str, paths))),
        dict.fromkeys(paths).keys(),
    )
    for one in given:
        assert [file.name for file in open_corpus(one).files] == ["a.txt", "b.txt"]


ARGUMENTS = [
    ({"text": ["quote"]}, r"text must be the name of a column \(text='quote'\), not a list"),
    ({"text": None}, r"text must be the name of a column \(text='text'\), not None"),
    ({"text": 0}, "not 0"),
    ({"id": ["key"]}, r"id must be the name of a column \(id='key'\), not a list"),
    ({"id": True}, "id must be .* not True"),
    ({"keep": "lang"}, r"keep must be a list of columns, not a string: keep=\['lang'\]"),
    ({"keep": None}, "keep must be a list of columns .* not None"),
    ({"keep": {"lang": 1}}, "keep must be a list of columns .* not a dict"),
    ({"keep": [1]}, "keep must be a list of names of columns, not of 1"),
    ({"keep": 7}, "keep must be a list of columns .* not 7"),
    ({"format": ["jsonl"]}, "format must be a string, such as 'jsonl', not a list"),
    ({"format": "pdf"}, "unknown format 'pdf'"),
    ({"storage_options": "anon"}, "storage_options must be a dict for fsspec, not a str"),
    ({"clean": "NFC"}, "clean must be a Cleaning"),
    ({"text": "pr\udce9nom"}, r"text='pr\\udce9nom' is not the name of a column"),
    ({"keep": ["pr\udce9nom"]}, r"keep='pr\\udce9nom' is not the name of a column"),
]


@pytest.mark.parametrize(("options", "words"), ARGUMENTS)
def test_a_wrong_argument_is_named(tmp_path, options, words):
    (tmp_path / "a.txt").write_text("un\n")
    with pytest.raises(UsageError, match=words):
        open_corpus(tmp_path, **options)


def test_keep_may_be_a_generator(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "un", "lang": "fr"}\n')
    corpus = open_corpus(tmp_path, keep=(name for name in ["lang"]))
    assert [column.name for column in corpus.index.keep] == ["lang"]


# --- names that are almost right ------------------------------------------------------------------


def test_a_file_beside_a_missing_one_is_offered(tmp_path):
    (tmp_path / "sentences.jsonl").write_text('{"text": "un"}\n')
    with pytest.raises(CorpusNotFound, match=r"did you mean 'sentences\.jsonl'\?$"):
        open_corpus(tmp_path / "sentences.json")
    with pytest.raises(CorpusNotFound, match="check the path"):
        open_corpus(tmp_path / "other.csv")


def test_a_spreadsheet_is_to_be_saved_as_csv(tmp_path):
    (tmp_path / "Mappe.XLSX").write_bytes(b"PK")
    with pytest.raises(CorpusNotFound, match="is a spreadsheet; save the sheet as CSV"):
        open_corpus(tmp_path / "Mappe.XLSX")


def test_several_kept_columns_in_one_name(tmp_path):
    (tmp_path / "a.csv").write_text("text,lang,year\nun,fr,1900\n")
    corpus = open_corpus(tmp_path / "a.csv", keep=["lang, year"])
    with pytest.raises(ColumnNotFound, match=r"--keep lang --keep year, keep=\['lang', "):
        corpus.index  # noqa: B018


@pytest.mark.parametrize("text", ["text", "Text"])
def test_the_delimiter_is_offered_whatever_the_column(tmp_path, text):
    (tmp_path / "a.csv").write_text("Id;Text\n1;un\n")
    with pytest.raises(ColumnNotFound, match="--delimiter ';'"):
        open_corpus(tmp_path / "a.csv", text=text).index  # noqa: B018
