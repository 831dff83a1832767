"""Climbs in results stores: neither disturbs the other, and a budget in dollars has a price."""

from __future__ import annotations

import pytest

import paninifs as pf
from paninifs.engine.climbing import climb as climbing
from paninifs.engine.climbing.climb_budget import Budget
from paninifs.engine.climbing.history import history
from paninifs.engine.costs.meter import Spent
from paninifs.storage.errors import ResultsDamaged, UsageError
from paninifs.storage.targets.open import open_target

TEXTS = ["un", "deux", "trois", "quatre"]


def ones(mask):
    return float(mask.sum())


def run(inline, results, **options):
    given = {"client": inline, "progress": False, **options}
    return pf.submit(pf.default_graph(), pf.open_corpus(texts=TEXTS), results, **given).result()


def climb(inline, results, **options):
    given = {"evaluations": 500, "client": inline, "progress": False, **options}
    return pf.climb(ones, pf.Masks(8), results, **given).result()


def test_a_climb_in_a_store_changes_none_of_its_results(inline, tmp_path):
    results = tmp_path / "out.zarr"
    run(inline, results)
    climb(inline, results)
    assert pf.verify(results, corpus=pf.open_corpus(texts=TEXTS))
    assert run(inline, results).done == 4
    run(inline, results, fresh=True)
    assert pf.open_results(results).sizes["text"] == 4
    assert pf.open_climb(results, "ones").score.max() == 8
    assert climb(inline, results, evaluations=1_000).evaluations == 1_000


def test_a_store_is_begun_where_a_climb_is(inline, tmp_path):
    results = tmp_path / "out.zarr"
    climb(inline, results)
    assert run(inline, results).done == 4
    assert pf.open_climb(results, "ones").attrs["evaluations"] == 500


def test_a_climb_over_a_stores_shares_hashes_nothing(inline, tmp_path):
    results = tmp_path / "out.zarr"
    texts = [f"texte {number}" for number in range(60)]
    frame = {"text": texts, "group": ["a", "b", "c"] * 20}
    corpus = pf.open_corpus(frame, keep=["group"])
    pf.submit(pf.dhatu(), corpus, results, client=inline, progress=False).result()
    of_store = pf.signature_separation(results, "group")
    of_texts = pf.signature_separation(texts=texts, labels=frame["group"])
    assert of_store.describe() == of_texts.describe()
    options = {"evaluations": 400, "client": inline, "progress": False}
    summit = pf.climb(of_store, results=results, **options).result()
    assert "chance" in dict(summit.judgement).popitem()[1]


# --- budgets --------------------------------------------------------------------------------------


def test_any_limit_ends_a_budget():
    budget = Budget(seconds=10.0, dollars=2.0)
    assert not budget.is_spent(9.0, 1.0)
    assert budget.is_spent(10.0, None)
    assert budget.is_spent(1.0, 2.0)
    assert not budget.is_spent(1.0, None)
    assert budget.rounds(8) > 10**9


def test_dollars_without_a_price_are_refused(inline, tmp_path):
    with pytest.raises(UsageError, match=r"no price .* seconds="):
        climb(inline, tmp_path, evaluations=None, dollars=1.0)


def test_dollars_end_a_climb(inline, tmp_path, monkeypatch):
    def cost(self, seconds):
        return Spent(None, seconds / 1_000)

    monkeypatch.setattr(climbing.Meter, "cost", cost)
    summit = climb(inline, tmp_path, evaluations=None, dollars=0.001)
    assert 1.0 <= summit.seconds < 60


def test_a_store_in_memory_has_climbs(inline):
    climb(inline, "memory://")
    assert pf.open_climb("memory://", "ones").sizes["accepted"] > 0


@pytest.mark.parametrize("results", ["", 3])
def test_a_store_without_a_path_is_refused(inline, results):
    with pytest.raises(UsageError, match="results must be a path or a URL"):
        climb(inline, results)


# --- damage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "data"),
    [
        ("_run/state.npz", None),
        ("_run/state.npz", b""),
        ("_run/state.npz", b"PK"),
        ("_run/state.npz", b"\x93NUMPY"),
        ("_run/climb.json", b""),
        ("_run/climb.json", b"[]"),
        ("_run/climb.json", b'{"facts": 3, "every": false}'),
        ("accepted/score/c/0", b"torn"),
        ("accepted/state/c/0/0", None),
    ],
)
def test_a_damaged_history_is_not_lost_silently(inline, tmp_path, key, data):
    climb(inline, tmp_path)
    target = open_target(f"{tmp_path}/climbs/ones")
    target.delete([key])
    if data is not None:
        target.put(key, data)
    with pytest.raises(ResultsDamaged, match="fresh=True"):
        climb(inline, tmp_path, evaluations=1_000)
    assert climb(inline, tmp_path, fresh=True).evaluations == 500


@pytest.mark.parametrize("data", [b"", b"[]", b'{"attributes": 3}', b"{}"])
def test_a_damaged_group_is_named(inline, tmp_path, data):
    climb(inline, tmp_path)
    open_target(f"{tmp_path}/climbs/ones").put("zarr.json", data)
    with pytest.raises(ResultsDamaged, match=r"zarr\.json is damaged"):
        pf.open_climb(tmp_path, "ones")
    with pytest.raises(ResultsDamaged):
        pf.climb_report(tmp_path, out=tmp_path / "page.html")


def test_a_missing_chunk_is_not_read_as_zeros(inline, tmp_path):
    climb(inline, tmp_path)
    open_target(f"{tmp_path}/climbs/ones").delete(["accepted/score/c/0"])
    with pytest.raises(ResultsDamaged, match="accepted/score/c/0 is missing"):
        pf.open_climb(tmp_path, "ones").score.load()


def test_a_history_that_is_being_written_has_columns_of_one_length(inline, tmp_path):
    climb(inline, tmp_path)
    target = open_target(f"{tmp_path}/climbs/ones")
    before = pf.open_climb(tmp_path, "ones").load()
    climb(inline, tmp_path, evaluations=4_000)
    longer = target.get("accepted/score/zarr.json")
    climb(inline, tmp_path, fresh=True)  # as it was before, but for one column's metadata
    target.put("accepted/score/zarr.json", longer)
    target.put("accepted/.writing-1", b"half")
    assert pf.open_climb(tmp_path, "ones").load().score.equals(before.score)


def test_reasons_beyond_the_number_that_is_kept_are_not_taken_for_another(
    inline, tmp_path, monkeypatch
):
    monkeypatch.setattr(history, "MOST_REASONS", 3)

    def numbered(mask):
        if mask[0]:
            raise ValueError(int(mask @ [1, 2, 4, 8]))
        return float(mask.sum())

    options = {"evaluations": 200, "client": inline, "progress": False}
    pf.climb(numbered, pf.Masks(4), tmp_path, **options).result()
    failed = pf.open_climb(tmp_path, "numbered", "failed").load()
    reasons = failed.attrs["reasons"]
    assert reasons[2:] == [history.OTHERS]
    for state, reason in zip(failed.state.values, failed.reason.values, strict=True):
        number = int(state @ [1, 2, 4, 8])
        assert reasons[reason] == history.OTHERS or f"ValueError: {number} " in reasons[reason]
