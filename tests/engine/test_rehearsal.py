"""A sample predicts what the whole corpus takes, and leaves nothing behind."""

from __future__ import annotations

import gzip
import json
import random
import re
import statistics
import time
from collections import namedtuple
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import paninifs as pf
from paninifs.engine.cli import app
from paninifs.engine.monitoring.dashboard.message import TOPIC
from paninifs.engine.rehearsal import cost_model
from paninifs.engine.rehearsal.cost_model import CostModel
from paninifs.engine.rehearsal.estimate import store_bytes
from paninifs.engine.rehearsal.sample_index import (
    SampleIndex,
    SampleRows,
    leading_rows,
    makespan,
    spread,
    work_of,
)
from paninifs.storage.corpus.index import CorpusIndex, FileIndex
from paninifs.storage.corpus.reading import read_stretches
from paninifs.storage.corpus.survey import Survey, survey
from paninifs.storage.errors import BlockError, CorpusEmpty, ResultsMismatch, UsageError
from paninifs.storage.rows import Lengths, SourceFile, Unit
from paninifs.storage.store.manifest import read_manifest
from paninifs.storage.targets import mounts
from paninifs.storage.targets.open import open_target

pytestmark = pytest.mark.slow("about ten runs each")

WITHIN = 0.25
Disk = namedtuple("Disk", "mountpoint fstype")


def index_of(files, mean=100):
    """Return an index of files, each given as its units' rows; a file is as long as its texts."""
    found = []
    for number, units in enumerate(files):
        file = SourceFile(
            url=f"{number}.jsonl",
            name=f"{number}.jsonl",
            size=1,
            version="",
            format="jsonl",
            compression=None,
        )
        made = tuple(Unit(rows, at) for at, rows in enumerate(units))
        rows = sum(units)
        found.append(FileIndex(file, made, None, Lengths(rows * mean, mean, 0) if rows else None))
    return CorpusIndex(files=tuple(found), text="text", id=None, keep=())


FILES = st.lists(st.lists(st.integers(1, 500), min_size=1, max_size=5), min_size=1, max_size=6)


@given(files=FILES, rows=st.integers(1, 3000))
def test_a_sample_has_the_requested_size_and_ascends(files, rows):
    index = index_of(files)
    ranges = spread(index, rows)
    assert sum(stop - start for start, stop in ranges) == min(rows, index.rows)
    flat = [bound for pair in ranges for bound in pair]
    assert flat == sorted(flat)
    assert flat[0] >= 0
    assert flat[-1] <= index.rows


@given(count=st.integers(1, 40))
def test_a_sample_covers_every_file_of_equal_size(count):
    index = index_of([[1000]] * count)
    touched = {start // 1000 for start, _ in spread(index, 25 * count)}
    assert touched == set(range(count))


def test_a_large_unit_is_not_read_to_its_end():
    index = index_of([[10_000_000]])
    assert max(stop for _, stop in spread(index, 1000)) < 200_000


@given(files=FILES, rows=st.integers(1, 600), size=st.sampled_from([1, 8, 64]))
def test_a_sample_index_reads_its_own_rows(files, rows, size):
    index = index_of(files)
    ranges = spread(index, rows)
    sample = SampleIndex.of(Survey(index, counted=True), SampleRows.in_shards(ranges, size))
    found = []
    for task in sample.partitions(size):
        at = task.row_start
        for one in sample.stretches(task.row_start, task.row_stop):
            assert one.row == at
            start = next(n for n, file in enumerate(index.files) if file.file == one.file)
            first = index.starts[start]
            found += range(first + one.span.start, first + one.span.stop)
            at += one.span.stop - one.span.start
        assert at == task.row_stop
    assert found == [row for start, stop in ranges for row in range(start, stop)]


@given(files=FILES, count=st.integers(1, 5), most=st.integers(8, 100))
def test_leading_rows_are_whole_shards(files, count, most):
    tasks = index_of(files).partitions(8)
    for start, stop in leading_rows(tasks, count, max_rows=most, shard_rows=8):
        (task,) = [one for one in tasks if one.row_start == start]
        assert 0 < stop - start <= min(most, task.rows)
        assert (stop - start) % 8 == 0


@given(tasks=st.lists(st.floats(0, 100), min_size=1), lanes=st.integers(1, 8))
def test_the_makespan_is_within_its_bounds(tasks, lanes):
    end = makespan(tasks, lanes)
    assert end >= max(*tasks, 0, sum(tasks) / lanes) * (1 - 1e-9)
    assert end <= (sum(tasks) / lanes + max(tasks)) * (1 + 1e-9)


def test_longer_texts_are_more_work():
    short, long = index_of([[100, 100]], mean=50), index_of([[100, 100]], mean=5000)
    assert work_of(long, 100, 2) > 10 * work_of(short, 100, 2)


def test_a_cost_model_adds_a_fixed_part_and_the_work():
    assert CostModel(0.5, 2e-8).seconds(100_000_000) == 2.5


def bytes_below(folder):
    return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())


