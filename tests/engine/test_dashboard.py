"""The engine's tab on dask's dashboard, in a real browser, and its metrics for Prometheus."""

from __future__ import annotations

import itertools
import os
import pickle
import signal
import time
import urllib.request
from dataclasses import asdict
from types import SimpleNamespace

import dask
import pytest
from prometheus_client.parser import text_string_to_metric_families
from watched import n_bytes_at_leisure

import paninifs as pf
from paninifs.engine.monitoring.dashboard import telemetry
from paninifs.engine.monitoring.dashboard.hook import add_page
from paninifs.engine.monitoring.dashboard.message import TOPIC
from paninifs.engine.monitoring.dashboard.monitor import Monitor
from paninifs.engine.monitoring.dashboard.monitored_runs import MOST_RUNS
from paninifs.engine.monitoring.dashboard.tab import Board
from paninifs.engine.monitoring.events import Notice
from paninifs.engine.monitoring.figures import Figures
from paninifs.engine.monitoring.load import Load
from paninifs.engine.monitoring.progress import Progress
from paninifs.storage.store.history import Sample

GRAPH = pf.default_graph() + n_bytes_at_leisure


@pytest.fixture
def submit(client, tmp_path):
    def begin(corpus, name="r.zarr", **options):
        options = {"client": client, "progress": False} | options
        return pf.submit(options.pop("graph", GRAPH), corpus, tmp_path / name, **options)

    return begin


@pytest.fixture
def repeated(glosses, write_jsonl, tmp_path):
    """The glosses as often as wanted, a file each time."""

    def corpus(times):
        first = write_jsonl(glosses, "0.jsonl")
        for copy in range(1, times):
            os.link(first, tmp_path / f"{copy}.jsonl")
        return pf.open_corpus([tmp_path / f"{copy}.jsonl" for copy in range(times)])

    return corpus


def address(client, path):
    return client.dashboard_link.rsplit("/", 1)[0] + path


def metrics(client):
    """The metrics of the engine, a value by results, name and further labels."""
    text = urllib.request.urlopen(address(client, "/metrics")).read().decode()
    found = {}
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            if one.name.startswith("paninifs_"):
                labels = {
                    k: v for k, v in one.labels.items() if k not in ("run", "climb", "results")
                }
                found[(one.labels["results"], one.name, *labels.values())] = one.value
    return found


def shown(page):
    """What the tab says: seconds since the plan, and every figure by its name."""
    return page.evaluate(
        """() => {
            const inside = (root) => [...root.querySelectorAll('*')].flatMap(
                (one) => one.shadowRoot ? [one, ...inside(one.shadowRoot)] : [one]);
            const every = inside(document);
            const table = every.find((one) => one.matches('table.paninifs'));
            const cells = every.filter((one) => one.matches('[data-figure]'));
            return table && {
                seconds: Number(table.dataset.seconds),
                figures: Object.fromEntries(
                    cells.map((one) => [one.dataset.figure, one.textContent])),
            };
        }"""
    )


def number(words):
    return float(words.split()[0].replace(",", ""))


