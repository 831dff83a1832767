"""The advisor's catalogue: every figure has a source and a date, and a user's own lies over it."""

from __future__ import annotations

import re
import tomllib
from importlib import resources

import pytest

from paninifs.engine.costs.catalogue import HERE
from paninifs.engine.costs.catalogue_files import VARIABLE, open_catalogue, read
from paninifs.graphs.kernels.cpu import sha_paths
from paninifs.storage.errors import UsageError

TODAY = resources.files("paninifs.engine.costs").joinpath("today.toml").read_text("utf-8")
SOURCE = '[sources.here]\ntitle = "a page"\naddress = "https://example.org/"\ndate = 2026-11-21\n'
BARE = f'as_of = 2026-11-21\n{SOURCE}[machines.X]\ntitle = "X"\nkind = "gpu"\nbackend = "cuda"\n'


@pytest.fixture(autouse=True)
def nobodys_own(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


def figures(node, path=()):
    """Yield path and table of every figure of a document."""
    for key, value in node.items():
        if isinstance(value, dict) and "value" in value:
            yield (*path, key), value
        elif isinstance(value, dict):
            yield from figures(value, (*path, key))


def test_every_figure_of_today_has_a_source_with_a_title_a_date_and_a_way_to_find_it():
    document = tomllib.loads(TODAY)
    found = list(figures({"plans": document["plans"], "machines": document["machines"]}))
    assert len(found) > 100
    catalogue = open_catalogue()
    for path, figure in found:
        source = catalogue.sources[figure["source"]]
        assert source.title, path
        assert re.fullmatch(r"20\d\d-\d\d(-\d\d)?", source.date), path
        assert source.address or source.words, path


def test_no_bare_number_stands_in_the_catalogue_of_today():
    document = tomllib.loads(TODAY)
    for group in ("plans", "machines"):
        for name, table in document[group].items():
            figures = {key: value for key, value in table.items() if key != "driver_names"}
            numbers = [k for k, v in figures.items() if isinstance(v, int | float | list)]
            assert not numbers, (group, name)


def test_every_source_of_today_is_used_and_none_is_of_a_later_day_than_the_catalogue():
    document = tomllib.loads(TODAY)
    used = set(re.findall(r'source = "([^"]+)"', TODAY))
    assert used == set(document["sources"])
    catalogue = open_catalogue()
    assert max(source.date for source in catalogue.sources.values()) <= catalogue.as_of


def test_the_machines_that_users_ask_about_are_in_the_catalogue_of_today():
    asked = {"CPU", "T4", "L4", "V100", "A100", "H100", "H200", "G4"}
    assert asked | {"TPU v2-8", "TPU v5e-1", "TPU v6e-1"} <= set(open_catalogue().machines)


def test_machines_have_the_figures_of_their_makers():
    catalogue = open_catalogue()
    sms = {name: one.sms for name, one in catalogue.machines.items() if one.sms}
    assert sms == {
        "T4": 40, "L4": 58, "V100": 80, "A100": 108, "A100 80 GB": 108, "H100": 132, "H200": 132,
        "G4": 188,
    }  # fmt: skip
    # Google's figures, not those of the seed (16 GB and 275 TOPS for a v6e).
    v6e = catalogue.machine("TPU v6e-1")
    assert (v6e.memory_gb, v6e.fp16_tflops) == (32, 918)
    assert catalogue.machine("T4").capability == (7, 5)


def test_every_gpu_of_today_says_what_its_driver_calls_it():
    named = {n: one.driver_names for n, one in open_catalogue().machines.items()}
    assert {name for name, words in named.items() if words} == {
        name for name, one in open_catalogue().machines.items() if one.kind == "gpu"
    }
    assert (named["A100"], named["A100 80 GB"]) == (("A100",), ("A100",))
    assert named["G4"] == ("RTX PRO 6000 Blackwell",)


def test_who_said_no_plan_has_a_machine_without_a_subscription_where_that_can_be():
    catalogue = open_catalogue()

    def plan(name, *out):
        had = catalogue.usual_offer(catalogue.machine(name), leaving_out=out)
        return had and had[1].name

    assert [plan(name) for name in ("CPU", "A100", "H200", "H100")] == [
        "free", "payg", "rented", "rented",
    ]  # fmt: skip
    assert plan("H100", "rented") == "pro+"  # the only other
    assert (plan("CPU", "free"), plan("V100")) == ("payg", None)
    assert plan("H200", "rented") is None
    offer, _ = catalogue.usual_offer(catalogue.machine("T4"))
    assert offer == catalogue.machine("T4").offers["free"]


def test_what_is_to_be_known_of_a_figure_stays_with_it_and_goes_with_it(tmp_path):
    a100 = open_catalogue().machine("A100")
    assert a100.notes["usd_per_hour"] == "Lambda, 2026-09-25"
    path = own(tmp_path, '[machines.A100]\nusd_per_hour = { value = 1, source = "own" }\n')
    notes = open_catalogue(path).machine("A100").notes
    assert "usd_per_hour" not in notes
    assert notes["cores"] == a100.notes["cores"]


def test_which_machine_is_free_in_which_plan_is_data():
    catalogue = open_catalogue()
    free = {name for name, one in catalogue.machines.items() if "free" in one.offers}
    assert {"CPU", "T4"} <= free
    assert "L4" not in free
    assert not catalogue.machine("T4").offers["pro"].free  # units are used first
    assert catalogue.machine("T4").offers["free"].session_hours == 12
    assert catalogue.machine("T4").offers["pro"].session_hours == 24


def test_what_is_not_known_is_none():
    catalogue = open_catalogue()
    assert catalogue.machine("H100").units_per_hour is None
    assert catalogue.machine("V100").offers == {}


def test_a_machine_with_a_price_an_hour_is_in_the_plan_rented():
    catalogue = open_catalogue()
    rented = {name for name, one in catalogue.machines.items() if "rented" in one.offers}
    assert rented == {n for n, one in catalogue.machines.items() if one.usd_per_hour is not None}


def test_the_paths_to_sha_256_that_a_host_may_take_are_the_engines_own():
    from paninifs.engine.costs import catalogue_files

    assert set(catalogue_files._SHA) == set(sha_paths.PATHS)


# --- a user's own ---------------------------------------------------------------------------------


def own(tmp_path, text):
    path = tmp_path / "own.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_users_figure_lies_over_todays_and_the_others_stay(tmp_path):
    path = own(tmp_path, '[machines.T4]\nunits_per_hour = { value = 1.5, source = "own" }\n')
    catalogue = open_catalogue(path)
    t4 = catalogue.machine("T4")
    assert (t4.units_per_hour, t4.sms) == (1.5, 40)
    assert t4.offers == open_catalogue().machine("T4").offers
    assert catalogue.source("T4", "units_per_hour").key == "own"
    assert catalogue.source("T4", "sms").key == "t4"
    assert catalogue.machine("L4") == open_catalogue().machine("L4")


def test_a_users_own_machine_and_plan_are_added(tmp_path):
    path = own(
        tmp_path,
        """
        [plans.lab]
        title = "the lab's machine"
        session_hours = { value = 48, source = "own" }
        [machines.box]
        title = "the box under the desk"
        kind = "gpu"
        backend = "cuda"
        sms = { value = 82, source = "own" }
        [machines.box.offers]
        lab = { free = true, availability = { value = "always", source = "own" }, source = "own" }
        """,
    )
    offer = open_catalogue(path).machine("box").offers["lab"]
    assert (offer.free, offer.availability, offer.session_hours) == (True, "always", 48)
    assert "T4" in open_catalogue(path).machines


def test_offers_of_a_users_own_replace_todays(tmp_path):
    path = own(tmp_path, '[machines.L4.offers]\nfree = { free = true, source = "own" }\n')
    assert set(open_catalogue(path).machine("L4").offers) == {"free"}


def test_of_this_machine_a_price_is_enough(tmp_path):
    name = '[machines."this machine"]\n'
    priced = own(tmp_path, name + 'usd_per_hour = { value = 0.35, source = "own" }\n')
    machine = open_catalogue(priced).machine(HERE)
    assert (machine.title, machine.kind, machine.backend) == (HERE, "cpu", "cpu")
    assert (machine.usd_per_hour, set(machine.offers)) == (0.35, {"rented"})
    assert machine.offers["rented"].availability == "always"
    units = own(tmp_path, name + 'units_per_hour = { value = 2, source = "own" }\n')
    offers = open_catalogue(units).machine(HERE).offers
    assert set(offers) == set(open_catalogue().plans)
    assert not any(offer.free for offer in offers.values())
    with pytest.raises(UsageError, match="this machine has no price"):
        open_catalogue(own(tmp_path, name))


def test_what_costs_nothing_may_say_so_and_a_gpu_may_have_names_of_its_own(tmp_path):
    path = own(
        tmp_path,
        '[machines.T4]\nusd_per_hour = { value = 0, source = "own" }\n'
        'driver_names = ["T4", "T4G"]\n'
        '[plans.lab]\nunits_included = { value = 0, source = "own" }\n',
    )
    assert open_catalogue(path).machine("T4").usd_per_hour == 0
    assert open_catalogue(path).machine("T4").driver_names == ("T4", "T4G")
    assert open_catalogue(path).plan("lab").units_included == 0


def test_a_kind_of_ones_own_has_to_suit_the_backend_that_stays(tmp_path):
    path = own(tmp_path, '[machines.T4]\nkind = "cpu"\n')
    with pytest.raises(UsageError, match=r"own\.toml: machines\.T4\.backend is 'cuda'"):
        open_catalogue(path)


def test_the_environment_variable_names_a_users_own(tmp_path, monkeypatch):
    path = own(tmp_path, '[machines.T4]\nunits_per_hour = { value = 9, source = "own" }\n')
    monkeypatch.setenv(VARIABLE, str(path))
    assert open_catalogue().machine("T4").units_per_hour == 9


def test_a_users_own_that_is_not_there_is_refused_by_its_name(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere\.toml"):
        open_catalogue(tmp_path / "nowhere.toml")


def test_an_unknown_machine_or_plan_is_refused_with_those_there_are():
    with pytest.raises(UsageError, match=r"no machine 'K80'.*T4, L4"):
        open_catalogue().machine("K80")
    with pytest.raises(UsageError, match=r"no plan 'gold'.*free, pro"):
        open_catalogue().plan("gold")


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("as_of = 3\n", "as_of must be a date"),
        ("", "as_of is missing"),
        ("as_of = 2026-11-21\nmachine = 1\n", "machine is not known"),
        ("as_of = 2026-11-21\n[machines]\nX = 1\n", "machines.X must be a table"),
        ("as_of = ", "is not valid TOML"),
        (BARE + "sms = 40\n", "X.sms must be { value"),
        (BARE + "sms = { value = 40 }\n", "machines.X.sms.source is missing"),
        (BARE + 'sms = { source = "here" }\n', "machines.X.sms.value is missing"),
        (BARE + 'sms = { value = 40, source = "there" }\n', "machines.X.sms.source is 'there'"),
        (BARE + 'sms = { value = 40.5, source = "here" }\n', "X.sms must be a whole number"),
        (BARE + 'sms = { value = "40", source = "here" }\n', "X.sms must be a number"),
        (BARE + 'sms = { value = true, source = "here" }\n', "X.sms must be a number"),
        (BARE + 'ram_gb = { value = -1, source = "here" }\n', "X.ram_gb must be a number from"),
        (BARE + 'ram_gb = { value = nan, source = "here" }\n', "X.ram_gb must be a number"),
        (BARE + 'ram_gb = { value = 1e40, source = "here" }\n', "X.ram_gb must be a number from 0"),
        *[
            (BARE + f'{one} = {{ value = 0, source = "here" }}\n', f"X.{one} must be more than 0")
            for one in (
                "sms", "cores", "clock_ghz", "device_clock_ghz", "pcie_gb_s", "fp16_tflops",
                "memory_gb", "ram_gb",
            )
        ],
        (BARE + '[plans.a]\nsession_hours = { value = 0, source = "here" }\n', "be more than 0"),
        (BARE + 'sms = { value = 4, source = ["here"] }\n', "machines.X.sms.source is ['here']"),
        (BARE + 'sms = { value = 4, source = "here", note = 3 }\n', "X.sms.note must be a string"),
        (BARE + 'capability = { value = [-1, 5], source = "here" }\n', "capability must be a"),
        (BARE + 'capability = { value = [7, -5], source = "here" }\n', "capability must be a"),
        (BARE + 'capability = { value = [true, 5], source = "here" }\n', "capability must be a"),
        (BARE + 'driver_names = "T4"\n', "X.driver_names must be a list of strings"),
        (BARE + 'driver_names = [4]\n', "X.driver_names must be a list of strings"),
        (BARE + 'driver_names = [""]\n', "X.driver_names must be a list of strings"),
        (BARE.replace("date = 2026-11-21\n[m", 'date = "2026-99-99"\n[m'), "date must be a date"),
        (BARE.replace("date = 2026-11-21\n[m", 'date = "2026-13"\n[m'), "here.date must be a date"),
        (BARE.replace('"gpu"', '"cpu"'), "X.backend is 'cuda', but a machine of the kind"),
        (BARE.replace("machines.X", 'machines.""'), "machines has a machine with an empty name"),
        (BARE.replace("machines.X", 'machines." "'), "machines has a machine with an empty name"),
        (BARE + 'sm = { value = 40, source = "here" }\n', "machines.X.sm is not known"),
        (BARE + 'sms = { value = 4, source = "here", of = 1 }\n', "machines.X.sms.of is not known"),
        (BARE + 'sms = { value = 40, source = "own" }\n', "machines.X.sms.source is 'own'"),
        (BARE + 'sha = { value = "md5", source = "here" }\n', "X.sha must be one of sha-ni"),
        (BARE + 'capability = { value = 7.5, source = "here" }\n', "X.capability must be a pair"),
        (BARE + 'offers.free = { source = "here" }\n', "X.offers.free is not a known plan"),
        (BARE.replace('kind = "gpu"\n', ""), "machines.X.kind is missing"),
        (BARE.replace('"gpu"', '"fpga"'), "X.kind must be one of cpu, gpu, tpu"),
        (BARE.replace('"cuda"', '"rocm"'), "X.backend must be one of"),
        (BARE.replace("date = 2026-11-21\n[m", "[m"), "sources.here.date is missing"),
        (BARE.replace("date = 2026-11-21\n[m", 'date = "soon"\n[m'), "here.date must be a date"),
        (BARE.replace('title = "a page"\n', ""), "sources.here.title is missing"),
        (BARE.replace('address = "https://example.org/"\n', ""), "needs an address, or words"),
    ],
)  # fmt: skip
def test_what_does_not_belong_is_refused_by_file_machine_and_field(text, said):
    with pytest.raises(UsageError) as refused:
        read("some.toml", text)
    assert str(refused.value).startswith("some.toml")
    assert said in str(refused.value)


def test_an_offer_is_checked_like_a_figure(tmp_path):
    for offer, said in (
        ('{ free = 1, source = "own" }', "offers.free.free must be true or false"),
        ("{ free = true }", "offers.free.source is missing"),
        (
            '{ availability = { value = "often", source = "own" }, source = "own" }',
            "must be one of",
        ),
        ('{ price = 3, source = "own" }', "offers.free.price is not known"),
        (
            '{ session_hours = { value = 0, source = "own" }, source = "own" }',
            "free.session_hours must be more than 0",
        ),
    ):
        path = own(tmp_path, f"[machines.T4.offers]\nfree = {offer}\n")
        with pytest.raises(UsageError, match=re.escape(said)):
            open_catalogue(path)
