"""Graphs from users' files: what is found in them, what their code is called, how they fail."""

from __future__ import annotations

import os
import pickle
import sys
from types import SimpleNamespace

import cloudpickle
import numpy as np
import pytest
from typer.testing import CliRunner

import paninifs as pf
from paninifs.engine.cli import app
from paninifs.engine.cli.graph_files.address import FOLDER
from paninifs.engine.cli.graph_files.options import chosen_graph
from paninifs.engine.costs import this_machine
from paninifs.engine.costs.calibration import Rate
from paninifs.engine.hardware.cpu import processor
from paninifs.storage.errors import UsageError

BLOCKS = """
import numpy as np
import paninifs as pf
import lengths

@pf.map_block(fields=[pf.Field("n_words", "int32")])
def n_words(text):
    return np.array([lengths.count(one) for one in text.to_strings()], "int32")

def doubled(numbers):
    return 2 * numbers

@pf.map_block(fields=[pf.Field("twice", "int32")])
def twice(n_words):
    return doubled(n_words)

@pf.reduce_block
def total(results):
    return results.n_words.sum("text")

graph = pf.default_graph() + n_words
several = [n_words, pf.Graph((twice,)), [total]]
nothing, number, mixed = [], 3, [n_words, 3]

def made():
    return graph

def made_number():
    return 3

def failing():
    return 1 / 0

def with_arguments(text):
    return text

if __name__ == "__main__":
    raise SystemExit("as a script")
"""
LENGTHS = """
def count(text):
    return len(text.split())
"""


@pytest.fixture
def forget(monkeypatch):
    """Return a function after which Python knows nothing of modules that were loaded since."""
    before, path = set(sys.modules), list(sys.path)
    registered = cloudpickle.list_registry_pickle_by_value()

    def forgotten():
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None) or ""
            if name == FOLDER or "/pytest-" in file:  # in a folder of a test
                del sys.modules[name]
        for name in cloudpickle.list_registry_pickle_by_value() - registered:
            cloudpickle.cloudpickle._PICKLE_BY_VALUE_MODULES.discard(name)
        monkeypatch.setattr(sys, "path", [*path])

    forgotten()
    yield forgotten
    forgotten()