def peak_bytes():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


@pytest.fixture(scope="module")
def many_glosses(glosses, tmp_path_factory):
    """Half a million texts in JSON Lines: a run takes some seconds."""
    path = tmp_path_factory.mktemp("many") / "glosses.jsonl"
    once = "".join(json.dumps(row) + "\n" for row in glosses)
    with path.open("w") as out:
        for _ in range(250):
            out.write(once)
    return path


@pytest.mark.soak("up to seven runs over half a million texts")
def test_time_memory_and_disk_are_within_a_quarter(many_glosses, tmp_path):
    graph, ratios = pf.default_graph(), []
    with pf.connect("cpu", workers=2, quiet=True) as client:
        for number in range(7):  # other processes may use the machine now, or did before
            corpus, store = pf.open_corpus(many_glosses), tmp_path / str(number)
            found = pf.rehearse(graph, corpus, store, client=client)
            corpus = pf.open_corpus(many_glosses)
            began = time.perf_counter()
            pf.submit(graph, corpus, store, client=client, progress=False).result()
            ratios.append(found.seconds / (time.perf_counter() - began))
            assert found.disk == pytest.approx(bytes_below(store), rel=WITHIN)
            peak = max(client.run(peak_bytes).values())
            assert found.memory.nbytes == pytest.approx(peak, rel=WITHIN)
            if abs(statistics.median(ratios) - 1) < WITHIN:
                return
    pytest.fail(f"projected over real: {ratios}")


@pytest.fixture(scope="module")
def threads():
    with pf.connect("threads", quiet=True) as connected:
        yield connected


@pf.map_block(fields=[pf.Field("length", "int64")], version="1")
def slow(text):
    time.sleep(0.002 * len(text))
    return (text.offsets[1:] - text.offsets[:-1]).astype("int64")


@pytest.mark.soak("runs for a quarter of a minute")
def test_a_users_slow_block_is_timed(glosses, threads, write_jsonl, tmp_path):
    corpus = pf.open_corpus(write_jsonl(glosses))
    graph, added = pf.default_graph() + slow, []
    while abs(statistics.median(added or [0]) / 4 - 1) > WITHIN:
        assert len(added) < 7, f"seconds that the block adds to the estimate: {added}"
        without = pf.rehearse(pf.default_graph(), corpus, tmp_path / "s", rows=200, client=threads)
        found = pf.rehearse(graph, corpus, tmp_path / "s", rows=200, client=threads)
        assert found.tasks == 1  # so only one thread works
        assert found.block_seconds["slow"] == pytest.approx(0.002, rel=0.25)
        added.append(found.seconds - without.seconds)
    options = {"rows": 200, "shard_rows": 128, "client": threads}
    found = pf.rehearse(graph, corpus, tmp_path / "s", **options)
    assert (found.tasks, found.shards) == (1, 16)
    store = tmp_path / "whole"
    pf.submit(graph, corpus, store, client=threads, shard_rows=128, progress=False).result()
    assert found.disk == pytest.approx(bytes_below(store), rel=WITHIN)
    assert found.bill.elsewhere == ()


