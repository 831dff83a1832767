"""Pages about climbs: what they say, from which parts of a history, and in how much memory."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

import paninifs as pf
from paninifs.engine.climbing.history.history import History
from paninifs.engine.climbing.history.stored_table import StoredTable
from paninifs.engine.climbing.pages.best_so_far import MOST_POINTS, BestSoFar, Thinned
from paninifs.engine.climbing.pages.climb_findings import Begun, find_climb
from paninifs.engine.climbing.pages.excursions import Excursions
from paninifs.engine.climbing.pages.failed_candidates import count_failures
from paninifs.engine.climbing.pages.shown_state import MOST_ROWS, shown_state
from paninifs.engine.climbing.proposers.proposer import NO_CANDIDATE, Acceptance, Kind
from paninifs.engine.climbing.scores import BatchScores, Scored
from paninifs.engine.climbing.settings import ClimbSettings
from paninifs.storage.errors import ResultsDamaged, ResultsNotFound, UsageError
from paninifs.storage.store.leases.lease import Lease
from paninifs.storage.targets.open import open_target

HOSTILE = "<script>window.pwned = 1</script>{{ 7 * 7 }}\x1b[2J\u202e"
ROUND = 256


class Written:
    """A history that is written without a climb: rounds of random scores, which rise."""

    def __init__(self, results, name, *, every=False, space=None, neighbours=ROUND, **facts):
        self.space = space or pf.Masks(8)
        self.target = open_target(f"{results}/climbs/{name}", None)
        settings = ClimbSettings(climbers=2, neighbours=neighbours).to_json()
        self.facts = {
            "objective": {"name": "made", "version": ""},
            "space": self.space.describe(),
            "start": None,
            "settings": settings,
            "batch": None,
        } | facts
        self.lease = Lease.acquire(self.target)
        self.history = History(self.target, self.space, self.facts, every=every)
        self.resumed = self.history.begin(self.lease.ticket, fresh=False)
        self.first, self.best = 0, (NO_CANDIDATE, None)
        self.random = np.random.default_rng(0)

    def add(self, scores, accepted=(), failures=(), climber=0):
        """Append a round; `accepted` has rows with kinds and parents."""
        states = self.space.random(self.random, len(scores))
        scored = Scored(len(scores))
        scored.fill(
            0,
            BatchScores(
                scores=np.asarray(scores, float), failures=dict(failures), seconds=1.0, worker="w-0"
            ),
            self.first,
        )
        of = SimpleNamespace(states=states, climber=climber, first=self.first, parent=NO_CANDIDATE)
        kept = [Acceptance(row, kind, parent) for row, kind, parent in accepted]
        self.history.add(of, scored, kept, float(self.first))
        if np.isfinite(scores).any():
            top = int(np.nanargmax(scores))
            if self.best[1] is None or scores[top] > self.best[1]:
                self.best, self.state = (self.first + top, float(scores[top])), states[top]
        self.first += len(scores)

    def commit(self, **summary):
        columns = {} if self.best[1] is None else self.space.columns(self.state[None])
        said = {
            "evaluations": self.first,
            "seconds": float(self.first),
            "best": {
                "score": self.best[1],
                "candidate": self.best[0],
                "state": {name: one[0].tolist() for name, one in columns.items()},
            },
        }
        state = {
            "seconds": np.array(float(self.first)),
            "evaluated": np.array(self.first),
            "retired": np.array(self.first),
        }
        self.history.commit(state, said | summary, self.lease.ticket, wait=True)

    def close(self, **summary):
        self.commit(**summary)
        self.history.close()
        self.lease.release()


def text_of(path):
    return path.read_text("utf-8")


# --- lines ----------------------------------------------------------------------------------------


def test_the_running_maximum_is_exact_at_every_point_that_is_kept():
    random = np.random.default_rng(0)
    scores = np.arange(30_000) / 1e4 + random.normal(size=30_000) / 1e5  # rises nearly everywhere
    scores[random.integers(0, 30_000, 500)] = np.nan
    line = BestSoFar(12_345)
    for part in np.array_split(np.arange(30_000), 7):
        line.add(part, part / 2, scores[part])
    points = line.points(30_000, 15_000.0)
    running = np.fmax.accumulate(scores)
    assert 900 < len(points) <= MOST_POINTS
    assert (points[:, 2] == running[points[:, 0].astype(int)]).all()
    assert (points[:-1, 1] == points[:-1, 0] / 2).all()
    assert points[-1].tolist() == [29_999, 15_000, running[-1]]
    assert line.best_within == running[12_344]


def test_a_short_line_has_every_gain():
    line = BestSoFar(3)
    for part in (np.arange(4), np.arange(4, 7)):
        scores = np.array([np.nan, 1.0, 0.5, 1.0, 1.0 + 1e-12, -2.0, 3.0])
        line.add(part, part * 2.0, scores[part])
    best = [(1, 2, 1.0), (4, 8, 1.0 + 1e-12), (6, 12, 3.0), (9, 20, 3.0)]
    assert list(map(tuple, line.points(10, 20.0))) == best
    assert line.best_within == 1.0


@pytest.mark.parametrize("count", [0, 1, 4, 5, 8, 9, 63, 64, 65, 1000])
def test_thinned_points_have_the_first_and_the_last(count):
    thinned = Thinned(5)
    for at in range(count):
        thinned.add(np.full((1, 3), float(at)))
    kept = thinned.points()[:, 0].tolist()
    assert len(kept) == len(set(kept)) <= 5
    assert kept == sorted(kept)
    assert not count or (kept[0], kept[-1]) == (0, count - 1)


# --- tables ---------------------------------------------------------------------------------------


def test_a_table_is_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("paninifs.engine.climbing.history.stored_table.PIECE_ROWS", 8192)
    made = Written(tmp_path, "one", every=True, neighbours=5000)
    for _ in range(4):
        made.add(made.random.random(5000))
    made.close()
    table = StoredTable(made.target, "candidates")
    pieces = list(table.pieces(["score", "state"]))
    assert [start for start, _ in pieces] == [0, 8192, 16384]
    opened = pf.open_climb(tmp_path, "one", "candidates")
    for name in ("score", "state"):
        joined = np.concatenate([rows[name] for _, rows in pieces])
        assert joined.tobytes() == opened[name].values.tobytes()
        assert (table.row(name, 9000) == opened[name].values[9000]).all()
    assert StoredTable(made.target, "none").rows == 0


@pytest.mark.parametrize("key", ["candidates/score/c/1", "candidates/at/zarr.json"])
def test_a_history_that_lacks_a_part_is_damaged_and_not_zeros(tmp_path, key):
    made = Written(tmp_path, "one", every=True, neighbours=5000)
    for _ in range(2):
        made.add(made.random.random(5000))
    made.close()
    made.target.put(key, b"")
    with pytest.raises(ResultsDamaged, match=key):
        pf.climb_report(tmp_path, out=tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


# --- the tree of summits --------------------------------------------------------------------------


def rows_of(*rows):
    names = ("candidate", "parent", "kind", "climber", "score")
    return {
        name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)
    }


def test_an_excursion_knows_its_summit_and_where_it_set_out():
    tree = Excursions(climbers=2, neighbours=10)
    tree.add(
        rows_of(
            (0, NO_CANDIDATE, Kind.START, 0, 1.0),
            (5, 0, Kind.GAIN, 0, 4.0),
            (10, NO_CANDIDATE, Kind.START, 1, 2.0),
            (24, 5, Kind.ANNEALED, 0, 3.0),
            (30, 10, Kind.BACKTRACK, 1, 0.0),  # from its own start
            (50, 26, Kind.SHARED, 1, 2.5),  # from a candidate of climber 0 that was not accepted
        )
    )
    tree.add(
        rows_of(
            (60, NO_CANDIDATE, Kind.RESTART, 0, 1.5),
            (72, 50, Kind.GAIN, 1, 5.0),
            (80, 60, Kind.GAIN, 0, 2.2),
        )
    )
    found = tree.highest()
    assert tree.count == 5
    assert [(one.first, one.best, one.score) for one in found] == [
        (0, 5, 4.0),
        (10, 10, 2.0),
        (30, 30, 0.0),
        (50, 72, 5.0),
        (60, 80, 2.2),
    ]
    parents = [one.parent and one.parent.first for one in found]
    assert parents == [None, None, 10, 0, None]
    assert [one.is_root for one in found] == [True, True, False, False, True]


@pytest.mark.slow("fifty thousand excursions")
def test_of_many_excursions_the_highest_and_their_ancestors_are_kept():
    random = np.random.default_rng(1)
    tree, summit, best = (
        Excursions(climbers=2, neighbours=1),
        [NO_CANDIDATE, NO_CANDIDATE],
        [-1.0, -1.0],
    )
    rows = []
    for number in range(50_000):
        climber, score = number % 2, float(random.random())
        kind = Kind.BACKTRACK if summit[climber] != NO_CANDIDATE else Kind.RESTART
        if kind is Kind.BACKTRACK and random.random() < 0.001:
            kind, summit[climber], best[climber] = Kind.RESTART, NO_CANDIDATE, -1.0
        rows.append((number, summit[climber], kind, climber, score))
        if score > best[climber]:
            summit[climber], best[climber] = number, score
    for part in range(0, 50_000, 9000):
        tree.add(rows_of(*rows[part : part + 9000]))
    found = tree.highest()
    assert (tree.count, len(found)) == (50_000, 200)
    assert sum(map(len, tree._held.values())) < 16_000
    scores = sorted((one.score for one in found), reverse=True)
    top = sorted((row[-1] for row in rows), reverse=True)
    assert scores[:40] == top[:40]
    for one in found:
        parent = rows[one.first][1]
        assert (one.parent.first if one.parent else NO_CANDIDATE) == parent
        assert one.is_root == (parent == NO_CANDIDATE)


def test_an_excursion_that_goes_on_is_kept_however_low_it_is():
    tree = Excursions(climbers=2, neighbours=1)
    high = [(2 * at, NO_CANDIDATE, Kind.RESTART, 0, 1.0 + at) for at in range(1, 5000)]
    tree.add(rows_of((1, NO_CANDIDATE, Kind.START, 1, 0.5), (3, 1, Kind.BACKTRACK, 1, 0.0), *high))
    tree.add(rows_of((10_001, 3, Kind.GAIN, 1, 9000.0)))
    top = max(tree.highest(), key=lambda one: one.score)
    assert (top.first, top.best, top.climber, top.parent.score) == (3, 10_001, 1, 0.5)


def test_ancestors_that_are_too_many_are_skipped():
    tree = Excursions(climbers=1, neighbours=1)
    tree.add(
        rows_of(*[(at, at - 1, Kind.BACKTRACK if at else Kind.START, 0, at) for at in range(9000)])
    )
    found = tree.highest(50)
    assert len(found) == 50
    assert [one.score for one in found] == list(range(8950, 9000))
    assert all(one.parent in found for one in found[1:])
    assert found[0].parent is None
    assert not found[0].is_root


# --- failures and states --------------------------------------------------------------------------


def test_failures_are_counted_by_reason_with_the_first_of_each(tmp_path, monkeypatch):
    monkeypatch.setattr("paninifs.engine.climbing.history.stored_table.PIECE_ROWS", 8192)
    made = Written(tmp_path, "one")
    for number in range(5):  # of the last reason are some in both pieces
        failures = {row: f"<b>{row % 3}</b>" for row in range(2000)} | {number: "early"}
        made.add(np.full(2048, 1.0), failures=failures | ({1999: "late"} if number > 2 else {}))
    made.close()
    reasons = pf.open_climb(tmp_path, "one").attrs["reasons"]
    table = StoredTable(made.target, "failed")
    found = count_failures(table, reasons)
    counts = {one.words: one.count for one in found.reasons}
    assert counts == {"<b>0</b>": 3333, "<b>1</b>": 3331, "<b>2</b>": 3329, "early": 5, "late": 2}
    assert (found.count, found.rest) == (10_000, 0)
    first = {one.words: [each.candidate for each in one.first] for one in found.reasons}
    assert first["early"] == [0, 2049, 4098]
    assert first["late"] == [3 * 2048 + 1999, 4 * 2048 + 1999]
    for one in found.reasons:
        assert len(one.first) <= 3
        for failed in one.first:
            assert table.row("candidate", failed.row) == failed.candidate
    rest = count_failures(table, reasons[:1])  # reasons that were written meanwhile
    assert rest.reasons[0].count == 10_000


def test_a_state_is_shown_by_the_names_of_its_space():
    masks, weights = pf.Masks(["a/b/x", "a/b/y", "c/x", "c/y"]), pf.Simplex(["heavy", "light"])
    space = pf.Product(weights=weights, masks=masks, order=pf.Permutations(["one", "two", "three"]))
    state = {"weights": [0.25, 0.75], "masks": [1, 1, 0, 0], "order": [2, 0, 1]}
    parts = {one.name: one.rows for one in shown_state(space.describe(), state)}
    assert parts == {
        "weights": (("heavy", "0.25"), ("light", "0.75")),
        "masks": (("a/b", "x, y"), ("c", "none")),
        "order": (("1", "three"), ("2", "one"), ("3", "two")),
    }
    (plain,) = shown_state(pf.Masks(5).describe(), {"state": [0, 1, 0, 0, 1]})
    assert (plain.name, plain.rows) == ("", (("2 of 5", "1, 4"),))


def test_a_long_state_is_shortened():
    (part,) = shown_state(pf.Floats(1000, 0, 1).describe(), {"state": [0.5] * 1000})
    assert (len(part.rows), part.left_out) == (MOST_ROWS, 800)
    (part,) = shown_state(pf.Masks(1000).describe(), {"state": [1] * 1000})
    assert part.rows[0][0] == "1,000 of 1,000"
    assert part.rows[0][1].endswith("59 and 940 more")


# --- the page -------------------------------------------------------------------------------------


@pf.objective(vectorized=True)
def ones(masks):
    if (masks[:, :3].sum(axis=1) == 3).any():
        raise ValueError(HOSTILE)
    return masks.sum(axis=1) * 1.0


def judged():
    """Return an objective that says what states are worth."""
    return replace(
        ones,
        name="judged",
        judge=lambda state: [("Bits <i>", f"{int(state.sum())} of {len(state)}")],
    )


def climb(inline, results, name, objective=ones, **options):
    options = {"evaluations": 320, "climbers": 2, "neighbours": 16} | options
    return pf.climb(
        objective, pf.Masks(10), results, name=name, client=inline, progress=False, **options
    )


@pytest.fixture(scope="module")
def store(inline, tmp_path_factory):
    """A store with three climbs of one problem, and one of another."""
    results = tmp_path_factory.mktemp("climbs")
    for seed, keep in enumerate(["accepted", "all", "all"]):
        climb(inline, results, f"ones-{seed}", seed=seed, keep=keep).result()
    climb(inline, results, "judged", judged()).result()
    return results


@pytest.fixture(scope="module")
def made(store, tmp_path_factory):
    return pf.climb_report(store, out=tmp_path_factory.mktemp("page") / "climbs.html")


def test_the_page_is_made_from_the_store_alone(store, made):
    text = text_of(made.path)
    assert text.count("<h2 ") == 5  # the climbs, and those of one problem side by side
    assert "Bits &lt;i&gt;" in text
    for words in ("320 evaluations of 320", "2 climbers", "window.pwned"):
        assert (words in text) == (words != "2 climbers")
    attributes = pf.open_climb(store, "judged").attrs
    best = attributes["best"]
    assert attributes["judgement"] == [["Bits <i>", f"{int(best['score'])} of 10"]]
    assert attributes["over"]
    assert dict(made.headline)["judged"] == f"best score {best['score']:g}, 320 evaluations"


def test_names_and_reasons_reach_the_page_escaped(made):
    text = text_of(made.path)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "{{ 7 * 7 }}" in text
    assert "\\x1b[2J" in text
    assert not {"\x1b", "\u202e"} & set(text)


def test_climbs_of_one_problem_are_compared_over_the_same_evaluations(store, made):
    text = text_of(made.path)
    compared = text[text.index('id="compared"') : text.index('id="climb-0"')]
    assert "the highest score after 320 evaluations first" in compared
    for seed in range(3):
        assert f"ones-{seed}" in compared
    assert "judged" not in compared
    begun = Begun.read(open_target(f"{store}/climbs/ones-1", None), "ones-1")
    scores = pf.open_climb(store, "ones-1", "candidates").score.values
    for most in (1, 50, 320):
        assert find_climb(begun, most).best_within == np.nanmax(scores[:most])


def test_a_larger_budget_is_judged_again(inline, tmp_path):
    for evaluations in (32, 640):
        summit = climb(inline, tmp_path, "one", judged(), evaluations=evaluations).result()
        attributes = pf.open_climb(tmp_path, "one").attrs
        assert dict(summit.judgement) == dict(attributes["judgement"])
        assert dict(summit.judgement) == {"Bits <i>": f"{int(summit.score)} of 10"}
        assert attributes["budget"]["evaluations"] == evaluations


def test_a_climb_and_its_summit_show_themselves(inline, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    begun = climb(inline, tmp_path, "one", judged())
    summit = begun.result()
    report = begun.page()
    assert report.path == tmp_path / "one.html"
    assert "<iframe" in report._repr_html_()
    shown = summit._repr_html_()
    assert "Bits &lt;i&gt;" in shown
    assert f"pf.climb_report(&#x27;{tmp_path}&#x27;, &#x27;one&#x27;)" in shown
    assert "climbs" in text_of(begun.page(tmp_path / "again.html").path)


def test_an_unfinished_climb_says_so(tmp_path):
    made = Written(tmp_path, "one")
    made.add(np.linspace(0, 1, ROUND), [(0, Kind.START, NO_CANDIDATE), (255, Kind.GAIN, 0)])
    made.commit()  # and goes on
    made.add(np.linspace(1, 2, ROUND), [(255, Kind.GAIN, 255)], climber=1)
    text = text_of(pf.climb_report(tmp_path, out=tmp_path / "page.html").path)
    assert "has not spent its budget" in text
    made.close(over=True, budget={"evaluations": 512, "seconds": 9.0, "dollars": None})
    text = text_of(pf.climb_report(tmp_path, out=tmp_path / "page.html").path)
    assert "has not spent its budget" not in text
    assert "512 evaluations of 512, 8.5 min of 9 s" in text


@pytest.mark.parametrize("failures", [{}, dict.fromkeys(range(ROUND), HOSTILE)])
def test_a_climb_with_no_state_has_a_page(tmp_path, failures):
    made = Written(tmp_path, "one")
    made.add(np.full(ROUND, np.nan), failures=failures)
    made.close()
    report = pf.climb_report(tmp_path, "one", tmp_path / "page.html")
    text = text_of(report.path)
    assert "No candidate has a score" in text
    assert ("&lt;script&gt;" in text) == bool(failures)
    assert report.headline == (("one", "no score yet, 256 evaluations"),)
    assert text.count("<svg") == 0


@pytest.mark.parametrize(
    "scores", [[1e308, -1e308, 1e307], [0.0, 0.0, 0.0], [1e-320, 1e-321, 0.0], [5.0]]
)
def test_scores_of_any_size_are_drawn(tmp_path, scores):
    made = Written(tmp_path, "one")
    starts = [(row, Kind.RESTART, NO_CANDIDATE) for row in range(len(scores))]
    made.add(scores, starts)
    made.close()
    assert text_of(pf.climb_report(tmp_path, out=tmp_path / "page.html").path).count("<svg") == 3


def test_a_hostile_folder_in_a_store_is_escaped(tmp_path):
    made = Written(tmp_path, "<b>one<\x07", objective={"name": HOSTILE, "version": HOSTILE})
    made.add([1.0, 2.0], [(0, Kind.START, NO_CANDIDATE)])
    made.close(judgement=[[HOSTILE, HOSTILE]], workers=[HOSTILE])
    text = text_of(pf.climb_report(tmp_path, out=tmp_path / "page.html").path)
    assert "&lt;b&gt;one&lt;\\x07" in text
    assert not any(one in text for one in ("<script", "<b>", "\x07", "\x1b"))


@pytest.mark.parametrize(
    ("names", "out", "error", "words"),
    [
        (None, "page.html", ResultsNotFound, "has no climb yet"),
        ("one", "page.html", ResultsNotFound, "no climb 'one'"),
        (None, "mine.html", UsageError, "is not a report"),
        (None, "gs://bucket/page.html", UsageError, "local path"),
    ],
)
def test_a_wrong_request_is_refused(tmp_path, names, out, error, words):
    (tmp_path / "mine.html").write_text("mine")
    with pytest.raises(error, match=words):
        pf.climb_report(tmp_path, names, out if "://" in out else tmp_path / out)
    assert (tmp_path / "mine.html").read_text() == "mine"


def test_the_report_of_a_store_lists_its_climbs(inline, glosses, tmp_path, write_jsonl):
    results = tmp_path / "out.zarr"
    run = {"client": inline, "progress": False}
    corpus = pf.open_corpus(write_jsonl(glosses[:20]))
    pf.submit(pf.default_graph(), corpus, results, **run).result()
    before = text_of(pf.report(results, tmp_path / "report.html").path)
    assert 'id="climbs"' not in before
    made = Written(results, "<i>one")
    made.add([1.0, 2.5], [(0, Kind.START, NO_CANDIDATE)])
    made.close()
    open_target(f"{results}/climbs/broken", None).put("zarr.json", b"{")
    text = text_of(pf.report(results, tmp_path / "report.html").path)
    section = text[text.index('<section aria-labelledby="climbs">') :]
    assert "&lt;i&gt;one" in section
    assert '<td class="n">2.5</td><td class="n">2</td>' in section
    assert "climb_report" in section
    assert pf.verify(results).passed


def test_the_page_loads_nothing(made, look):
    page = look(made.path.as_uri(), offline=True, java_script_enabled=False)
    assert "Side by side" in page.inner_text("body")
    assert page.locator("script").count() == 0
    assert look.requests == [made.path.as_uri()]
    assert look.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_accessible(made, look, scheme):
    # The checker is a script, and the page's policy allows none.
    page = look(made.path.as_uri(), color_scheme=scheme, bypass_csp=True)
    page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
    for width in (1200, 390):
        page.set_viewport_size({"width": width, "height": 800})
        found = Axe().run(page).response["violations"]
        assert [(one["id"], one["impact"], one["nodes"][0]["html"]) for one in found] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


# --- a million rows -------------------------------------------------------------------------------


def million(results, name, rounds):
    """Write rounds of 8,000 candidates, all of which are kept and half of which are accepted."""
    made = Written(results, name, every=True, neighbours=8000)
    for number in range(made.first // 8000, rounds):
        base = number / rounds
        scores = base + made.random.random(8000) / 10
        kinds = np.where(np.arange(8000) % 40, Kind.GAIN, Kind.BACKTRACK)
        accepted = [(row, kinds[row], max(0, made.first + row - 2)) for row in range(0, 8000, 2)]
        made.add(scores, accepted, {3: "odd", 5: f"reason {number % 30}"}, climber=number % 2)
        if number % 5 == 4:
            made.commit()
    made.close(over=True)
    return made


@pytest.mark.slow("as below")
@pytest.mark.soak("writes and draws two million rows")
def test_a_million_rows_are_written_resumed_and_drawn_in_bounded_memory(tmp_path):
    peaks = {}
    million(tmp_path / "warm", "one", 1)
    pf.climb_report(tmp_path / "warm", out=tmp_path / "page.html")  # imports, fonts
    for rounds in (25, 250):
        results = tmp_path / str(rounds)
        tracemalloc.start()
        made = million(results, "one", rounds)
        writing = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        again = Written(results, "one", every=True, neighbours=8000)
        assert (again.resumed.evaluated, again.history.candidates.rows) == (made.first,) * 2
        again.first, again.best, again.state = made.first, made.best, made.state
        again.add(np.full(8000, 9.0), [(0, Kind.RESTART, NO_CANDIDATE)])
        again.close(over=True)
        resuming = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        page = pf.climb_report(results, out=tmp_path / "page.html").path
        peaks[rounds] = (writing, resuming, tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        rows = 8000 * (rounds + 1)
        opened = pf.open_climb(results, "one", "candidates")
        assert opened.sizes["candidates"] == rows
        assert (rows, page.stat().st_size < 1_000_000) == (8000 * (rounds + 1), True)
        found = find_climb(Begun.read(made.target, "one"), rows)
        running = np.maximum.accumulate(opened.score.values)
        line = found.best_so_far
        assert len(line) <= MOST_POINTS
        assert (line[:, 2] == running[line[:, 0].astype(int)]).all()
        assert (found.accepted_count, found.failures.count) == (4000 * rounds + 1, 2 * rounds)
    for small, large in zip(*peaks.values(), strict=True):
        assert large < 1.5 * small + (4 << 20), peaks
