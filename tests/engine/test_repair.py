"""A store whose bytes are damaged: what readers say, and how it is computed again."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

import paninifs as pf
from paninifs.engine.cli import app
from paninifs.engine.results.overview import overview, status_of
from paninifs.storage.store.leases.lease import Lease
from paninifs.storage.targets.local import LocalTarget


@pytest.fixture
def submit(inline, glosses, write_jsonl, tmp_path):
    """Run the default graph over a thousand glosses, in eight shards."""
    corpus = pf.open_corpus(write_jsonl(glosses[:1000]))
    options = {"client": inline, "progress": False, "shard_rows": 128}
    return lambda: pf.submit(pf.default_graph(), corpus, tmp_path / "s.zarr", **options).result()


@pytest.fixture
def store(submit, tmp_path):
    submit()
    return tmp_path / "s.zarr"


def damage(store, key="entropy/c/3"):
    data = bytearray((store / key).read_bytes())
    data[10] ^= 1
    (store / key).write_bytes(bytes(data))


def contents(store):
    return {path: path.read_bytes() for path in store.rglob("c/*") if path.is_file()}


READERS = {
    "export": lambda store: pf.export(store, progress=False),
    "report": lambda store: pf.report(store, store.parent / "r.html"),
    "show": lambda store: overview(store, by="entropy"),
}


@pytest.mark.documented("damaged-store")
@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_reader_says_what_is_damaged_and_what_to_do(store, read):
    damage(store)
    with pytest.raises(pf.errors.ResultsDamaged, match=r"array 'entropy' of .*paninifs repair"):
        read(store)


def test_a_damaged_store_is_not_verified(store):
    assert pf.verify(store)
    assert repr(pf.verify(store)).endswith("1,000 texts recomputed, bytes of 8 shard(s) compared>")
    damage(store)
    found = pf.verify(store)
    assert not found
    assert "entropy/c/3 is not what was written" in repr(found)
    ran = CliRunner().invoke(app, ["verify", str(store)])
    assert ran.exit_code == 1
    assert "next: paninifs repair" in ran.output


@pytest.mark.documented("damaged-store")
@pytest.mark.parametrize("gone", [False, True])
def test_a_repaired_store_is_computed_again_where_it_was_damaged(store, submit, gone):
    before = contents(store)
    damage(store, "entropy/c/3")
    (store / "dhatu/c/5/0").unlink() if gone else damage(store, "dhatu/c/5/0")
    assert pf.repair(store) == [3, 5]
    status = status_of(store)
    assert (status.complete, status.shards_done) == (False, 6)
    with pytest.warns(pf.errors.ResultsIncomplete, match="6 of 8 shards"):
        pf.open_results(store)
    written = {path: path.stat().st_mtime_ns for path in before if path.exists()}
    submit()
    assert contents(store) == before
    touched = {
        path.relative_to(store) for path, at in written.items() if path.stat().st_mtime_ns != at
    }
    assert {path.parts[2] for path in touched} <= {"3", "5"}
    assert pf.verify(store)
    assert pf.repair(store) == []


def test_nothing_is_changed_in_a_good_store(store):
    def written():
        files = (path for path in store.rglob("*") if path.is_file())
        return {path: path.stat().st_mtime_ns for path in files if path.parent.name != "lease"}

    before = written()
    assert pf.repair(store) == []
    assert written() == before
    assert pf.open_results(store).attrs["complete"] == 1


def test_a_store_that_is_being_written_is_not_repaired(store):
    with Lease.acquire(LocalTarget(store)), pytest.raises(pf.errors.LeaseHeld):
        pf.repair(store)


def test_the_command_repairs(store):
    ran = CliRunner().invoke(app, ["repair", str(store)])
    assert "nothing to repair" in ran.output
    damage(store)
    ran = CliRunner().invoke(app, ["repair", str(store)])
    assert (ran.exit_code, ran.output) == (
        0,
        "1 shard(s) taken back; run the same command again\n",
    )
    damage(store, "dhatu/c/5/0")
    ran = CliRunner().invoke(app, ["repair", str(store), "--json"])
    assert json.loads(ran.output) == {"shards": [5]}