def test_a_sample_leaves_no_trace(glosses, inline, write_jsonl, tmp_path, in_haste):
    corpus = pf.open_corpus(write_jsonl(glosses))
    before = sorted(tmp_path.rglob("*"))
    pf.rehearse(pf.default_graph(), corpus, tmp_path / "deep" / "er" / "s", client=inline)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_sample_that_fails_leaves_no_trace(glosses, inline, write_jsonl, tmp_path, in_haste):
    @pf.map_block(fields=[pf.Field("n", "int32")], version="1")
    def failing(text):
        raise ValueError("no luck")

    corpus = pf.open_corpus(write_jsonl(glosses))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BlockError, match="no luck"):
        pf.rehearse(pf.default_graph() + failing, corpus, tmp_path / "s", client=inline)
    assert sorted(tmp_path.rglob("*")) == before


def test_rows_that_will_be_quarantined_are_found(glosses, inline, write_jsonl, tmp_path, in_haste):
    rows = [{"id": row["id"]} if n % 10 == 3 else row for n, row in enumerate(glosses)]
    corpus = pf.open_corpus(write_jsonl(rows))
    found = pf.rehearse(pf.default_graph(), corpus, tmp_path / "s", rows=500, client=inline)
    assert found.sampled == 500
    assert found.quarantined_share == pytest.approx(0.1, abs=0.02)
    assert "no 'text' (the record has: id)" in found.reasons[0]
    assert "so about 200 in the corpus" in str(found)


def test_cleaning_and_kept_columns_count(glosses, inline, write_jsonl, tmp_path, in_haste):
    rows = [row | {"again": row["text"], "n": n} for n, row in enumerate(glosses)]
    corpus = pf.open_corpus(
        write_jsonl(rows),
        keep=["again", "n"],
        clean=pf.Cleaning(min_chars=30, whitespace=True, duplicates=True),
    )
    graph = pf.default_graph(dhatus=("GO", "STAY"), primes=(2, 3, 5))
    found = pf.rehearse(graph, corpus, tmp_path / "s", rows=300, client=inline)
    assert found.quarantined > 0
    store = tmp_path / "whole"
    summary = pf.submit(graph, corpus, store, client=inline, progress=False).result()
    assert found.disk == pytest.approx(bytes_below(store), rel=WITHIN)
    assert found.text_bytes == pytest.approx(summary.text_bytes, rel=WITHIN)
    share = summary.quarantined / summary.rows
    assert found.quarantined_share == pytest.approx(share, abs=0.1)


@pytest.mark.parametrize("suffix", ["jsonl.gz", "parquet", "csv", "txt"])
def test_every_format_is_sampled(suffix, glosses, inline, tmp_path, in_haste):
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    path, texts = tmp_path / f"a.{suffix}", [row["text"] for row in glosses]
    table = pa.table({"text": texts})
    match suffix:
        case "jsonl.gz":
            with gzip.open(path, "wt") as out:
                out.writelines(json.dumps(row) + "\n" for row in glosses)
        case "parquet":
            pa.parquet.write_table(table, path, row_group_size=300)
        case "csv":
            pa.csv.write_csv(table, path)
        case "txt":
            path.write_text("\n".join(texts) + "\n")
    found = pf.rehearse(pf.default_graph(), pf.open_corpus(path), client=inline)
    assert (found.rows, found.sampled, found.quarantined) == (2000, 1000, 0)
    assert found.text_bytes == pytest.approx(sum(len(t.encode()) for t in texts), rel=0.15)


def test_only_the_front_of_a_compressed_file_is_sampled(
    glosses, inline, tmp_path, monkeypatch, in_haste
):
    from paninifs.engine.rehearsal import rehearse as rehearsal
    from paninifs.engine.rehearsal import sample_index

    monkeypatch.setattr(sample_index, "REACH_BYTES", 20_000)
    monkeypatch.setattr(rehearsal, "REACH_BYTES", 20_000)
    path = tmp_path / "a.jsonl.gz"
    with gzip.open(path, "wt") as out:
        out.writelines(json.dumps(row) + "\n" for row in glosses)
    corpus = pf.open_corpus(path)
    assert max(stop for _, stop in spread(corpus.index, 100)) < 400
    found = pf.rehearse(pf.default_graph(), corpus, rows=100, client=inline)
    assert any(
        "cannot be read from the middle, so only its beginning is" in one for one in found.notes
    )


