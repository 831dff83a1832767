"""Runs over pieces of texts: staged by the run, known by how they were split."""

from __future__ import annotations

import gzip

import pytest

import paninifs as pf
from paninifs.storage.errors import ResultsMismatch, RunFailed, UsageError


def run(client, corpus, store, **options):
    graph = pf.default_graph()
    return pf.submit(graph, corpus, store, client=client, progress=False, **options)


def words(text):
    return text.split()


def other_words(text):
    return text.split(" ")


@pytest.fixture
def corpus(glosses, write_jsonl):
    return pf.open_corpus(write_jsonl(glosses))


def test_pieces_are_the_rows_of_the_store(client, corpus, glosses, tmp_path):
    store = tmp_path / "out.zarr"
    summary = run(client, corpus.split(chars=40), store).result()
    found = pf.export(store)
    assert summary.done == len(found) > len(glosses)
    texts = {row["id"]: row["text"] for row in glosses}
    staged = pf.open_corpus(tmp_path / "out.staged").frame.compute()
    assert found.id.tolist() == list(range(len(found)))
    assert found.parent.drop_duplicates().tolist() == list(texts)
    for text, parent, start, stop in zip(
        staged.text, found.parent, found.start, found.stop, strict=True
    ):
        assert texts[parent][start:stop] == text
        assert len(text) <= 40
    assert pf.verify(store).passed
    again = run(client, corpus.split(chars=40), store)
    assert again.result() == summary


def test_another_way_to_split_is_refused_by_name(client, corpus, tmp_path):
    store = tmp_path / "out.zarr"
    run(client, corpus.split(words), store).result()
    with pytest.raises(ResultsMismatch, match=r"another split of a corpus \(split → .*words"):
        run(client, corpus.split(other_words), store).result()
    with pytest.raises(ResultsMismatch, match=r"split → by was function and is sentence"):
        run(client, corpus.split("sentence"), store).result()
    longer = corpus.split(words)
    assert run(client, longer, store).result().done  # the same


def test_a_changed_function_is_refused_by_name(client, corpus, tmp_path):
    def made(separator):
        source = f"def pieces(text):\n    return text.split({separator!r})\n"
        path = tmp_path / "mine.py"
        path.write_text(source)
        names = {}
        exec(compile(source, str(path), "exec"), names)
        return names["pieces"]

    store = tmp_path / "out.zarr"
    run(client, corpus.split(made(" ")), store).result()
    with pytest.raises(ResultsMismatch, match=r"split → code.* was .* and is "):
        run(client, corpus.split(made(", ")), store).result()


def test_another_corpus_is_refused_by_the_file_that_changed(client, write_jsonl, tmp_path):
    store = tmp_path / "out.zarr"
    rows = [{"text": "One. Two."}]
    run(client, pf.open_corpus(write_jsonl(rows)).split("sentence"), store).result()
    other = write_jsonl([*rows, {"text": "Three."}])
    with pytest.raises(ResultsMismatch, match=r"\(corpus\.jsonl has changed: .* bytes then"):
        run(client, pf.open_corpus(other).split("sentence"), store).result()


def test_what_cannot_be_identified_is_refused_at_once(client, corpus, tmp_path):
    secret = object()

    def odd(text):
        return [text] if secret else []

    with pytest.raises(UsageError, match=r"pieces by odd\(\) cannot be identified.*'secret'"):
        run(client, corpus.split(odd), tmp_path / "out.zarr")
    assert not (tmp_path / "out.zarr").exists()


def test_a_function_that_fails_is_reported_with_the_row(client, corpus, tmp_path):
    def fails(text):
        return [text[:1], "nowhere"]

    work = run(client, corpus.split(fails), tmp_path / "out.zarr")
    with pytest.raises(RunFailed, match=r"corpus\.jsonl, row \d+: fails\(\) returned 'nowhere'"):
        work.result()


def test_data_in_memory_and_compressed_files_are_split_on_workers(client, tmp_path):
    text = "One. Two.\n" * 30_000
    with gzip.open(tmp_path / "a.txt.gz", "wt") as file:
        file.write(text)
    data = pf.open_corpus(texts=text.splitlines())
    for corpus, store in ((data, "data"), (pf.open_corpus(tmp_path / "a.txt.gz"), "gz")):
        assert run(client, corpus.split("sentence"), tmp_path / store).result().done == 60_000
    one, other = (pf.export(tmp_path / store) for store in ("data", "gz"))
    assert one.drop(columns="fingerprint", errors="ignore").equals(other)


def test_a_quarantined_text_is_one_quarantined_piece(client, tmp_path):
    corpus = pf.open_corpus({"text": ["One. Two.", None], "id": ["a", "b"]})
    store = tmp_path / "out.zarr"
    summary = run(client, corpus.split("sentence"), store).result()
    assert (summary.done, summary.quarantined) == (2, 1)
    assert pf.export(store).parent.tolist()[:2] == ["a", "a"]


def test_what_is_wrong_with_the_corpus_is_noted(client, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.txt").write_text("One. Two.\n")
    (tmp_path / "in/b.txt.gz").write_bytes(b"no gzip")
    work = run(client, pf.open_corpus(tmp_path / "in").split("sentence"), tmp_path / "out.zarr")
    assert work.result().done == 2
    notes = []
    work.events.subscribe(lambda event: notes.append(getattr(event, "text", "")))
    assert any(note.startswith("b.txt.gz cannot be read") for note in notes)


def test_a_large_part_has_several_files(corpus, tmp_path, monkeypatch):
    from paninifs.engine.staged import part_files

    monkeypatch.setattr(part_files, "FILE_BYTES", 1)
    monkeypatch.setattr(part_files, "ROW_GROUP_ROWS", 500)
    monkeypatch.setattr("paninifs.storage.corpus.tables.split_part._MOST_PIECES", 500)
    whole = pf.stage(corpus.split("sentence"), tmp_path / "many")
    names = [file.name for file in whole.files]
    assert names[:2] == ["part-000000.parquet", "part-000000_0001.parquet"]
    monkeypatch.undo()
    one = pf.stage(corpus.split("sentence"), tmp_path / "one")
    assert len(one.files) == 1
    assert whole.frame.compute().equals(one.frame.compute())