def await_figures(page, wanted, patience=60):
    """Look at the tab until what it says is as wanted; return that."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        told = shown(page)
        if told and wanted(told["figures"]):
            return told
        page.wait_for_timeout(100)
    raise AssertionError(f"the tab says {told} after {patience} s")


# --- in a browser ---------------------------------------------------------------------------------


@pytest.mark.soak("looks for a minute")
def test_for_a_minute_the_tab_says_what_the_run_says_of_itself(submit, client, repeated, look):
    run = submit(repeated(60), shard_rows=1024)
    page = look(address(client, f"/{TOPIC}"))
    seen = {}
    while not run.done:
        told = shown(page)
        if told and told["figures"].get("texts"):
            seen[told["seconds"]] = told["figures"]
            # It keeps up: what it shows is not older than a few of the moments that were sent.
            behind = [one for one in run.timeline.samples if one.seconds > told["seconds"]]
            assert len(behind) <= 8
        page.wait_for_timeout(500)
    summary = run.result()
    assert run.status().elapsed > 55
    line = {one.seconds: one for one in run.timeline.samples}
    told = [(line[at], figures) for at, figures in seen.items() if at in line]
    assert len(told) >= 60
    for sample, figures in told:
        texts, _, unwritten = figures["texts"].partition("), ")
        computed = sample.rows_done + (number(unwritten) if unwritten else 0)
        assert number(texts) == pytest.approx(computed, rel=0.01)
        rate = computed / sample.seconds
        assert number(figures["rate"]) == pytest.approx(rate, rel=0.01, abs=1)
    assert len({figures["texts"] for _, figures in told}) >= 20  # it moves
    end = await_figures(page, lambda figures: "time left" not in figures)
    assert end["figures"]["texts"] == "120,000 of 120,000 (100 %)"
    assert number(end["figures"]["rate"]) == pytest.approx(run.status().texts_per_second, rel=0.01)
    assert end["figures"]["micro-batch"].endswith(" texts, or 16.00 MiB")
    assert summary.done == 120_000
    assert look.complaints == []
    # The other pages have the tab too, and it has theirs.
    page.locator("a[href=workers]").click()
    page.locator(f"a[href={TOPIC}]").click()
    await_figures(page, lambda figures: "texts" in figures)


def test_block_times_are_those_of_dasks_fine_metrics(submit, client, repeated):
    run = submit(repeated(2), shard_rows=512)
    run.result()

    def spent(dask_scheduler, name=run._driver.topic):
        monitor = dask_scheduler.plugins["paninifs"]
        told = monitor.runs[name]
        told.figures.block_seconds.clear()
        told.figures.block_seconds.update(dict.fromkeys(run.record.block_seconds, -1.0))
        return monitor.block_seconds(told)

    run = SimpleNamespace(record=run.record)
    end = time.monotonic() + 30
    while time.monotonic() < end:
        measured = client.run_on_scheduler(spent)
        if measured == pytest.approx(dict(run.record.block_seconds), rel=0.01):
            return
        time.sleep(0.2)
    raise AssertionError(f"{measured} is not {run.record.block_seconds}")


def test_of_several_runs_the_reader_may_choose(submit, client, repeated, look):
    corpus = repeated(1)
    for name in ("first.zarr", "second.zarr"):
        submit(corpus, name, graph=pf.default_graph()).result()
    page = look(address(client, f"/{TOPIC}"))
    await_figures(page, lambda figures: figures)
    assert page.locator("h3").inner_text().endswith("second.zarr: finished")
    options = page.locator("select option").all_inner_texts()
    assert options[0] == "the newest"
    assert options[1].endswith("second.zarr (finished)")
    page.locator("select").select_option(options[2])
    page.locator("h3", has_text="first.zarr: finished").wait_for()
    assert look.complaints == []


BOXES = """() => {
    const inside = (root) => [...root.querySelectorAll('*')].flatMap(
        (one) => one.shadowRoot ? [one, ...inside(one.shadowRoot)] : [one]);
    return inside(document).filter((one) => one.matches('.bk-Figure, .bk-Div')).map((one) => {
        const box = one.getBoundingClientRect();
        return [box.left, box.top, box.right, box.bottom];
    });
}"""


@pytest.mark.parametrize(
    "width", [900, *(pytest.param(w, marks=pytest.mark.soak("other widths")) for w in (420, 1400))]
)
def test_charts_fit_the_page_and_do_not_overlap(submit, client, repeated, look, width):
    submit(repeated(2)).result()
    page = look(address(client, f"/{TOPIC}"), viewport={"width": width, "height": 900})
    await_figures(page, lambda figures: "texts" in figures)
    page.wait_for_timeout(500)
    boxes = page.evaluate(BOXES)
    assert len(boxes) >= 4
    assert all(box[2] <= width for box in boxes)
    for one, other in itertools.combinations(boxes, 2):
        apart_across = one[2] <= other[0] + 1 or other[2] <= one[0] + 1
        assert apart_across or one[3] <= other[1] + 1 or other[3] <= one[1] + 1


def test_names_that_are_markup_stay_text(submit, client, repeated, look):
    evil = "<img src=x onerror=window.pwned=1><script>window.pwned=1<&script>.zarr"
    submit(repeated(1), evil, graph=pf.default_graph()).result()
    page = look(address(client, f"/{TOPIC}"))
    await_figures(page, lambda figures: figures)
    assert evil in page.locator("h3").inner_text()
    assert page.evaluate("window.pwned") is None
    assert look.complaints == []


def test_block_times_are_never_less_than_the_run_has_told():
    """dask's come when a task ends, those of shards before: of a task of many, much sooner."""
    monitor = Monitor()
    monitor.log_event(TOPIC, message("run", seconds={"write": 5.0, "read": 1.0}))
    told = monitor.runs["run"]
    assert monitor.block_seconds(told) == {"write": 5.0, "read": 1.0}
    metrics = {
        ("execute", "digest", "write", "seconds"): 3.0,
        ("execute", "digest", "read", "seconds"): 2.0,
        ("execute", "digest", "read", "bytes"): 99.0,
        ("execute", "digest", "thread-cpu", "seconds"): 99.0,
        ("gather-dep", "read", "seconds"): 99.0,
    }
    span = SimpleNamespace(cumulative_worker_metrics=metrics)
    spans = SimpleNamespace(spans_search_by_name={("run",): [span]})
    monitor.scheduler = SimpleNamespace(extensions={"spans": spans})
    assert monitor.block_seconds(told) == {"write": 5.0, "read": 2.0}


