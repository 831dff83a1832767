"""Results from an untrusted source: nothing in them is ever executed."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
import warnings

import numcodecs
import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr

import paninifs as pf
from paninifs.engine.results.overview import overview, status_of
from paninifs.storage.errors import UsageError
from paninifs.storage.store.dataset import StoredArrays
from paninifs.storage.store.quarantine import first_quarantined
from paninifs.storage.targets.open import open_target


class Bomb:
    """Creates a folder when it is unpickled."""

    def __init__(self, canary):
        self.canary = str(canary)

    def __reduce__(self):
        return os.mkdir, (self.canary,)


@pytest.fixture
def canary(tmp_path, monkeypatch):
    # Newer numcodecs unpickle only if configured to; the subject here is the engine.
    monkeypatch.setattr(numcodecs.pickles, "ALLOW_UNSAFE_PICKLE_DECODE", True, raising=False)
    return tmp_path / "canary"


@pytest.fixture(scope="module")
def made(inline, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    (folder / "a.jsonl").write_text('{"text": "un", "id": "x"}\n{"text": null}\n')
    corpus = pf.open_corpus(folder / "a.jsonl")
    out = folder / "out.zarr"
    pf.submit(pf.default_graph(), corpus, out, client=inline, progress=False).result()
    return corpus, out


@pytest.fixture
def store(made, tmp_path):
    return shutil.copytree(made[1], tmp_path / "out.zarr")


def everything(store, corpus, inline):
    """Use a store in every possible way, and ignore errors."""
    found = []
    for attempt in (
        lambda: pf.open_results(store).load(),
        lambda: status_of(store),
        lambda: overview(store),
        lambda: overview(store, by="entropy"),
        lambda: pf.verify(store),
        lambda: first_quarantined(open_target(store), 5),
        lambda: pf.submit(
            pf.default_graph(), corpus, store, client=inline, progress=False
        ).result(),
        lambda: pf.peek("x", store),
        lambda: pf.export(store, progress=False),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found.append(attempt())
            except Exception as error:  # noqa: BLE001 (any is fine, as long as nothing was executed)
                found.append(error)
    return found


def test_the_bomb_goes_off_when_unpickled(canary, tmp_path):
    pickle.loads(pickle.dumps(Bomb(canary)))
    assert canary.is_dir()
    canary.rmdir()
    as_objects(tmp_path / "old", canary)
    numcodecs.Pickle().decode((tmp_path / "old/0").read_bytes())
    assert canary.is_dir()


def test_zarr_format_2_is_not_read(store):
    (store / "zarr.json").unlink()
    (store / ".zgroup").write_text(json.dumps({"zarr_format": 2}))
    assert zarr.open_group(str(store), mode="r").metadata.zarr_format == 2
    with pytest.raises(FileNotFoundError):
        StoredArrays(open_target(store))


def as_objects(folder, canary):
    """Make an array of format 2 whose metadata asks for its chunk to be unpickled."""
    folder.mkdir(exist_ok=True)
    values = np.array([Bomb(canary)], object)
    described = {
        "zarr_format": 2,
        "shape": [1],
        "chunks": [1],
        "dtype": "<f4",
        "order": "C",
        "fill_value": 0,
        "compressor": numcodecs.Pickle().get_config(),
        "filters": None,
    }
    (folder / ".zarray").write_text(json.dumps(described))
    (folder / "0").write_bytes(numcodecs.Pickle().encode(values))
    return described


@pytest.mark.parametrize("which", ["zarr.json", "_run", "c", "quarantine.parquet", "*"])
def test_pickle_files_are_not_unpickled(store, made, inline, canary, which):
    bomb = pickle.dumps(Bomb(canary))
    replaced = 0
    for path in store.rglob("*"):
        if path.is_file() and (which == "*" or which in path.relative_to(store).parts):
            path.write_bytes(bomb)
            replaced += 1
    assert replaced
    everything(store, made[0], inline)
    assert not canary.exists()


@pytest.mark.parametrize("kept", [True, False])
def test_format_2_metadata_with_pickles_is_ignored(store, made, inline, canary, kept):
    described = {}
    for array in [path.parent for path in store.glob("*/zarr.json")]:
        described[f"{array.name}/.zarray"] = as_objects(array, canary)
        if not kept:
            (array / "zarr.json").unlink()
    described[".zgroup"] = {"zarr_format": 2}
    (store / ".zgroup").write_text(json.dumps({"zarr_format": 2}))
    (store / ".zmetadata").write_text(
        json.dumps({"zarr_consolidated_format": 1, "metadata": described})
    )
    root = json.loads((store / "zarr.json").read_text())
    if not kept:
        root.pop("consolidated_metadata")
        root["zarr_format"] = 2
        (store / "zarr.json").write_text(json.dumps(root))
    everything(store, made[0], inline)
    assert not canary.exists()


@pytest.mark.documented("nothing-runs")
@pytest.mark.parametrize("codec", ["pickle", "numcodecs.pickle", "object", "json2"])
@pytest.mark.parametrize("where", ["codecs", "data_type"])
def test_object_codecs_and_types_are_unknown(store, made, inline, canary, codec, where):
    root = json.loads((store / "zarr.json").read_text())
    for array in store.glob("*/zarr.json"):
        described = json.loads(array.read_text())
        if where == "codecs":
            described["codecs"] = [{"name": codec, "configuration": {}}]
        else:
            described["data_type"] = codec
        array.write_text(json.dumps(described))
        root["consolidated_metadata"]["metadata"][array.parent.name] = described
        for chunk in (array.parent / "c").rglob("*"):
            if chunk.is_file():
                chunk.write_bytes(numcodecs.Pickle().encode(np.array([Bomb(canary)], object)))
    (store / "zarr.json").write_text(json.dumps(root))
    everything(store, made[0], inline)
    assert not canary.exists()


def test_a_pickled_type_in_a_quarantine_is_not_loaded(store, made, inline, canary):
    file = store / "quarantine.parquet"
    table = pq.read_table(file)
    at = table.schema.get_field_index("reason")
    field = table.schema.field(at).with_metadata(
        {
            b"ARROW:extension:name": b"arrow.py_extension_type",
            b"ARROW:extension:metadata": pickle.dumps(Bomb(canary)),
        }
    )
    pq.write_table(table.cast(table.schema.set(at, field)), file)
    found = everything(store, made[0], inline)
    entries, _ = found[5]
    assert entries[0].reason
    assert not canary.exists()


def test_a_store_cannot_choose_the_function_that_checks_it(store):
    manifest = store / "_run/manifest.json"
    found = json.loads(manifest.read_text())
    blocks = found["facts"]["graph"]
    found["facts"]["graph"] = {"prepare": blocks.pop("digest"), **blocks}
    manifest.write_text(json.dumps(found))
    with contextlib.suppress(Exception):
        assert "prepare" not in pf.verify(store).recomputed
    from paninifs.engine.results.recomputing import _block
    from paninifs.storage.store.reader import ResultsStore

    opened = ResultsStore.open(store)
    with pytest.raises(UsageError, match="does not hold the code"):
        _block(opened, "prepare", opened.blocks["prepare"], {})


@pytest.mark.parametrize("url", ["reference://x::file:///x.json", "simplecache::reference://x"])
def test_reference_files_are_not_opened(url):
    with pytest.raises(UsageError, match="reference:// is not supported"):
        pf.open_corpus(url, format="text")
