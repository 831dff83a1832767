"""The package's import rules: storage <- graphs <- engine, nothing heavy, names in one place."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import paninifs
from paninifs.graphs.kernels.cpu import cpu_backend

ROOT = Path(paninifs.__file__).parent
ROOMS = ("storage", "graphs", "engine")  # each may import from itself and from those before it
API = "the public API"
HEAVY = (
    "cudf",
    "cupy",
    "rmm",
    "dask_cuda",
    "dask_cudf",
    "jax",
    "torch",
    "numba",
    "zarr",
    "distributed",
    "dask",
    "dask.dataframe",
    "pandas",
)


# --- reading imports from source ------------------------------------------------------------------


def homes(root: Path) -> dict[str, str]:
    """Return where the root's lazy table says that each public name lives."""
    tree = ast.parse((root / "__init__.py").read_text(encoding="utf-8"))
    (table,) = (
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and [ast.unparse(t) for t in node.targets] == ["_HOME"]
    )
    return ast.literal_eval(table)


def imported(tree: ast.AST, package: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Yield line and absolute name of everything that a module of `package` imports, anywhere."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args:
            called = ast.unparse(node.func).rpartition(".")[2]
            name = node.args[0]
            if called in ("import_module", "__import__") and isinstance(name, ast.Constant):
                dots = len(name.value) - len(name.value.lstrip("."))
                base = package[: len(package) - dots + 1] if dots else ()
                yield node.lineno, ".".join([*base, name.value.lstrip(".")])


def room_of(name: str, public: dict[str, str]) -> str | None:
    """Return the room that an absolute name lies in; None outside the package."""
    head, *rest = name.split(".")
    if head != "paninifs":
        return None
    first = rest[0] if rest else ""
    if first == "__version__":
        return None
    if first in ROOMS:
        return first
    return public[first].split(".")[1] if first in public else API


def violations(root: Path) -> tuple[int, list[str]]:
    """Return how many of the package's own imports there are, and those that go the wrong way."""
    public, looked_at, wrong = homes(root), 0, []
    for rank, room in enumerate(ROOMS):
        for path in sorted((root / room).rglob("*.py")):
            package = ("paninifs", *path.relative_to(root).parent.parts)
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for line, name in imported(tree, package):
                target = room_of(name, public)
                if target is None:
                    continue
                looked_at += 1
                if target not in ROOMS[: rank + 1]:
                    wrong.append(f"{path.relative_to(root)}:{line} imports {name} ({target})")
    return looked_at, wrong


def test_imports_run_from_engine_to_graphs_to_storage_only() -> None:
    looked_at, wrong = violations(ROOT)
    assert not wrong
    assert looked_at > 50
    for room in ROOMS:
        assert len(list((ROOT / room).glob("*.py"))) > 5


PLANTED = {
    "relative": ("storage/field.py", "from ..engine.run import submit"),
    "relative, a package": ("storage/field.py", "from ..graphs import block"),
    "relative, from the root": ("graphs/block.py", "from .. import engine"),
    "relative, a public name": ("graphs/block.py", "from .. import submit"),
    "the public api": ("storage/text.py", "import paninifs"),
    "from three folders up": ("graphs/kernels/cpu.py", "from ...engine.run import submit"),
    "absolute": ("graphs/graph.py", "import paninifs.engine.run.handle"),
    "absolute, another name": ("storage/text.py", "import paninifs.graphs.block as b"),
    "absolute from": ("storage/text.py", "from paninifs.graphs.block import MapBlock"),
    "from the root": ("storage/text.py", "from paninifs import MapBlock"),
    "in a function": ("storage/text.py", "def f():\n    from ..graphs.block import TEXT"),
    "in a method": (
        "graphs/graph.py",
        "class C:\n    def f(self):\n        import paninifs.engine",
    ),
    "for types": (
        "storage/text.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..graphs.block import TEXT",
    ),
    "by name": (
        "graphs/block.py",
        "import importlib\nimportlib.import_module('paninifs.engine.run.handle')",
    ),
    "by relative name": (
        "graphs/block.py",
        "from importlib import import_module\nimport_module('..engine.run', __package__)",
    ),
    "in a new file": ("storage/a_new_file.py", "from ..engine import run"),
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "__init__.py", tmp_path)
    return tmp_path


@pytest.mark.parametrize(("path", "code"), PLANTED.values(), ids=PLANTED)
def test_an_import_the_wrong_way_is_seen(copy: Path, path: str, code: str) -> None:
    before = violations(copy)
    assert not before[1]
    target = copy / path
    source = target.read_text(encoding="utf-8") if target.exists() else ""
    target.write_text(f"{source}\n{code}\n", encoding="utf-8")
    _, wrong = violations(copy)
    assert len(wrong) == 1
    assert wrong[0].startswith(f"{path}:")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("engine/run.py", "from ..storage.text import PackedText"),
        ("graphs/kernels/cpu.py", "from ...storage.text import PackedText"),
        ("storage/text.py", "from .field import Field"),
        ("storage/text.py", "from .. import __version__"),
        ("storage/text.py", "from paninifs import Field"),
        ("storage/text.py", "import engine"),
    ],
)
def test_an_import_the_right_way_is_let_through(copy: Path, path: str, code: str) -> None:
    with (copy / path).open("a", encoding="utf-8") as file:
        file.write(f"\n{code}\n")
    assert not violations(copy)[1]


# --- what `import paninifs` brings with it --------------------------------------------------------