def test_a_worker_that_was_killed_is_seen_in_what_was_begun_again(repeated, look, tmp_path, forked):
    with dask.config.set(forked), pf.connect(workers=2, quiet=True) as own:
        run = pf.submit(
            GRAPH, repeated(4), tmp_path / "r.zarr", client=own, progress=False, shard_rows=512
        )
        while run.status().shards_done < 2:
            time.sleep(0.05)
        pids = own.run(os.getpid)
        os.kill(next(iter(pids.values())), signal.SIGKILL)
        run.result()
        page = look(address(own, f"/{TOPIC}"))
        told = await_figures(page, lambda figures: "time left" not in figures)
        begun_again = int(told["figures"]["tasks restarted"])
        assert begun_again == run.status().retries == run.record.retries >= 1
        assert metrics(own)[(run.results, "paninifs_tasks_begun_again_total")] == begun_again


# --- Prometheus -----------------------------------------------------------------------------------


def test_metrics_are_the_runs_own_figures(submit, client, repeated):
    run = submit(repeated(3), shard_rows=512)
    while not run.status().shards_done:
        time.sleep(0.05)
    time.sleep(1.5)
    going = metrics(client)
    assert going[(run.results, "paninifs_state", "running")] == 1
    assert 0 < going[(run.results, "paninifs_texts_done_total")] < 6000
    run.result()
    time.sleep(1.5)
    told, now, record = metrics(client), run.status(), run.record
    values = {name[1]: value for name, value in told.items() if name[0] == run.results}
    assert values["paninifs_texts"] == values["paninifs_texts_done_total"] == 6000
    assert values["paninifs_text_bytes_total"] == record.text_bytes
    assert values["paninifs_shards_done_total"] == now.shards
    assert values["paninifs_texts_quarantined_total"] == 0
    assert values["paninifs_texts_per_second"] == pytest.approx(now.texts_per_second)
    assert values["paninifs_worker_threads"] == record.threads
    assert values["paninifs_worker_memory_bytes"] > 1 << 20
    assert "paninifs_device_busy_ratio" not in values  # there is none
    assert told[(run.results, "paninifs_state", "finished")] == 1
    for block, seconds in record.block_seconds.items():
        measured = told[(run.results, "paninifs_block_seconds_total", block)]
        assert measured == pytest.approx(seconds, rel=0.01)


# --- where it cannot be ---------------------------------------------------------------------------


def _not_there():
    raise ModuleNotFoundError("No module named 'paninifs'")


class Stranger:
    """What a scheduler without this package makes of the plugin."""

    name, idempotent = "stranger", True

    def __reduce__(self):
        return _not_there, ()