@pytest.fixture
def folder(forget, tmp_path, monkeypatch):
    """The current folder, with a file of blocks and its neighbour."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_blocks.py").write_text(BLOCKS)
    (tmp_path / "lengths.py").write_text(LENGTHS)
    return tmp_path


def names(graph):
    return [block.name for block in graph]


DEFAULT = ["digest", "dhatu", "prime_base", "ambiguity"]

# --- what a name may be ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("graph", [*DEFAULT, "n_words"]),
        ("n_words", ["n_words"]),
        ("several", ["n_words", "twice", "total"]),
        ("made", [*DEFAULT, "n_words"]),
    ],
)
@pytest.mark.parametrize("module", ["my_blocks.py", "my_blocks", "./my_blocks.py"])
def test_a_name_is_a_graph_a_block_a_list_or_a_function(module, name, found, folder):
    assert names(chosen_graph(f"{module}:{name}", None)) == found


def test_blocks_are_added_to_the_default_graph_or_to_another(folder):
    assert names(chosen_graph(None, None)) == DEFAULT
    assert names(chosen_graph(None, ["my_blocks.py:n_words"])) == [*DEFAULT, "n_words"]
    added = chosen_graph("my_blocks.py:n_words", ["my_blocks.py:twice", "my_blocks.py:total"])
    assert names(added) == ["n_words", "twice", "total"]
    with pytest.raises(UsageError, match="two blocks are named 'n_words'"):
        chosen_graph("my_blocks.py:graph", ["my_blocks.py:n_words"])


@pytest.mark.documented("graph-name")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "grahp",
            r"my_blocks\.py has no 'grahp'; did you mean 'graph'\? It has: n_words \(a block\)",
        ),
        ("xyz", r"has no 'xyz'\. It has: .*graph \(a graph of 5 blocks\).*, made \(a function\)"),
        ("", r"give the name of a graph or a block too\. It has: "),
        ("number", "'number' of my_blocks.py is of type int; it must be a graph, a block, a list"),
        ("mixed", "'mixed' of my_blocks.py is a list with what is of type int"),
        ("nothing", "'nothing' of my_blocks.py has no blocks"),
        ("made_number", r"what made_number\(\) of my_blocks.py returns is of type int"),
        ("with_arguments", r"is a function with arguments.*decorate it with @pf\.map_block"),
    ],
)
def test_another_name_is_refused_with_what_there_is(name, words, folder):
    with pytest.raises(UsageError, match=words):
        chosen_graph(f"my_blocks.py:{name}", None)


def test_a_file_without_blocks_says_how_to_make_one(folder):
    (folder / "empty.py").write_text("import paninifs as pf\nfrom paninifs import default_graph\n")
    with pytest.raises(UsageError, match=r"has no 'graph'\. It has no graph and no block: make"):
        chosen_graph("empty.py:graph", None)


# --- where a file is does not count ---------------------------------------------------------------


def test_the_fingerprint_depends_on_neither_folder_nor_current_directory(
    folder, forget, monkeypatch, tmp_path_factory
):
    first = chosen_graph("my_blocks.py:graph", None).describe()
    assert "lengths" in str(first)
    for address in ("my_blocks:graph", f"{folder}/my_blocks.py:graph"):
        forget()
        assert chosen_graph(address, None).describe() == first
    forget()
    moved = tmp_path_factory.mktemp("elsewhere") / "deep"
    folder.rename(moved)
    monkeypatch.chdir("/")
    assert chosen_graph(f"{moved}/my_blocks.py:graph", None).describe() == first
    forget()
    (moved / "lengths.py").write_text(LENGTHS.replace("split()", "split(' ')"))
    changed = chosen_graph(f"{moved}/my_blocks.py:graph", None).describe()
    assert {name for name in first if first[name] != changed[name]} == {"n_words"}


RELATIVE = BLOCKS.replace("import lengths", "from . import lengths")


@pytest.mark.parametrize("packages", [0, 1, 2])
def test_neighbours_are_imported_relatively_with_and_without_a_package(packages, folder, forget):
    inner = folder / "outer/inner"
    inner.mkdir(parents=True)
    for at in range(packages):
        (inner.parents[at - 1] if at else inner).joinpath("__init__.py").touch()
    (inner / "my-blocks.py").write_text(RELATIVE)
    (inner / "lengths.py").write_text(LENGTHS)
    graph = chosen_graph("outer/inner/my-blocks.py:n_words", None)
    assert graph.blocks[0](["one two"]).tolist() == [2]
    first = graph.describe()
    forget()
    (folder / "outer").rename(folder / ("outer" if packages == 2 else "renamed"))
    (again,) = folder.glob("*/inner/my-blocks.py")
    assert chosen_graph(f"{again}:n_words", None).describe() == first


def test_two_folders_of_files_with_relative_imports_need_packages(folder):
    for name in ("a", "b"):
        (folder / name).mkdir()
        (folder / name / f"of_{name}.py").write_text(RELATIVE)
        (folder / name / "lengths.py").write_text(LENGTHS)
    with pytest.raises(UsageError, match=r"put an empty __init__\.py into both"):
        chosen_graph("a/of_a.py:n_words", ["b/of_b.py:twice"])


# --- what is sent to workers ----------------------------------------------------------------------


@pytest.mark.documented("graph-file-edited")
@pytest.mark.parametrize("source", [BLOCKS, RELATIVE], ids=["import", "from . import"])
def test_workers_need_no_file_and_compute_what_was_loaded(source, folder, forget):
    (folder / "my_blocks.py").write_text(source)
    sent = chosen_graph("my_blocks.py:n_words", ["my_blocks.py:twice"]).pickled()
    forget()
    sys.path.append(str(folder))
    edited = source.replace("count(one)", "count(one) + 1").replace("2 * numbers", "3 * numbers")
    (folder / "my_blocks.py").write_text(edited)
    (folder / "lengths.py").unlink()
    n_words, twice = pickle.loads(sent).blocks
    assert n_words(["one two"]).tolist() == [2]
    assert twice(np.array([2], "int32")).tolist() == [4]
    assert "my_blocks" not in sys.modules


def test_a_neighbour_that_cannot_be_sent_is_imported_by_workers(folder, forget):
    (folder / "lengths.py").write_text(f"import threading\nlock = threading.Lock()\n{LENGTHS}")
    sent = chosen_graph("my_blocks.py:n_words", None).pickled()
    forget()
    with pytest.raises(ModuleNotFoundError, match="lengths"):
        pickle.loads(sent)
    sys.path.append(str(folder))  # as a worker of this machine has it
    assert pickle.loads(sent).blocks[0](["one two"]).tolist() == [2]


def test_installed_modules_are_not_sent(folder):
    chosen_graph("paninifs:default_graph", None)
    assert not {"paninifs", "numpy"} & cloudpickle.list_registry_pickle_by_value()


# --- loading --------------------------------------------------------------------------------------


def test_a_file_is_loaded_once_not_as_main_and_prints_nothing_to_stdout(folder, capsys):
    with (folder / "my_blocks.py").open("a") as file:
        file.write("print('loaded', __name__)\n")
    graph = chosen_graph("my_blocks.py:n_words", ["./my_blocks.py:twice"])
    assert names(graph) == ["n_words", "twice"]
    assert capsys.readouterr() == ("", "loaded my_blocks\n")


def test_an_edit_is_seen_whatever_its_time_and_size(folder, forget, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    file = folder / "my_blocks.py"
    os.utime(file, (1e9, 1e9))
    assert chosen_graph("my_blocks.py:twice", None).blocks[0](np.array([1], "int32")) == 2
    forget()
    file.write_text(BLOCKS.replace("2 * numbers", "3 * numbers"))
    os.utime(file, (1e9, 1e9))
    assert chosen_graph("my_blocks.py:twice", None).blocks[0](np.array([1], "int32")) == 3


def test_neighbours_win_while_the_file_is_loaded_and_hide_nothing_later(folder):
    (folder / "calendar.py").write_text("mine = True\n")
    with (folder / "my_blocks.py").open("a") as file:
        file.write("def late(text):\n    import lengths\n")
    chosen_graph("my_blocks.py:n_words", None)
    assert sys.path[-1] == str(folder)
    assert sys.path[0] != str(folder)


@pytest.mark.documented("graph-file")
@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("x = 1\ndef f(:\n", ['bad.py", line 2', "def f(:", "SyntaxError: invalid syntax"]),
        ("x = 1\ny = x / 0\n", ["division by zero", 'bad.py", line 2, in <module>', "y = x / 0"]),
        ("import no_such\n", ["the module 'no_such' is not installed here", "import no_such"]),
        ("import sys\nsys.exit(3)\n", ["it ends the program", 'if __name__ == "__main__":']),
        (
            "import paninifs as pf\ng = pf.Graph((1,))\n",
            ["cannot be loaded: a graph consists of blocks, not of 1", "line 2, in <module>"],
        ),
        ("def graph():\n    raise KeyError('k')\n", ["graph() fails: KeyError: 'k'", "line 2"]),
        ("\0", ["bad.py cannot be loaded"]),
    ],
)
def test_a_file_that_fails_is_shown_by_its_own_lines(source, words, folder):
    (folder / "bad.py").write_text(source)
    for _ in range(2):  # also the second time
        said = printed("graph", "bad.py:graph")
        assert said.exit_code == 2
        assert all(word in said.stderr for word in words), said.stderr
        assert "paninifs/engine" not in said.stderr
        assert "Traceback" not in said.stderr
        assert "<string>" not in said.stderr  # generated code


@pytest.mark.documented("graph-file-runs")
@pytest.mark.parametrize(
    ("line", "function"),
    [("pf.connect('threads')", "connect"), ("pf.submit(pf.default_graph(), 1, 2)", "submit")],
)
def test_a_file_that_starts_a_run_needs_a_main_guard(line, function, folder):
    (folder / "script.py").write_text(f"import paninifs as pf\nx = {line}\n")
    with pytest.raises(UsageError) as caught:
        chosen_graph("script.py:graph", None)
    said = str(caught.value)
    assert f"script.py calls {function}() when it is loaded" in said
    assert 'if __name__ == "__main__":' in said
    assert line in said
    with pytest.raises(UsageError, match="submit needs"):
        pf.submit(pf.default_graph(), 1, 2)  # only while a file is loaded


@pytest.mark.documented("graph-file-name")
def test_a_file_named_like_another_module_is_refused(folder):
    for name in ("json.py", "numpy.py", "paninifs.py", "xarray.py"):
        (folder / name).write_text(BLOCKS)
        with pytest.raises(
            UsageError, match=f"{name} is named like the module .*: rename the file"
        ):
            chosen_graph(f"{name}:graph", None)
    (folder / "other").mkdir()
    (folder / "other/my_blocks.py").write_text(BLOCKS)
    with pytest.raises(UsageError, match="named like the module 'my_blocks'"):
        chosen_graph("my_blocks.py:graph", ["other/my_blocks.py:twice"])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("my_block.py:graph", r"my_block\.py does not exist; did you mean 'my_blocks\.py'"),
        ("nowhere/my_blocks.py:graph", "nowhere/my_blocks.py does not exist"),
        ("no_such_module:graph", "no module 'no_such_module' is here or installed"),
        ("my-blocks:graph", "is not FILE:NAME or MODULE:NAME, such as my_blocks.py:graph"),
        ("./sub:graph", "./sub is a folder"),
        ("c.jsonl:graph", r"c\.jsonl is not a Python file"),
        ("my_blocks.py", "give the name of a graph or a block too"),
        ("sub/my_blocks.py:", r"sub/my_blocks\.py does not exist"),
    ],
)
def test_an_address_that_leads_nowhere_is_refused(given, words, folder):
    (folder / "sub").mkdir()
    (folder / "c.jsonl").touch()
    with pytest.raises(UsageError, match=words):
        chosen_graph(given, None)


def test_names_of_files_that_are_no_identifiers_work(folder):
    for name in ("my-blocks.py", "2nd.py", "two words.py", "a.b.py"):
        (folder / name).write_text(BLOCKS)
        assert names(chosen_graph(f"{name}:n_words", None)) == ["n_words"]


# --- the command ----------------------------------------------------------------------------------


def printed(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture
def unmeasured(monkeypatch):
    """A machine on which `paninifs bench` has not run."""
    monkeypatch.setattr(this_machine, "calibration_of", lambda own: None)


def test_the_command_explains_a_graph(folder, unmeasured):
    said = printed("graph", "my_blocks.py:graph", "--add", "my_blocks.py:twice", "--svg", "g.svg")
    assert said.exit_code == 0, said.output
    explained = chosen_graph("my_blocks.py:graph", ["my_blocks.py:twice"]).explain()
    assert said.stdout == f"{explained}\n"
    assert (folder / "g.svg").read_text("utf-8") == f"{explained.svg}\n"
    assert "  twice " in said.stdout


def test_the_command_says_which_columns_may_be_fields(folder, unmeasured):
    said = printed("graph", "my_blocks.py:twice").stdout
    assert "\nno block here makes n_words; in a graph with one that does, it is its field\n" in said
    assert "no block here" not in printed("graph", "my_blocks.py:n_words").stdout


def test_the_command_explains_the_default_graph(unmeasured):
    said = printed("graph")
    assert said.exit_code == 0
    assert said.stdout == f"{pf.default_graph().explain()}\n"


def test_the_command_shows_what_bench_has_measured(folder, monkeypatch):
    rates = {processor().hashing: Rate(row=1e-7, byte=1e-9)}
    found = SimpleNamespace(hashing=rates)
    monkeypatch.setattr(this_machine, "calibration_of", lambda own: found)
    said = printed("graph", "--add", "my_blocks.py:n_words").stdout
    assert "┌ fused, computed in one pass over the bytes: 200 ns per text" in said
    assert "measured by paninifs bench: one core, texts of 100 bytes" in said
    assert "measured" not in printed("graph", "my_blocks.py:n_words").stdout