def modules_after(code: str, cwd: Path) -> set[str]:
    ran = subprocess.run(
        [
            sys.executable,
            "-P",
            "-c",
            f"{code}\nimport json, sys\nprint(json.dumps([*sys.modules]))",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )
    assert ran.returncode == 0, ran.stderr
    return set(json.loads(ran.stdout))


def test_importing_the_package_imports_nothing_heavy(tmp_path: Path) -> None:
    loaded = modules_after("import paninifs", tmp_path)
    assert "paninifs" in loaded
    assert not loaded & set(HEAVY)
    assert not {name for name in loaded if name.startswith("paninifs.")}


def test_help_of_the_command_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "from typer.testing import CliRunner\nfrom paninifs.engine.cli import app\n"
        "assert '--sample' in CliRunner().invoke(app, ['run', '--help']).output"
    )
    loaded = modules_after(code, tmp_path)
    assert "paninifs.engine.cli.rehearsal" in loaded
    assert not loaded & {*HEAVY, "jinja2", "matplotlib", "xarray"}


def test_a_small_run_imports_no_more_than_it_needs(tmp_path: Path) -> None:
    # What is not needed costs it more time than the hashing: Numba and pandas half a second.
    cpu_backend.prepare()  # as it is on every run but the first
    (tmp_path / "corpus.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    code = (
        "from typer.testing import CliRunner\nfrom paninifs.engine.cli import app\n"
        "ran = CliRunner().invoke(app, ['run', 'corpus.jsonl', 'results.zarr'])\n"
        "assert ran.exit_code == 0, ran.output"
    )
    loaded = modules_after(code, tmp_path)
    assert {"distributed", "zarr", "llvmlite"} <= loaded
    unwanted = {"numba", "pandas", "dask.dataframe", "matplotlib", "xarray", "scipy", "IPython"}
    assert not loaded & unwanted


def test_what_is_imported_is_seen(tmp_path: Path) -> None:
    loaded = modules_after("import paninifs\npaninifs.PackedText\nimport pandas", tmp_path)
    assert {"paninifs.storage.text", "pandas"} <= loaded


@pytest.mark.parametrize(
    "name", ["PackedText", "Field", "errors", "MapBlock", "Graph", "default_graph"]
)
def test_storage_and_graphs_start_no_cluster_and_touch_no_device(name: str, tmp_path: Path) -> None:
    loaded = modules_after(f"import paninifs\npaninifs.{name}", tmp_path)
    devices = {"cudf", "cupy", "rmm", "dask_cuda", "dask_cudf", "jax", "torch"}
    assert not loaded & {*devices, "distributed", "numba"}


def test_no_module_of_the_package_imports_a_device_library(tmp_path: Path) -> None:
    modules = [
        ".".join(["paninifs", *path.relative_to(ROOT).with_suffix("").parts])
        for room in ROOMS
        for path in sorted((ROOT / room).rglob("*.py"))
        if path.stem not in ("cuda", "tpu")
    ]
    assert "paninifs.engine.run.handle" in modules
    code = "import importlib\n" + "\n".join(
        f"importlib.import_module({module.removesuffix('.__init__')!r})" for module in modules
    )
    loaded = modules_after(code, tmp_path)
    assert "paninifs.engine.run.handle" in loaded
    assert not loaded & {"cudf", "cupy", "rmm", "dask_cuda", "dask_cudf", "jax", "torch"}


# --- the public API -------------------------------------------------------------------------------


def test_all_is_the_lazy_table_and_the_version() -> None:
    assert set(paninifs.__all__) == {"__version__", *homes(ROOT)}
    assert len(paninifs.__all__) == len(set(paninifs.__all__)) > 15


@pytest.mark.parametrize("name", paninifs.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(paninifs, name) is not None
    assert name in dir(paninifs)


@pytest.mark.parametrize(("name", "home"), homes(ROOT).items())
def test_a_public_name_is_the_one_in_its_home(name: str, home: str) -> None:
    module = __import__(f"paninifs{home}", fromlist=[name])
    value = getattr(module, name)
    assert getattr(paninifs, name) is value
    assert getattr(value, "__module__", f"paninifs{home}") == f"paninifs{home}"


def test_the_block_for_type_checkers_lists_exactly_the_lazy_table() -> None:
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    listed = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            assert alias.asname == alias.name  # a re-export, to mypy
            listed[alias.name] = "." * node.level + str(node.module)
    assert listed == homes(ROOT)


@pytest.mark.parametrize("name", ["no_such_name", "Submit", "_HOUSE", "kernels"])
def test_an_unknown_attribute_is_an_attribute_error_naming_it(name: str) -> None:
    with pytest.raises(AttributeError, match=f"'paninifs' has no attribute '{name}'"):
        getattr(paninifs, name)
    assert not hasattr(paninifs, name)


def test_an_unknown_name_cannot_be_imported_from_the_package() -> None:
    with pytest.raises(ImportError, match="no_such_name"):
        from paninifs import no_such_name  # noqa: F401


def test_the_version_is_that_of_pyproject() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert paninifs.__version__ == project["version"]


def test_a_star_import_brings_every_public_name() -> None:
    names: dict[str, object] = {}
    exec("from paninifs import *", names)  # the namespace is thrown away
    assert set(paninifs.__all__) <= set(names)


# --- what is installed ----------------------------------------------------------------------------


def test_whatever_stands_beside_the_modules_is_installed_with_them():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    inner = set(settings["packages"]) - {"paninifs"}
    folders = {name: ROOT.joinpath(*name.split(".")[1:]) for name in inner}
    assert {path.parent for room in ROOMS for path in (ROOT / room).rglob("*.py")} == set(
        folders.values()
    )
    beside = {
        (name, path.suffix)
        for name, folder in folders.items()
        for path in folder.iterdir()
        if path.is_file() and path.suffix != ".py"
    }
    installed = {
        (name, pattern.removeprefix("*"))
        for name, patterns in settings["package-data"].items()
        for pattern in patterns
    }
    assert beside == installed - {("paninifs", "py.typed")}
