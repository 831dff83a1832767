"""The command ``paninifs climb``: its file, its options, its exit codes."""

from __future__ import annotations

import json
import linecache
import sys
import tomllib
from contextlib import nullcontext

import cloudpickle
import pytest
from paths import REPOSITORY
from typer.testing import CliRunner

import paninifs as pf
from paninifs.engine.cli import app
from paninifs.engine.cli.experiments import climb_config
from paninifs.engine.cli.experiments.climb_config import read_config
from paninifs.engine.cli.stopping import STOP_SECONDS
from paninifs.engine.climbing.climb_handle import Climb
from paninifs.storage.errors import UsageError

OWN = """
import numpy as np
import paninifs as pf
import beside

BEST = np.arange(6)


def score(order):
    return -float(abs(order - BEST).sum())


@pf.objective(vectorized=True)
def ones(masks):
    return beside.summed(masks)


@pf.objective(vectorized=True)
def picky(masks):
    if masks[:, 0].any():
        raise ValueError("the first bit")
    return masks.sum(axis=1)


def stopped(mask):
    raise KeyboardInterrupt
"""

BESIDE = """
def summed(masks):
    return masks.sum(axis=1) * 1.0
"""

CONFIG = """
results = "out.zarr"
name = "mine"

[objective]
file = "own.py"
function = "ones"

[space]
kind = "masks"
dimensions = 12

[budget]
evaluations = 160

[climb]
climbers = 2
neighbours = 8
seed = 3

[cluster]
kind = "threads"
workers = 1
"""


@pytest.fixture
def written(tmp_path):
    """A function that writes a file, with some of `CONFIG` replaced, and returns its path."""
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "beside.py").write_text(BESIDE)
    before, path = set(sys.modules), list(sys.path)

    def write(*changes, text=CONFIG):
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "climb.toml").write_text(text)
        return str(tmp_path / "climb.toml")

    yield write
    sys.path[:] = path
    for name in {"own", "beside", "my"} & (set(sys.modules) - before):
        module = sys.modules.pop(name)
        if name in cloudpickle.list_registry_pickle_by_value():
            cloudpickle.unregister_pickle_by_value(module)


def paninifs(*arguments):
    return CliRunner().invoke(app, ["climb", *arguments])


# --- the file -------------------------------------------------------------------------------------


def test_a_file_becomes_a_climb(written, tmp_path):
    found = read_config(written())
    assert found.objective.name == "ones"
    assert found.space.describe() == pf.Masks(12).describe()
    assert (found.results, found.name) == (str(tmp_path / "out.zarr"), "mine")
    assert found.budget == {"evaluations": 160}
    assert found.options == {"climbers": 2, "neighbours": 8, "seed": 3}
    assert found.cluster == {"kind": "threads", "workers": 1}
    assert {"own", "beside"} <= cloudpickle.list_registry_pickle_by_value()  # sent to workers


def test_what_is_not_given_has_a_default(written, tmp_path):
    found = read_config(written(text='objective = "dictionary_ambiguity"'))
    assert found.results == str(tmp_path / "climb.zarr")
    assert (found.space, found.name, found.budget, found.cluster) == (None, None, {}, {})
    assert found.objective.space.dimensions == 610


def test_options_of_a_shipped_objective(written, tmp_path):
    (tmp_path / "mine.json").write_text('[{"name": "river"}, {"name": "sea"}]')
    text = '[objective]\nname = "dictionary_ambiguity"\nconcepts = "mine.json"\natoms = ["a", "b"]'
    assert read_config(written(text=text)).objective.space.names == (
        *("river/a", "river/b"),
        *("sea/a", "sea/b"),
    )


@pytest.mark.parametrize(
    ("space", "made"),
    [
        ('kind = "simplex"\ndimensions = ["a", "b"]', pf.Simplex(["a", "b"])),
        ('kind = "permutations"\ndimensions = 6', pf.Permutations(6)),
        ('kind = "integers"\ndimensions = 2\nlow = 0\nhigh = [3, 4]', pf.Integers(2, 0, [3, 4])),
        ('kind = "floats"\ndimensions = 2\nlow = -1\nhigh = 0.5', pf.Floats(2, -1, 0.5)),
        (
            'kind = "product"\ncomponents = { w = { kind = "simplex", dimensions = 3 } }',
            pf.Product(w=pf.Simplex(3)),
        ),
    ],
)
def test_every_kind_of_space(written, space, made):
    found = read_config(written(('kind = "masks"\ndimensions = 12', space)))
    assert found.space.describe() == made.describe()


