"""The advisor: what is ranked first, what is impossible, and whether it says why."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import paninifs as pf
from paninifs.engine.advisor import feasibility
from paninifs.engine.advisor.advise import UNMEASURED, advise, answer
from paninifs.engine.advisor.feasibility import Tier
from paninifs.engine.advisor.fit import fit
from paninifs.engine.advisor.question import Question, names_of
from paninifs.engine.costs import calibration
from paninifs.engine.costs.calibration import Rate, reference
from paninifs.engine.costs.catalogue import RENTED, Machine, Offer, Plan
from paninifs.engine.costs.catalogue_files import VARIABLE, open_catalogue
from paninifs.engine.costs.prediction import Prediction
from paninifs.engine.costs.pricing import Alternative, compare, price
from paninifs.engine.costs.work import Model, Work
from paninifs.engine.hardware.cpu import processor
from paninifs.storage.errors import UsageError

HASHING = Work(10_000_000, mean_bytes=200)
SBERT = Model("SBERT", 278_000_000)
EMBEDDING = Work(100_000, kind="embedding", models=(SBERT,))
HERE = Machine(
    name="this machine", title="this machine", kind="cpu", backend="cpu", cores=2, ram_gb=16
)


def predict(machine, work, hours=None):
    """Take an hour a billion bytes on a core, by its multiprocessors less on a GPU."""
    if hours is None:
        parameters = sum(model.parameters for model in work.models) / 1e8
        hours = work.text_bytes / 1e9 * (parameters * 10 if work.models else 1)
        hours /= machine.sms or machine.cores or 1
    return Prediction(
        seconds=hours * 3600,
        parts={"hashing": hours * 3600},
        bound="hashing",
        host_bytes=10**9,
        device_bytes=10**9,
        basis="arithmetic",
    )


def taking(**hours):
    """Return a `predict` that takes so many hours on the machines named, and 1000 on others."""
    named = {name.replace("_", " "): value for name, value in hours.items()}
    return lambda machine, work: predict(machine, work, named.get(machine.name, 1000.0))


@pytest.fixture(autouse=True)
def nobodys_own(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


def ask(work=HASHING, *, catalogue=None, here=None, predict=predict, free=(), **said):
    used = open_catalogue(catalogue)
    if here is not None:
        offer = Offer(True, "always", None, "own")
        mine = replace(here, offers=dict.fromkeys(used.plans, offer))
        used = replace(used, machines={mine.name: mine, **used.machines})
    return answer(Question(work=work, free=frozenset(free), **said), used, predict)


def order(advice):
    return [row.name for row in advice.rows]


def reasons(advice, name):
    return " | ".join(advice.row(name).reasons)


# --- cost, memory fit and session limit -----------------------------------------------------------


def test_the_free_machine_comes_first_and_one_that_costs_nothing_now_goes_before_it():
    advice = ask(plan="payg", predict=taking(T4=2.0, L4=1.0))
    assert advice.recommended[0] == "L4"  # 1.71 units against 2.38
    assert ask(plan="payg", free=["T4"], predict=taking(T4=2.0, L4=1.0)).recommended[0] == "T4"


def test_the_cheapest_is_first_and_within_a_tenth_the_faster():
    # 1.19 units per hour on a T4, 1.71 on an L4: the same cost at 1.437 hours to 1.
    def first(t4, l4):
        return ask(plan="payg", predict=taking(T4=t4, L4=l4)).recommended[0]

    assert first(1.40, 1.0) == "L4"  # T4 3 % cheaper: a tie
    assert first(1.25, 1.0) == "T4"  # 13 % cheaper
    assert first(1.70, 1.0) == "L4"


def test_units_that_are_paid_for_cost_no_dollars_and_are_still_used():
    cost = ask(plan="pro", runs_per_month=10, predict=taking(L4=1.0)).row("L4").cost
    assert (cost.usd_month, cost.units_month) == (0, pytest.approx(17.1))
    assert cost.units_left == pytest.approx(82.9)
    beyond = ask(plan="pro", runs_per_month=100, predict=taking(L4=1.0)).row("L4").cost
    assert beyond.usd_month == pytest.approx((171 - 100) * 0.0999)
    assert beyond.usd == pytest.approx(beyond.usd_month / 100)


def test_of_machines_whose_units_are_paid_for_the_one_that_uses_fewer_is_first():
    hours = taking(T4=2.0, A100=1.0)  # 2.38 units and 5.4, of 100 that Pro includes
    advice = ask(plan="pro", predict=hours)
    assert advice.row("T4").usd == advice.row("A100").usd == 0
    assert advice.recommended[:2] == ("T4", "A100")


def test_units_left_are_what_the_user_says_not_what_the_plan_includes():
    cost = ask(plan="pro", units_left=5, predict=taking(L4=10.0)).row("L4").cost
    assert cost.usd == pytest.approx((17.1 - 5) * 0.0999)


def test_an_expensive_machine_goes_over_a_budget_and_then_last():
    said = {"plan": "payg", "runs_per_month": 100, "stage": "production"}
    ample = ask(predict=taking(A100=1.0, L4=2.0, T4=3.0), **said)
    assert ample.recommended[0] == "A100"
    tight = ask(predict=taking(A100=1.0, L4=2.0, T4=3.0), budget=40, **said)
    assert tight.recommended[0] == "L4"
    assert tight.row("A100").verdict == "no"
    assert "over the budget of $40.00 per month: costs $53.95 per month" in reasons(tight, "A100")


def test_a_budget_of_a_month_is_held_against_one_run_where_no_runs_are_said_and_that_is_said():
    advice = ask(plan="payg", budget=0.3, predict=taking(T4=1.0, A100=1.0))
    assert "over the budget of $0.30 per month: costs $0.54 per run" in reasons(advice, "A100")
    for name in ("T4", "A100"):
        assert "compared with one run, because their number was not given" in reasons(advice, name)
    assert any("and the budget is compared with one" in line for line in advice.why)
    for said in ({"budget": 0.3, "runs_per_month": 1}, {}):
        other = ask(plan="payg", predict=taking(T4=1.0), **said)
        assert "compared with one" not in " | ".join([*other.why, reasons(other, "T4")])


def test_a_cost_that_is_not_known_is_said_and_does_not_pass_a_budget():
    advice = ask(plan="pro+", predict=taking(H100=1.0))
    assert advice.row("H100").usd is None
    assert "its cost is not known" in reasons(advice, "H100")
    asked = ask(plan="pro+", budget=10, predict=taking(H100=1.0))
    assert asked.row("H100").tier is Tier.UNCERTAIN
    assert "H100" not in asked.recommended


def test_a_model_has_to_fit_in_the_precision_that_it_is_timed_in_and_is_last_where_it_does_not():
    big = Work(1000, kind="embedding", models=(Model("big", 5_000_000_000),))
    advice = ask(big, plan="payg")
    assert (advice.row("T4").verdict, advice.row("T4").tier) == ("yes", Tier.READY)
    assert "needs 12.0 GB in FP16 (2 bytes per parameter) of its 16.0 GB" in reasons(advice, "T4")
    assert advice.row("CPU").verdict == "no"
    assert "does not fit: needs 22.0 GB in FP32 (4 bytes per parameter)" in reasons(advice, "CPU")
    huge = Work(1000, kind="embedding", models=(Model("huge", 12_000_000_000),))
    advice = ask(huge, plan="payg")
    assert advice.row("L4").verdict == "no"
    assert "does not fit: needs 26.0 GB in FP16" in reasons(advice, "L4")
    assert "but has 24.0 GB" in reasons(advice, "L4")
    assert order(advice).index("A100") < order(advice).index("L4")


def test_four_models_of_the_guide_fit_a_t4_one_after_another():
    # The guide: "not enough memory for four models on a T4".
    models = tuple(Model(n, p) for n, p in (("a", 278), ("b", 335), ("c", 568), ("d", 340)))
    models = tuple(Model(m.name, m.parameters * 10**6) for m in models)
    assert fit(
        Work(1, kind="embedding", models=models),
        Machine(name="T4", title="T4", kind="gpu", backend="cuda", memory_gb=16),
        None,
    ).fits


def test_models_are_in_memory_one_at_a_time():
    three = tuple(Model(name, 5 * 10**9) for name in "abc")  # 10 GB each
    t4 = Machine(name="T4", title="T4", kind="gpu", backend="cuda", memory_gb=16)
    assert fit(Work(1, kind="embedding", models=three), t4, None).fits


def test_memory_that_is_not_known_is_said():
    found = fit(EMBEDDING, Machine(name="X", title="X", kind="gpu", backend="cuda"), None)
    assert found.fits is None
    assert "not known" in found.reason


def test_work_that_needs_more_than_the_host_has_does_not_fit():
    def hungry(machine, work):
        return Prediction(
            seconds=60,
            parts={},
            bound="reading",
            host_bytes=13 * 10**9,
            device_bytes=10**9,
            basis="arithmetic",
        )

    advice = ask(plan="pro", predict=hungry)
    assert "needs 13.0 GB of host memory, but the host has 12.0 GB" in reasons(advice, "T4")
    assert advice.row("A100").verdict == "yes"


def test_a_run_longer_than_a_session_goes_on_in_the_next_and_comes_after_one_that_is_not():
    advice = ask(plan="free", predict=taking(T4=13.0, CPU=11.9))
    assert order(advice)[:2] == ["CPU", "T4"]
    assert advice.row("T4").cost.sessions == 2
    assert "needs 2 sessions of 12 h: repeat" in reasons(advice, "T4")
    # With Pro a session is twice as long; a T4 then is faster, and as free.
    free = ask(plan="pro", free=["T4", "CPU"], predict=taking(T4=11.0, CPU=11.9))
    assert free.recommended[0] == "T4"


def test_exactly_one_session_is_one():
    assert ask(plan="free", predict=taking(T4=12.0)).row("T4").cost.sessions == 1


def test_runs_that_take_longer_than_a_month_are_impossible():
    advice = ask(plan="free", runs_per_month=100, predict=taking(T4=8.0, CPU=7.0))
    assert "100 runs take 800 h, but a month has only 730 h" in reasons(advice, "T4")
    assert advice.recommended == ("CPU",)


def test_what_is_hard_to_get_comes_after_what_is_not():
    advice = ask(plan="pro+", stage="production", predict=taking(H100=1.0, T4=5.0))
    assert order(advice)[0] == "T4"
    assert "availability is low" in reasons(advice, "H100")
    assert advice.row("H100").verdict == "possible"


def test_a_deadline_rules_out_what_is_slower_and_the_cheapest_of_the_others_is_first():
    advice = ask(plan="payg", deadline=2, predict=taking(T4=3.0, L4=2.0, A100=1.0))
    assert advice.recommended == ("L4", "A100")
    assert "misses the deadline of 2 h: a run takes 3 h" in reasons(advice, "T4")


def test_production_is_fastest_first_and_prototyping_cheapest_first():
    hours = taking(T4=3.0, L4=2.5, A100=2.0)
    assert ask(plan="payg", stage="production", predict=hours).recommended[0] == "A100"
    assert ask(plan="payg", stage="prototyping", predict=hours).recommended[0] == "T4"


def test_the_value_of_an_hour_decides_where_it_is_said():
    # An A100 costs 0.36 dollars per hour more than a T4 and saves an hour of two.
    def first(value):
        hours = taking(T4=2.0, A100=1.0)
        return ask(plan="payg", value_of_time=value, predict=hours).recommended[0]

    assert (first(0.25), first(0.35)) == ("T4", "A100")
    hours = taking(T4=2.0, A100=1.0)  # and it goes before the stage
    said = {"plan": "payg", "predict": hours, "value_of_time": 0.25}
    assert ask(stage="production", **said).recommended[0] == "T4"


def test_a_machine_that_is_not_in_the_plan_is_impossible_and_says_where_it_is():
    advice = ask(plan="free")
    assert advice.row("A100").verdict == "no"
    assert "not in the plan 'free'; it is in 'pro' ($9.99 per month)" in reasons(advice, "A100")
    assert "August 2026 no longer has it" in reasons(advice, "V100")
    assert "'rented' ($4.50 per hour)" in reasons(advice, "H200")


def test_prices_are_given_with_their_source_and_date():
    advice = ask(plan="payg", predict=taking(L4=1.0))
    said = " | ".join(advice.sources)
    assert "L4: 1.71 units per hour (Colab GPUs" in said
    assert "2026-03)" in said
    assert "a unit: $0.10 (Colab's plans" in said
    rented = ask(plan="rented", predict=taking(H200=1.0))
    assert any("H200: 4.5 dollars per hour" in line for line in rented.sources)


def test_a_rented_machines_price_says_which_clouds_it_is(tmp_path):
    advice = ask(plan="rented", predict=taking(H200=1.0))
    assert any(
        line.startswith("H200: 4.5 dollars per hour, Nebius, 2026-09-25 (A public table")
        for line in advice.sources
    )
    assert "costs $4.50 per run (Nebius, 2026-09-25)" in reasons(advice, "H200")
    assert "(Google Cloud, us-central1)" in reasons(advice, "H100")
    assert "Lambda" not in reasons(ask(plan="payg", predict=taking(A100=1.0)), "A100")
    path = tmp_path / "own.toml"  # whose price is not of that cloud
    path.write_text('[machines.H200]\nusd_per_hour = { value = 2, source = "own" }\n')
    own = ask(plan="rented", catalogue=path, predict=taking(H200=1.0))
    assert "costs $2.00 per run |" in reasons(own, "H200")


def test_a_row_says_availability_session_and_memory():
    said = reasons(ask(EMBEDDING, plan="free"), "T4")
    assert "availability is high | a session lasts at most 12 h" in said
    assert "needs 2.6 GB in FP16 (2 bytes per parameter) of its 16.0 GB" in said
    assert "availability is not known" in reasons(ask(plan="payg"), "A100")


def test_rented_machines_cost_their_price_an_hour():
    advice = ask(plan="rented", runs_per_month=3, predict=taking(H200=2.0))
    assert advice.row("H200").usd == pytest.approx(3 * 2 * 4.50)
    assert "not in the plan 'rented'" in reasons(advice, "T4")


def test_without_a_plan_machines_are_priced_without_a_subscription_and_that_is_said():
    advice = ask(predict=taking(T4=1.0, L4=1.0, H200=1.0))
    assert advice.row("T4").usd == 0
    assert advice.row("L4").usd == pytest.approx(1.71 * 0.0999)
    assert "priced as in the plan 'payg', because no plan was given" in reasons(advice, "L4")
    assert any("no plan given" in line for line in advice.why)


def test_no_dollars_are_put_on_time_unless_its_value_is_said():
    advice = ask(plan="payg", runs_per_month=10)
    assert any("time has no price" in line for line in advice.why)
    assert all(one.usd_net is None for row in advice.rows for one in row.returns)
    valued = ask(plan="payg", runs_per_month=10, value_of_time=20)
    assert any(one.usd_net for row in valued.rows for one in row.returns)


# --- the CPU, and this machine --------------------------------------------------------------------


def test_it_says_that_the_cpu_is_cheaper_by_how_much_and_how_much_slower():
    hours = taking(CPU=10.0, T4=2.0)
    advice = ask(plan="payg", stage="production", predict=hours)
    assert advice.recommended[0] == "T4"
    (line,) = (line for line in advice.why if "CPU is cheaper" in line)
    assert "CPU costs $0.08 instead of $0.24 per run for T4, and takes 5 times as long" in line


def test_it_says_so_too_where_the_units_are_paid_for():
    advice = ask(plan="pro", predict=taking(CPU=4.0, T4=2.0))
    (line,) = (line for line in advice.why if "CPU is cheaper" in line)
    assert "0.32 units instead of 2.4 units" in line


def test_equal_times_and_no_cost_are_said_in_words():
    advice = ask(plan="payg", predict=taking(CPU=2.0, T4=2.0), free=["CPU"])
    (line,) = (line for line in advice.why if "CPU is cheaper" in line)
    assert "CPU costs nothing instead of $0.24" in line
    assert line.endswith("and takes about as long")


def test_it_does_not_say_so_where_the_cpu_is_not():
    assert not any("cheaper:" in line for line in ask(plan="free", predict=taking(CPU=9, T4=1)).why)


def test_this_machine_costs_nothing_is_always_there_and_has_no_session_limit():
    advice = ask(plan="payg", here=HERE, predict=taking(this_machine=300.0, T4=1.0))
    row = advice.row("this machine")
    assert (row.verdict, row.usd, row.cost.sessions) == ("yes", 0, None)
    assert advice.recommended[0] == "this machine"
    quick = ask(plan="payg", here=HERE, stage="production", predict=taking(T4=1.0))
    assert quick.recommended[0] == "T4"


def test_this_machine_is_at_hand_in_whatever_plan_and_costs_what_it_costs():
    own = Offer(False, "always", None, "own")
    mine = replace(HERE, usd_per_hour=0.35, offers={RENTED: own}, sources={"usd_per_hour": "t4"})
    for plan in ("free", "pro", "pro+", "payg", "rented", None):
        used = open_catalogue()
        used = replace(used, machines={HERE.name: mine, **used.machines})
        row = answer(Question(work=HASHING, plan=plan), used, taking(this_machine=2.0)).row(
            HERE.name
        )
        assert (row.verdict, row.usd, row.cost.plan) == ("yes", pytest.approx(0.70), "rented")
        because = "no plan was given" if plan is None else "you already have the machine"
        assert (f"priced as in the plan 'rented', because {because}" in row.reasons) == (
            plan != "rented"
        )


def test_a_price_alone_of_this_machine_makes_it_unavailable_nowhere(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text('[machines."this machine"]\nusd_per_hour = { value = 0.35, source = "own" }\n')
    for plan in ("pro", "rented"):
        row = advise(HASHING, plan=plan, catalogue=path).row("this machine")
        assert row.usd == pytest.approx(row.hours * 0.35)
        assert row.machine.ram_gb


# --- what a host is taken to be -------------------------------------------------------------------


def test_a_host_whose_clock_is_not_known_is_taken_for_colabs_and_that_is_said():
    advice = ask(plan="payg", here=HERE)
    clock = "the clock of its host is not known, so Colab's usual 2.2 GHz are assumed"
    assert clock in reasons(advice, "L4")
    (line,) = (line for line in advice.why if clock in line)
    assert set(line.split(": ")[0].split(", ")) == {"L4", "A100", "A100 80 GB", "G4"}
    for name in ("T4", "CPU", "this machine"):  # the last says so by itself, where it matters
        assert "is not known, so" not in reasons(advice, name)
    assert clock not in reasons(ask(EMBEDDING, plan="payg"), "L4")  # its host's clock plays no part


def test_a_cpu_whose_way_to_hash_is_not_known_is_taken_for_colabs_and_that_is_said():
    used = open_catalogue()
    cpu = replace(used.machine("CPU"), sha=None)
    gpu = replace(used.machine("T4"), sha=None)
    used = replace(used, machines={**used.machines, "CPU": cpu, "T4": gpu})
    advice = answer(Question(work=HASHING, plan="payg"), used, predict)
    sha = "its SHA-256 implementation is not known, so Colab's usual 'avx2' is assumed"
    assert sha in reasons(advice, "CPU")
    assert "SHA-256 implementation" not in reasons(advice, "T4")  # there the GPU does it


# --- TPUs: one verdict for hashing, another for embeddings ----------------------------------------


def test_a_tpu_is_impossible_for_hashing_for_want_of_a_backend_and_says_it_could_be_done():
    advice = ask(plan="free")
    row = advice.row("TPU v5e-1")
    assert (row.verdict, row.tier) == ("no", Tier.IMPOSSIBLE)
    assert "through JAX, but this engine has no backend 'tpu'" in row.reasons[0]
    assert any("does not matter for hashing" in line for line in advice.differs)


def test_a_tpu_becomes_possible_for_hashing_with_the_backend(monkeypatch):
    monkeypatch.setattr(feasibility, "BACKENDS", {"cpu": "", "cuda": "", "tpu": ""})
    advice = ask(plan="pro", predict=predict)
    assert advice.row("TPU v6e-1").prediction is not None
    assert advice.row("TPU v6e-1").verdict == "yes"


def test_a_tpu_is_possible_for_embeddings_not_out_of_the_box_and_never_recommended():
    advice = ask(EMBEDDING, plan="free")
    row = advice.row("TPU v5e-1")
    assert (row.verdict, row.tier, row.prediction) == ("possible", Tier.UNCERTAIN, None)
    assert "sentence-transformers#3457" in row.reasons[0]
    assert "July 2025" in row.reasons[0]
    assert "30 to 45 min" in row.reasons[0]
    assert row.name not in advice.recommended


def test_nothing_is_predicted_where_this_engine_has_no_backend():
    asked = []

    def watching(machine, work):
        asked.append(machine.name)
        return predict(machine, work)

    ask(predict=watching)
    assert "T4" in asked
    assert not [name for name in asked if "TPU" in name]


def test_a_machine_for_which_a_figure_is_missing_is_doubtful_and_says_which():
    def unsure(machine, work):
        if machine.name == "T4":
            raise UsageError("the cores of T4's host are not known")
        return predict(machine, work)

    advice = ask(plan="free", predict=unsure)
    assert (advice.row("T4").verdict, advice.row("T4").tier) == ("possible", Tier.UNCERTAIN)
    assert "the cores of T4's host are not known" in reasons(advice, "T4")


# --- otherwise than seed2 -------------------------------------------------------------------------


def test_where_it_answers_otherwise_than_seed2_it_says_why_a_sentence_a_cause():
    small = Work(100, kind="embedding", models=(SBERT,))
    advice = ask(small, plan="free", predict=taking(T4=0.1, CPU=1.0))
    said = "\n".join(advice.differs)
    assert advice.recommended[0] == "T4"
    assert "seed2 recommends L4 -> T4 by its row 'Corpus < 500p'; here T4 is first" in said
    assert "L4: seed2 says yes; here no: not in the plan 'free'" in said
    assert "TPU v5e-1: seed2 says no; here possible: not out of the box" in said


def test_that_what_was_free_is_not_any_more_is_a_cause():
    small = Work(100, kind="embedding", models=(SBERT,))
    advice = ask(small, plan="payg", predict=taking(L4=0.1))
    assert "L4: free in seed2; here it costs compute units or dollars" in advice.differs
    assert not any(line.startswith("seed2 recommends") for line in advice.differs)


# --- returns --------------------------------------------------------------------------------------


def test_time_saved_and_money_are_against_a_rival_that_is_named():
    hours = taking(T4=2.0, A100=1.0, CPU=100.0)
    advice = ask(plan="payg", runs_per_month=4, value_of_time=20, predict=hours)
    assert advice.recommended[0] == "A100"
    best = {one.rival: one for one in advice.row("A100").returns}
    assert set(best) == {"T4", "CPU"}
    extra = 4 * (5.40 - 2 * 1.19) * 0.0999
    assert best["T4"].hours_saved == 4
    assert best["T4"].usd_extra == pytest.approx(extra)
    assert best["T4"].usd_net == pytest.approx(80 - extra)
    assert best["T4"].break_even_value == pytest.approx(extra / 4)
    assert next(iter(advice.row("T4").returns)).rival == "A100"
    line = "A100 against T4: saves 4 h per month, for $1.21 more and 12 units more; $78.79 net"
    assert line in str(advice)


def test_a_machine_that_is_slower_and_dearer_never_pays():
    found = compare(
        Alternative("X", 2, 3), Alternative("Y", 1, 1), runs_per_month=5, value_of_time=50
    )
    assert (found.break_even_runs, found.break_even_value) == (None, None)
    assert found.usd_net == pytest.approx(-5 * 50 - 10)


@given(
    mine=st.floats(0.001, 50), rival=st.floats(0.001, 50), usd=st.floats(0, 20),
    fixed=st.floats(0, 50), value=st.floats(0, 200),
)  # fmt: skip
def test_from_the_break_even_on_it_pays_and_before_it_does_not(mine, rival, usd, fixed, value):
    def net(runs):
        return compare(
            Alternative("a", mine, usd, fixed), Alternative("b", rival, 0),
            runs_per_month=runs, value_of_time=value,
        )  # fmt: skip

    runs = net(1).break_even_runs
    slack = 1e-6 * (1 + fixed + usd + value)
    if runs is None:
        assert net(10).usd_net <= slack * 10
    elif runs < 10**6:
        assert net(runs).usd_net >= -slack * runs
        assert runs == 1 or net(runs - 1).usd_net <= slack * runs


@given(
    seconds=st.floats(1, 1e6), runs=st.integers(1, 500), left=st.floats(0, 1000),
    rate=st.floats(0.01, 20),
)  # fmt: skip
def test_units_are_used_before_dollars_and_none_is_lost(seconds, runs, left, rate):
    plan = Plan(
        name="pro",
        title="Pro",
        usd_month=9.99,
        units_included=100,
        usd_per_unit=0.1,
        session_hours=24,
    )
    machine = Machine(name="X", title="X", kind="gpu", backend="cuda", units_per_hour=rate)
    cost = price(
        seconds, machine, Offer(False, None, 24, "own"), plan, runs_per_month=runs, units_left=left
    )
    bought = cost.usd_month / 0.1
    assert cost.units_month == pytest.approx(seconds / 3600 * runs * rate)
    over = cost.units_left or 0
    assert left + bought - over == pytest.approx(cost.units_month, rel=1e-6, abs=1e-6)
    assert bought == 0 or over == 0
    assert (cost.sessions - 1) * 24 <= seconds / 3600 * (1 + 1e-6)
    assert seconds / 3600 <= cost.sessions * 24 * (1 + 1e-6)


# --- how it is asked and shown --------------------------------------------------------------------


def test_the_rows_that_will_do_come_before_those_that_will_not():
    for said in ({}, {"plan": "free"}, {"stage": "production"}, {"value_of_time": 5}):
        tiers = [row.tier for row in ask(**said).rows]
        assert tiers == sorted(tiers)
        assert Tier.IMPOSSIBLE in tiers
    mixed = ask(EMBEDDING, plan="free", predict=taking(T4=13.0, CPU=1.0))
    assert [row.name for row in mixed.rows if row.tier is not Tier.IMPOSSIBLE] == [
        "CPU",
        "T4",  # in two sessions
        "TPU v5e-1",  # not out of the box
        "TPU v6e-1",
    ]


def test_every_row_says_something_and_every_machine_is_a_row():
    advice = ask(plan="free", here=HERE)
    assert all(row.reasons for row in advice.rows)
    assert len(advice.rows) == 13


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"plan": "gold"}, "no plan 'gold'"),
        ({"free": ["K80"]}, "no machine 'K80'"),
        ({"stage": "later"}, "prototyping or production"),
        ({"runs_per_month": 0}, "at least 1"),
        ({"budget": -1}, "budget must be a non-negative number"),
        ({"value_of_time": float("nan")}, "value_of_time must be"),
        ({"deadline": 0}, "positive number of hours"),
        ({"work": None}, "advice needs work"),
        ({"work": "corpus.jsonl"}, "a Work or an open corpus, not 'corpus.jsonl'"),
        ({"plan": 3}, "plan must be a name"),
        ({"plan": ["pro"]}, "plan must be a name"),
        ({"runs_per_month": 1.5}, "runs_per_month must be a whole number"),
        ({"runs_per_month": "3"}, "runs_per_month must be a whole number"),
        ({"runs_per_month": True}, "runs_per_month must be a whole number"),
        ({"units_left": "a"}, "units_left must be a non-negative number, not 'a'"),
        ({"budget": "a"}, "budget must be a non-negative number, not 'a'"),
        ({"value_of_time": [1]}, "value_of_time must be"),
        ({"deadline": "2"}, "positive number of hours, not '2'"),
    ],
)
def test_what_makes_no_sense_is_refused(said, words):
    with pytest.raises(UsageError, match=words):
        ask(said.pop("work", HASHING), **said)


def test_a_bare_name_is_one_machine_and_what_is_no_name_is_refused():
    assert advise(HASHING, plan="pro", free="L4").row("L4").usd == 0
    for wrong in (3, [4], [["L4"]], None):
        with pytest.raises(UsageError, match="name"):
            names_of(wrong)


def test_models_side_by_side_are_promised_no_gain():
    work = Work(1000, kind="embedding", models=(SBERT, Model("other", 10**8)))
    assert any("no gain is promised" in line for line in ask(work, plan="payg").why)


def test_it_is_shown_as_text_with_every_machine_and_why():
    text = str(ask(plan="free", runs_per_month=3))
    assert "catalogue 'today' of 2026-11-21; units and dollars per month" in text
    for heading in (
        "recommended:",
        "why:",
        "differences from the project's guide of November 2025 (seed2):",
    ):
        assert heading in text


def test_names_of_a_users_own_are_shown_in_html_and_terminals_as_text(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(
        '[machines."<script>x\\u001b[2J"]\ntitle = "X"\nkind = "gpu"\nbackend = "cuda"\n'
        '[machines."<script>x\\u001b[2J".offers]\nfree = { free = true, source = "own" }\n'
    )
    advice = ask(plan="free", catalogue=path)
    assert "<script>" not in advice._repr_html_()
    assert "&lt;script&gt;" in advice._repr_html_()
    assert "\x1b" not in str(advice)


def test_the_public_name_is_this():
    assert pf.advise is advise
    assert pf.Work is Work


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def command():
    from typer.testing import CliRunner

    from paninifs.engine.cli import app

    return lambda *words: CliRunner().invoke(app, ["advise", *map(str, words)])


def test_the_command_prints_the_ranking_and_why(command):
    ran = command("--texts", 10**7, "--mean-bytes", 200, "--plan", "free", "--runs", 3)
    assert ran.exit_code == 0, ran.output
    assert "recommended" in ran.output
    assert "T4" in ran.output
    assert len(ran.output.splitlines()) < 35
    assert "seed2" not in ran.output
    whole = command("--texts", 10**7, "--mean-bytes", 200, "--plan", "free", "--verbose")
    assert "guide of November 2025 (seed2)" in whole.output


def test_the_command_counts_a_corpus(command, tmp_path):
    (tmp_path / "c.jsonl").write_text('{"text": "dhātu"}\n' * 7, encoding="utf-8")
    ran = command(tmp_path / "c.jsonl", "--plan", "free", "--json")
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.output)["recommended"]


def test_the_command_counts_a_corpus_whose_column_has_another_name(command, tmp_path):
    (tmp_path / "c.jsonl").write_text('{"sentence": "dhātu"}\n' * 7, encoding="utf-8")
    ran = command(tmp_path / "c.jsonl", "--text", "sentence", "--plan", "free", "--json")
    assert ran.exit_code == 0, ran.output
    assert command(tmp_path / "c.jsonl", "--plan", "free").exit_code != 0


def test_the_command_prints_json_with_every_machine(command):
    ran = command("--texts", 1000, "--model", "SBERT", "--model", "mine=1.5B", "--json")
    document = json.loads(ran.output)
    assert {"T4", "TPU v6e-1"} <= {one["name"] for one in document["machines"]}
    t4 = next(one for one in document["machines"] if one["name"] == "T4")
    assert t4["prediction"]["parts"]
    assert document["as_of"] == "2026-11-21"


def test_the_command_asks_the_frozen_guide_without_work(command):
    ran = command("--catalogue", "seed2", "--runs", 150, "--json")
    assert json.loads(ran.output)["recommended"] == ["A100"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give a corpus, or --texts"),
        (("--texts", 5, "--model", "unknown"), "give the parameters of 'unknown'"),
        (("--texts", 5, "--model", "x=many"), "the parameters must be a number"),
        (("--texts", 5, "--model", "x=0"), "at least one parameter"),
        (("--texts", 5, "--kind", "embedding"), "embedding needs at least one model"),
        (("--texts", 5, "--kind", "hashing", "--model", "SBERT"), "hashing takes none"),
        (("c.jsonl", "--texts", 5), "not both"),
        (("--texts", 5, "--plan", "gold"), "no plan 'gold'"),
        (("--texts", 5, "--kind", "sorting"), "must be hashing or embedding, not 'sorting'"),
        (("--texts", 5, "--stage", "later"), "prototyping or production, not 'later'"),
        (("--texts", 5, "--text", "sentence"), "--text names a column of a corpus"),
        (("c.jsonl", "--mean-bytes", 5), "--mean-bytes needs --texts"),
        (("--catalogue", "seed2", "--mean-bytes", 5), "--mean-bytes needs --texts"),
        (("--catalogue", "seed2", "--kind", "hashing"), "give a corpus, or --texts"),
        (("--catalogue", "seed2", "--format", "csv"), "give a corpus, or --texts"),
    ],
)
def test_the_command_refuses_in_one_sentence(command, words, said):
    ran = command(*words)
    assert ran.exit_code == 2
    assert said in ran.output


def test_a_machine_that_was_not_measured_says_so_and_is_predicted_by_its_own_figures_once_it_was(
    monkeypatch, tmp_path
):
    monkeypatch.setattr(calibration, "PATH", tmp_path / "calibration.json")
    before = advise(HASHING)
    assert before.why[-1] == UNMEASURED
    assert before.row("this machine").prediction.basis == "scaled"
    own = processor()
    nothing = dict.fromkeys(reference().host, Rate(0, 0))
    quick = replace(reference(), processor=own.name, cores=own.cores, host=nothing)
    quick = replace(quick, hashing={own.hashing: Rate(0, 0)})
    quick.save(tmp_path / "calibration.json")
    after = advise(HASHING)
    assert UNMEASURED not in after.why
    assert after.row("this machine").prediction.basis == "calibrated"
    assert after.row("this machine").prediction.parts["hashing"] == 0
    assert after.row("CPU").prediction == before.row("CPU").prediction
    replace(quick, cores=own.cores + 1).save(tmp_path / "calibration.json")
    assert advise(HASHING).why[-1] == UNMEASURED  # another machine's
    assert UNMEASURED not in advise(EMBEDDING).why  # no part of what was measured


def test_a_corpus_is_work_as_it_is(tmp_path):
    (tmp_path / "a.txt").write_text("un\ndeux\n")
    assert advise(pf.open_corpus(tmp_path)).question.work.texts == 2


def documented(language):
    """Return the blocks of one language in the guide to machines."""
    guide = (Path(pf.__file__).parent / "deploy/docs/machines.md").read_text("utf-8")
    return re.findall(rf"```{language}\n(.*?)```", guide, re.DOTALL)


def test_documented_catalogue_is_valid(tmp_path):
    [text] = documented("toml")
    path = tmp_path / "own.toml"
    path.write_text(text)
    found = open_catalogue(path)
    assert found.machine("T4").units_per_hour == 1.1
    here = advise(HASHING, plan="free", catalogue=path).row("this machine")
    assert here.verdict == "yes"
    assert here.cost.usd == pytest.approx(0.35 * here.prediction.seconds / 3600)


def test_documented_commands_run(command):
    lines = [line.split()[1:] for block in documented("sh") for line in block.splitlines()]
    assert len(lines) == 2
    for words in lines:
        assert words[0] == "advise"
        assert command(*words[1:]).exit_code == 0