def test_a_scheduler_that_lacks_this_package_is_told_of_and_does_the_run(
    submit, repeated, monkeypatch
):
    from distributed.diagnostics.plugin import SchedulerPlugin

    plugin = type("Plugin", (Stranger, SchedulerPlugin), {})
    monkeypatch.setattr("paninifs.engine.monitoring.dashboard.monitor.Monitor", plugin)
    run = submit(repeated(1), graph=pf.default_graph())
    said = []
    run.events.subscribe(said.append)
    assert run.result().done == 2000
    (note,) = [event.text for event in said if isinstance(event, Notice)]
    assert note.startswith("dask's dashboard has no PaniniFS tab")
    assert "No module named 'paninifs'" in note


def test_a_scheduler_without_a_dashboard_does_the_run(repeated, tmp_path):
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=1,
            processes=False,
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
        ) as cluster,
        Client(cluster) as own,
    ):
        run = pf.submit(
            pf.default_graph(), repeated(1), tmp_path / "r.zarr", client=own, progress=False
        )
        assert run.result().done == 2000
        assert "paninifs" in cluster.scheduler.plugins
        assert add_page(cluster.scheduler, "never", lambda _: None) is False


def test_a_listener_that_fails_to_tell_does_not_disturb_the_run(submit, repeated, monkeypatch):
    def torn(*_):
        raise OSError("the scheduler went away")

    monkeypatch.setattr(telemetry.Telemetry, "send", torn)
    assert submit(repeated(1), graph=pf.default_graph()).result().done == 2000


# --- what the scheduler keeps ---------------------------------------------------------------------


def message(run, **figures):
    progress = Progress(state="running", rows=10, **figures)
    return {
        "run": run,
        "results": f"{run}.zarr",
        "figures": Figures.of(progress).to_message(),
        "sample": asdict(Sample(seconds=0.0, rows_done=0, text_bytes=0, quarantined=0, retries=0)),
    }


def test_runs_of_long_ago_are_forgotten_and_the_newest_is_last():
    monitor = Monitor()
    for at in range(MOST_RUNS + 5):
        monitor.log_event(TOPIC, message(f"run-{at}"))
    monitor.log_event(TOPIC, message("run-5"))
    monitor.log_event("another topic", "whatever")
    assert len(monitor.runs) == MOST_RUNS
    assert list(monitor.runs)[-1] == "run-5"
    assert next(iter(monitor.runs)) == "run-6"


def test_a_run_that_fell_silent_is_said_to_be(monkeypatch):
    monitor = Monitor()
    board = Board(monitor)
    board.update()
    assert "No run has reported yet" in board._shown
    monitor.log_event(TOPIC, message("run"))
    board.update()
    assert "No report for" not in board._shown
    chart = board._charts[0]._source.data
    monitor.log_event(TOPIC, message("run", rows_done=5))
    board.update()
    assert [len(one["seconds"]) for one in (chart, board._charts[0]._source.data)] == [1, 2]
    held = next(one for one in board._charts if "memory" in one._lines)
    assert len(held._source.data["seconds"]) == 0  # nobody has told
    told = message("run", rows_done=6)
    told["sample"] |= {"memory": 7, "spilled": 0}
    monitor.log_event(TOPIC, told)
    board.update()
    assert list(held._source.data["memory"]) == [7]  # of the one moment of three that is known
    monitor.runs["run"].heard -= 60
    board.update()
    assert "No report for 60 s" in board._shown


def test_figures_come_through_a_message_as_they_were():
    load = Load(
        workers=2,
        threads=4,
        cpu=1.5,
        memory=10,
        memory_limit=20,
        spilled=3,
        device=0.25,
        device_memory=7,
        device_memory_total=9,
    )
    progress = Progress(
        state="running",
        rows=10,
        shards=4,
        rows_done=2,
        shards_done=1,
        text_bytes=50,
        seconds={"<b>": 1.0},
        elapsed=2.0,
        retries=1,
        micro_batch=(5, 6),
        load=load,
    )
    figures = Figures.of(progress, "1 unit")
    assert Figures.from_message(pickle.loads(pickle.dumps(figures.to_message()))) == figures
    later = figures.to_message() | {"of a later version": 1}
    later["load"] |= {"of a later version": 1}
    assert Figures.from_message(later) == figures
    words = dict(figures.in_words())
    assert words["texts"] == "2 of 10 (20 %)"
    assert words["time left"] == "8 s"
    assert words["device"] == "25 % busy, 7 B of 9 B taken"
    assert words["cost so far"] == "1 unit"