def test_unfinished_results_are_reported_and_left_alone(
    glosses, inline, write_jsonl, tmp_path, in_haste
):
    corpus, store = pf.open_corpus(write_jsonl(glosses)), tmp_path / "s"
    graph = pf.default_graph()
    pf.submit(graph, corpus, store, client=inline, shard_rows=1024, progress=False).result()
    marker = store / "_run" / "done" / "00000001.json"
    marker.unlink()
    before = {file: file.stat().st_mtime_ns for file in store.rglob("*")}
    found = pf.rehearse(graph, corpus, store, client=inline)
    assert (found.rows_before, found.shard_rows) == (1024, 1024)
    assert found.seconds_left < found.seconds
    assert "1,024 of 2,000 texts" in str(found)
    assert "and the other figures are for the whole corpus" in str(found)
    assert {file: file.stat().st_mtime_ns for file in store.rglob("*")} == before


def test_a_rehearsal_refuses_what_a_run_would(glosses, inline, write_jsonl, tmp_path, in_haste):
    corpus = pf.open_corpus(write_jsonl(glosses))
    graph, other = pf.default_graph(), pf.default_graph(primes=(2, 3))
    pf.submit(graph, corpus, tmp_path / "s", client=inline, progress=False).result()
    with pytest.raises(ResultsMismatch, match="begun with a different corpus"):
        pf.rehearse(other, corpus, tmp_path / "s", client=inline)
    assert pf.rehearse(other, corpus, tmp_path / "s", client=inline, fresh=True).rows == 2000
    with pytest.raises(UsageError, match="a power of two"):
        pf.rehearse(graph, corpus, tmp_path / "t", shard_rows=1000, client=inline)
    with pytest.raises(UsageError, match="at least one, not 0"):
        pf.rehearse(graph, corpus, tmp_path / "t", rows=0, client=inline)


def test_a_rehearsal_escapes_names(inline, write_jsonl, tmp_path, in_haste):
    rows = [{"<b>": 1} for _ in range(10)] + [{"text": "a"}] * 10
    corpus = pf.open_corpus(write_jsonl(rows))
    page = pf.rehearse(pf.default_graph(), corpus, client=inline)._repr_html_()
    assert "&lt;b&gt;" in page
    assert "<b>" not in page.replace("<b>", "", 0) or "has: <b>" not in page


def test_the_sample_option_estimates_and_computes_nothing(glosses, write_jsonl, tmp_path, in_haste):
    corpus, store = write_jsonl(glosses), tmp_path / "out.zarr"
    words = ["run", str(corpus), str(store), "--sample", "200"]
    ran = CliRunner().invoke(app, words)
    assert ran.exit_code == 0, ran.output
    assert not store.exists()
    for said in ("sample: 200 texts", "time: about", "memory: a worker", "disk: about", "cost: "):
        assert said in ran.output
    assert "mirror" not in ran.output
    ran = CliRunner().invoke(app, [*words, "--mirror", str(tmp_path / "mirror.zarr")])
    assert f"copying to {tmp_path / 'mirror.zarr'} is not included in the time" in ran.output
    ran = CliRunner().invoke(app, [*words, "--json"])
    document = json.loads(ran.stdout)
    assert (document["rows"], document["sampled"]) == (2000, 200)
    assert document["memory"]["nbytes"] > 0


def test_a_sample_cuts_shards_for_a_slow_mirror(tmp_path, in_haste, monkeypatch):
    """A mounted Drive creates objects slowly, so a run that mirrors to it has fewer shards."""
    disks = [Disk("/", "ext4"), Disk(str(tmp_path / "drive"), "fuse.drive")]
    monkeypatch.setattr(mounts.psutil, "disk_partitions", lambda all: disks)
    corpus = tmp_path / "a.txt"
    corpus.write_text("".join(f"{number}\n" for number in range(300_000)))
    words = ["run", str(corpus), str(tmp_path / "out.zarr"), "--cluster", "threads", "--json"]

    def shard_rows(*mirror):
        ran = CliRunner().invoke(app, [*words, *mirror, "--sample", "100"])
        assert ran.exit_code == 0, ran.output
        return json.loads(ran.stdout)["shard_rows"]

    assert shard_rows() == 4096
    mirror = ["--mirror", str(tmp_path / "drive" / "mirror.zarr")]
    assert shard_rows(*mirror) == 16_384
    assert CliRunner().invoke(app, [*words, *mirror]).exit_code == 0
    assert read_manifest(open_target(tmp_path / "out.zarr")).shard_rows == 16_384