MASKS = 'kind = "masks"\ndimensions = 12'


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[budget]", "[budgte]", r"unknown key 'budgte'; did you mean 'budget'"),
        ("climbers", "climbrs", r"\[climb\] of .* unknown key 'climbrs'; did you mean 'climbers'"),
        ("evaluations", "evals", r"\[budget\] of .* 'evals'; known: evaluations, seconds, dollars"),
        ("workers", "worker", "did you mean 'workers'"),
        ("dimensions", "dimension", "did you mean 'dimensions'"),
        (MASKS, 'kind = "masks"', "needs dimensions for masks"),
        (MASKS, 'kind = "mask"\ndimensions = 2', "did you mean 'masks'"),
        (MASKS, "dimensions = 2", "needs kind, one of masks, "),
        (MASKS, 'kind = "masks"\ndimensions = 0', "dimension"),
        (MASKS, 'kind = "masks"\ndimensions = 2\nlow = 0', "unknown key 'low'"),
        (MASKS, 'kind = "product"\ncomponents = 3', "must be a table"),
        ('file = "own.py"', 'file = "one.py"', "one.py does not exist; did you mean 'own.py'"),
        ('"ones"', '"one"', "own.py has no function 'one'; did you mean 'ones'"),
        ('"ones"', '"BEST"', "has no function 'BEST'"),
        ('"ones"', '"ones"\nvectorized = true', "says itself"),
        ('function = "ones"', "", r'needs function, such as function = "score"'),
        ('file = "own.py"', 'file = "own.py"\nname = "x"', "either name, .* or file and function"),
        ('file = "own.py"\nfunction = "ones"', "", "either name, .* or file and function"),
        (
            'file = "own.py"\nfunction = "ones"',
            'name = "dictionary_ambigity"',
            "did you mean 'dictionary_ambiguity'",
        ),
        (
            'file = "own.py"\nfunction = "ones"',
            'name = "dictionary_ambiguity"\noverlp = 0.5',
            "did you mean 'overlap'",
        ),
        ('"mine"', "3", "name of .* must be a text"),
        ("climbers = 2", 'climbers = "two"', "climbers must be a whole number"),
        ('results = "out.zarr"', "climb = 3", "climb"),
        ("[budget]", "[budget", "cannot be read as TOML"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(written, old, new, words):
    with pytest.raises(UsageError, match=words):
        read_config(written((old, new)))


def test_a_file_that_is_not_there_is_a_usage_error(written):
    ran = paninifs(written().replace("climb.toml", "clim.toml"))
    assert (ran.exit_code, "did you mean 'climb.toml'" in ran.output) == (2, True)


# --- the command ----------------------------------------------------------------------------------


def test_the_command_climbs_and_goes_on_with_a_larger_budget(written, tmp_path):
    config = written()
    ran = paninifs(config, "--json")
    assert ran.exit_code == 0, ran.output
    first = json.loads(ran.stdout)
    assert (first["evaluations"], first["name"]) == (160, "mine")
    page = tmp_path / "page.html"
    ran = paninifs(config, "--evaluations", "320", "--out", str(page))
    assert ran.exit_code == 0, ran.output
    assert "320, in" in ran.stdout
    assert f"{page}: open it in a browser" in ran.stdout.replace("\n", "")
    assert "320 evaluations of 320" in page.read_text("utf-8")
    at_once = paninifs(written(("mine", "once"), ("160", "320")), "--json")
    again = paninifs(config, "--evaluations", "320", "--json")
    states = [json.loads(one.stdout) for one in (at_once, again)]
    assert states[0]["state"] == states[1]["state"]
    assert states[0]["candidate"] == states[1]["candidate"]
    accepted = pf.open_climb(tmp_path / "out.zarr", "mine")
    once = pf.open_climb(tmp_path / "out.zarr", "once")
    assert (accepted.candidate.values == once.candidate.values).all()


def test_another_climb_of_that_name_is_refused_and_fresh_replaces_it(written, tmp_path):
    assert paninifs(written()).exit_code == 0
    other = written(("seed = 3", "seed = 4"))
    ran = paninifs(other)
    assert (ran.exit_code, "settings.seed differ" in ran.output) == (2, True), ran.output
    assert paninifs(other, "--fresh").exit_code == 0
    attributes = pf.open_climb(tmp_path / "out.zarr", "mine").attrs
    assert attributes["climb"]["settings"]["seed"] == 4


def test_failed_candidates_are_told_by_the_exit_code(written):
    ran = paninifs(written(('"ones"', '"picky"')), "--evaluations", "320")
    assert ran.exit_code == 3, ran.output
    assert "failed" in ran.stdout


def test_a_plain_function_is_given_one_candidate(written):
    changes = [
        ('"ones"', '"score"\nvectorized = false'),
        ('"masks"', '"permutations"'),
        ("dimensions = 12", "dimensions = 6"),
    ]
    ran = paninifs(written(*changes), "--json", "--cluster", "threads", "--evaluations", "640")
    assert ran.exit_code == 0, ran.output
    assert sorted(json.loads(ran.stdout)["state"]["state"]) == list(range(6))


@pytest.mark.parametrize(
    ("arguments", "changes", "words"),
    [
        ((), [("evaluations = 160", "")], "give a budget"),
        (("--seconds", "-1"), [], "seconds must be a positive number"),
        (("--out", "gs://bucket/page.html"), [], "local path"),
        (("--cluster", "thread"), [], "thread"),
    ],
)
def test_what_cannot_begin_is_refused_before_anything_starts(written, arguments, changes, words):
    ran = paninifs(written(*changes), *arguments)
    assert ran.exit_code in (1, 2)
    assert words in ran.output


def test_ctrl_c_keeps_the_history(written, tmp_path, monkeypatch):
    waits = []

    def result(self, timeout=None):
        waits.append(timeout)
        if len(waits) == 1:  # the command's own; the next one waits for the end
            while self.status().evaluations < 100:
                self.wait(0.01)
            raise KeyboardInterrupt
        return wait(self, timeout)

    wait = Climb.result
    monkeypatch.setattr(Climb, "result", result)
    ran = paninifs(written(("160", "10_000_000")))
    assert ran.exit_code == 130, ran.output
    assert waits == [None, STOP_SECONDS]
    assert "the evaluations that are retired are kept in" in ran.output
    attributes = pf.open_climb(tmp_path / "out.zarr", "mine").attrs
    assert 100 <= attributes["evaluations"] < 10_000_000
    assert not attributes["over"]


# --- the guide ------------------------------------------------------------------------------------


def parts_of_the_guide(language):
    guide = (REPOSITORY / "deploy/docs/climb.md").read_text("utf-8")
    return [part.split("```")[0] for part in guide.split(f"```{language}\n")[1:]]


def test_the_guide_names_every_key():
    guide = (REPOSITORY / "deploy/docs/climb.md").read_text("utf-8")
    keys = {*climb_config._OPTIONS, *climb_config._BUDGET, *climb_config._CLUSTER}
    keys |= {*climb_config._OWN, *climb_config._SPACES, *climb_config._SECTIONS, "product"}
    assert {one for one in keys if f"`{one}`" not in guide} == set()


def test_the_code_of_the_guide_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    snippets = parts_of_the_guide("python")
    assert len(snippets) == 5
    with pf.connect("threads", quiet=True) as client:
        monkeypatch.setattr(pf, "connect", lambda *_, **__: nullcontext(client))
        session = {"__name__": "__main__"}
        for number, snippet in enumerate(snippets):
            file = f"<snippet {number}>"
            lines = snippet.splitlines(keepends=True)
            linecache.cache[file] = (len(snippet), None, lines, file)
            exec(compile(snippet.replace("00_000", "_000"), file, "exec"), session)
    assert (tmp_path / "climbs.html").read_text("utf-8").count("<h2 ") == 6
    assert session["history"].sizes["accepted"] > 10


def test_the_examples_of_the_guide_are_files_for_the_command(written, tmp_path):
    examples = parts_of_the_guide("toml")
    assert len(examples) == 2
    (tmp_path / "my.py").write_text(OWN)
    for text in examples:
        assert tomllib.loads(text)
        read_config(written(text=text))