@pytest.fixture
def in_haste(monkeypatch):
    """Keep timings short, for tests that do not check them."""
    monkeypatch.setattr(cost_model, "SECONDS", 0.05)
    monkeypatch.setattr(cost_model, "ROUNDS", 1)


@pytest.fixture
def too_large(monkeypatch, in_haste):
    """Treat every corpus as too large to be counted."""
    from paninifs.storage.corpus import survey as module

    monkeypatch.setattr(module, "COUNTED_BYTES", 0)


@pytest.mark.slow("writes a hundred thousand texts, and reads what a rehearsal needs of them")
@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "parquet", "csv", "txt"])
@pytest.mark.parametrize("files", [1, 40])
def test_a_huge_corpus_is_estimated_from_fronts(
    suffix, files, glosses, inline, too_large, tmp_path
):
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    rng, count = random.Random(3), 100_000 if files == 1 else 40_000
    lines = [json.dumps(row) + "\n" for row in glosses]
    for number in range(files):
        chosen = [rng.choice(range(len(glosses))) for _ in range(count // files)]
        path = tmp_path / f"{number:02}.{suffix}"
        texts = [glosses[at]["text"] for at in chosen]
        match suffix:
            case "jsonl":
                path.write_text("".join(lines[at] for at in chosen))
            case "jsonl.gz":
                with gzip.open(path, "wt", compresslevel=1) as out:
                    out.writelines(lines[at] for at in chosen)
            case "parquet":
                pa.parquet.write_table(pa.table({"text": texts}), path, row_group_size=4000)
            case "csv":
                pa.csv.write_csv(pa.table({"text": texts}), path)
            case "txt":
                path.write_text("\n".join(texts) + "\n")
    found = pf.rehearse(pf.default_graph(), pf.open_corpus(tmp_path), client=inline)
    assert not found.counted
    assert found.rows == pytest.approx(count, rel=0.1)
    assert (found.sampled, found.quarantined) == (1000, 0)
    assert found.text_bytes == pytest.approx(count * 81, rel=0.15)
    assert any("counted only by the run" in note for note in found.notes)
    front_only = any("cannot be read from the middle" in note for note in found.notes)
    assert front_only == (suffix in ("jsonl.gz", "csv"))


@pytest.mark.parametrize("suffix", ["jsonl", "txt"])
def test_estimated_lines_are_read_all_over_the_file(suffix, glosses, too_large, tmp_path):
    path = tmp_path / f"a.{suffix}"
    rows = glosses * 20
    lines = [json.dumps(row) if suffix == "jsonl" else row["text"] for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines))
    corpus = pf.open_corpus(path)
    surveyed = survey(corpus)
    part = SampleRows.in_shards(spread(surveyed.index, 1000), 128)
    stretches = SampleIndex.of(surveyed, part).stretches(0, 1000)
    offsets = sorted(one.span.unit_offset for one in stretches)
    size = path.stat().st_size
    assert max(b - a for a, b in pairwise([0, *offsets, size])) < size / 10
    texts = {row["text"] for row in rows}
    for _, _, found in read_stretches(stretches, corpus.opener, surveyed.index.selection):
        assert set(found.text.to_pylist()) <= texts


@pytest.mark.slow("the line is longer than all that is read elsewhere")
@pytest.mark.parametrize("compressed", [False, True])
def test_a_first_line_longer_than_a_front_is_read_to_its_end(
    compressed, inline, too_large, tmp_path
):
    rng, path = random.Random(3), tmp_path / ("a.jsonl.gz" if compressed else "a.jsonl")
    rows = [{"text": rng.randbytes(2_500_000).hex()} for _ in range(5)]
    with gzip.open(path, "wt") if compressed else path.open("w") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows)
    surveyed = survey(pf.open_corpus(path))
    assert not surveyed.counted
    assert surveyed.index.rows == (pytest.approx(5, abs=1) if compressed else 5)
    found = pf.rehearse(pf.default_graph(), pf.open_corpus(path), rows=2, client=inline)
    assert found.text_bytes == pytest.approx(5 * 5_000_000, rel=0.3)


def test_a_file_without_line_ends_is_named(too_large, tmp_path, monkeypatch):
    from paninifs.storage.corpus import survey as module

    monkeypatch.setattr(module, "LONGEST_FRONT", 3 << 20)
    (tmp_path / "a.txt").write_text("x" * (5 << 20) + "\nlast")
    with pytest.raises(CorpusEmpty, match=r"a\.txt: no line ends in the first 3 MiB"):
        survey(pf.open_corpus(tmp_path / "a.txt"))
    (tmp_path / "a.txt").write_text("x" * ((3 << 20) - 1))  # the end of a file ends a line
    assert survey(pf.open_corpus(tmp_path / "a.txt")).index.rows == 1


def test_an_unreadable_large_file_has_no_rows(too_large, tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(b"no gzip " * (1 << 19))
    with pytest.raises(CorpusEmpty, match="the corpus has no rows"):
        survey(pf.open_corpus(tmp_path / "a.jsonl.gz"))


def test_an_unreadable_catalogue_only_omits_the_cost(
    glosses, inline, write_jsonl, tmp_path, in_haste, monkeypatch
):
    (tmp_path / "broken.toml").write_text("[[[")
    monkeypatch.setenv("PANINIFS_CATALOGUE", str(tmp_path / "broken.toml"))
    corpus = pf.open_corpus(write_jsonl(glosses))
    found = pf.rehearse(pf.default_graph(), corpus, client=inline)
    assert (found.bill, found.sampled) == (None, 1000)
    (why,) = [note for note in found.notes if "cost of the run is not known" in note]
    assert "broken.toml" in why
    assert why in str(found)
    assert "cost: " not in str(found)


def test_trial_runs_are_not_on_the_dashboard(glosses, threads, write_jsonl, tmp_path, in_haste):
    corpus, graph = pf.open_corpus(write_jsonl(glosses)), pf.default_graph()

    def told():
        return len(threads.get_events(TOPIC) or ())

    before = told()
    pf.rehearse(graph, corpus, client=threads)
    assert told() == before
    pf.submit(graph, corpus, tmp_path / "s", client=threads, progress=False).result()
    assert told() > before


def test_a_rehearsal_escapes_control_characters(inline, tmp_path, in_haste, monkeypatch):
    from paninifs.engine.rehearsal import rehearse as rehearsal
    from paninifs.engine.rehearsal import sample_index

    monkeypatch.setattr(sample_index, "REACH_BYTES", 10)
    monkeypatch.setattr(rehearsal, "REACH_BYTES", 10)
    path = tmp_path / "a\u202e\x1b<b>.jsonl.gz"
    rows = ['{"\u202e<i>": 1}\n', '{"text": "some text"}\n']
    with gzip.open(path, "wt") as out:
        out.writelines(rows * 50)
    found = pf.rehearse(pf.default_graph(), pf.open_corpus(path), client=inline)
    page = found._repr_html_()
    assert any("\u202e" in note for note in found.notes)
    assert "\u202e" in found.reasons[0]
    assert not re.search("[\u202e\x1b]|<b>|<i>", page)
    assert "a\\u202e\\x1b&lt;b&gt;.jsonl.gz: cannot be read from" in page
    assert "\\u202e&lt;i&gt;" in page


def test_a_stores_size_follows_from_a_small_one(glosses, inline, write_jsonl, tmp_path):
    rows = [row | {"again": row["text"]} for row in glosses]
    rows = [{} if n % 50 == 0 else row for n, row in enumerate(rows)]
    sizes, summaries, layouts = [], [], []
    for times in (1, 10):
        corpus = pf.open_corpus(write_jsonl(rows * times, f"{times}.jsonl"), keep=["again"])
        store = tmp_path / str(times)
        run = pf.submit(
            pf.default_graph(), corpus, store, client=inline, shard_rows=1024, progress=False
        )
        summaries.append(run.result())
        manifest = read_manifest(open_target(store))
        layouts.append(manifest.layout(corpus.index))
        sizes.append(open_target(store).sizes())
    expected = sum(sizes[1].values())
    assert store_bytes(layouts[1], sizes[0], summaries[0]) == pytest.approx(expected, rel=0.1)
    assert store_bytes(layouts[0], sizes[0], summaries[0]) == sum(sizes[0].values())
