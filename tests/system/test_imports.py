"""The package's import rules: storage <- graphs <- engine, nothing heavy, names in one place."""

from __future__ import annotations

import ast
import functools
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import paninifs
from paninifs.graphs.kernels.cpu import cpu_backend

ROOT = Path(paninifs.__file__).parent
ROOMS = ("storage", "graphs", "engine")
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


@cache
def imported(source: str, package: tuple[str, ...]) -> list[tuple[int, str]]:
    """Return line and absolute name of everything that a module of `package` imports, anywhere."""
    return list(_imported(source, package))


def _imported(source: str, package: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(source)):
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


@functools.cache
def imports_of(source: str, package: tuple[str, ...]) -> list[tuple[int, str]]:
    """Return what a module's source imports: of many copies of one file it is found out once."""
    return [*imported(ast.parse(source), package)]


LAYERS = {
    "": "engine > graphs > storage",
    "storage": (
        "store > corpus | targets > formats > rows > cleaning | filesystems"
        " > field > kinds > text | messages > errors"
    ),
    "graphs": (
        "frames | fusion > graph > stages > embeddings > blocks | reductions | measures"
        " > map_block > block > drawing | user_functions > fingerprint > kernels > inventories"
    ),
    "graphs/kernels": (
        "cpu | cuda > selftest | long_texts > reference > arithmetic | chains | characters"
        " | host | control_groups | band_hashes > shingles"
    ),
    "engine": (
        "cli > climbing | collecting > near_duplicates | nsm > rehearsal | report | calibrate"
        " > run | results | staging > staged"
        " > cluster | worker > monitoring > advisor > costs > hardware > rendering"
    ),
}
"""By folder, what lies in it, from the top down: what is left of a ``>`` may import what is right
of it, and neighbours (``|``) do not see each other. What is not named is not restricted."""

VERSION = "paninifs.__version__"  # the one thing that may be taken from the root


def ranks(folder: str) -> dict[str, int]:
    """Return by name how high the files and folders of a folder stand; neighbours are equal."""
    rows = reversed(LAYERS[folder].split(" > "))
    return {name: rank for rank, row in enumerate(rows) for name in row.split(" | ")}


def parts_of(name: str, public: dict[str, str]) -> tuple[str, ...] | None:
    """Return where an absolute name lies, below the root; None outside the package."""
    head, *rest = name.split(".")
    if head != "paninifs" or name == VERSION:
        return None
    if rest and rest[0] in public:
        return tuple(f"{public[rest[0]].removeprefix('.')}.{rest[0]}".split("."))
    return tuple(rest)


def goes_up(importer: tuple[str, ...], target: tuple[str, ...]) -> bool:
    """Whether an import goes up, or to a neighbour that must not be seen."""
    if not target:  # the public API itself, which holds everything
        return True
    for depth, (own, other) in enumerate(zip(importer, target, strict=False)):
        folder = "/".join(importer[:depth])
        if own != other:
            if folder not in LAYERS:
                return False
            rank = ranks(folder)
            if depth == 0 and other not in rank:
                return True  # a name of the public API, by way of the root
            return own in rank and other in rank and rank[own] <= rank[other]
    return False


def modules(root: Path) -> dict[tuple[str, ...], Path]:
    """Return every module of the rooms, by its parts; a package without its ``__init__``."""
    found = {}
    for path in sorted(path for room in ROOMS for path in (root / room).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[parts[:-1] if parts[-1] == "__init__" else parts] = path
    return found


def edges(root: Path) -> Iterator[tuple[tuple[str, ...], int, str]]:
    """Yield what is imported, anywhere: by which module, in which line, and its absolute name."""
    for parts, path in modules(root).items():
        package = ("paninifs", *(parts if path.name == "__init__.py" else parts[:-1]))
        for line, name in imported(path.read_text(encoding="utf-8"), package):
            yield parts, line, name


def violations(root: Path) -> tuple[int, list[str]]:
    """Return how many of the package's own imports there are, and those that go the wrong way."""
    public, paths, looked_at, wrong = homes(root), modules(root), 0, []
    for importer, line, name in edges(root):
        target = parts_of(name, public)
        if target is None:
            continue
        looked_at += 1
        if goes_up(importer, target):
            wrong.append(f"{paths[importer].relative_to(root)}:{line} imports {name}")
    return looked_at, wrong


def circles(root: Path) -> list[list[str]]:
    """Return the modules that need one another, over imports of every kind."""
    public, known = homes(root), modules(root)
    graph: dict[str, list[str]] = {".".join(parts): [] for parts in known}
    for importer, _, name in edges(root):
        target = parts_of(name, public) or ()
        while target and target not in known:
            target = target[:-1]  # what is imported is a name in the module
        # A package's own ``__init__`` may gather what lies in it.
        if target and target != importer:
            graph[".".join(importer)].append(".".join(target))
    found = []
    while True:
        try:
            tuple(TopologicalSorter(graph).static_order())
        except CycleError as error:
            circle = error.args[1]
            found.append(circle)
            graph[circle[1]].remove(circle[0])
        else:
            return found


def test_imports_go_down() -> None:
    looked_at, wrong = violations(ROOT)
    assert not wrong
    assert looked_at > 1000


def test_no_circle() -> None:
    assert not circles(ROOT)


@pytest.mark.parametrize("folder", LAYERS)
def test_every_layer_exists(folder: str) -> None:
    there = {path.stem for path in (ROOT / folder).iterdir()}
    named = ranks(folder).keys()
    assert named <= there
    if folder != "":  # nothing stands outside the order
        own = {
            path.stem
            for path in (ROOT / folder).iterdir()
            if (path.suffix == ".py" or (path / "__init__.py").exists())
        }
        assert own - {"__init__"} == named


PLANTED = {
    "relative": ("storage/field.py", "from ..engine.run.submit import submit"),
    "relative, a package": ("storage/field.py", "from ..graphs import block"),
    "relative, from the root": ("graphs/block.py", "from .. import engine"),
    "relative, a public name": ("graphs/block.py", "from .. import submit"),
    "the public api": ("storage/text.py", "import paninifs"),
    "from four folders up": (
        "graphs/kernels/cpu/moments.py",
        "from ....engine.run.submit import submit",
    ),
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
    "up within storage": ("storage/formats/jsonl.py", "from ..corpus import index"),
    "neighbours in storage": ("storage/targets/local.py", "from ..corpus.listing import listed"),
    "up within graphs": ("graphs/block.py", "from .graph import Graph"),
    "a backend and another": ("graphs/kernels/cpu/moments.py", "from ..cuda import source"),
    "up within engine": ("engine/monitoring/events.py", "from ..run import submit"),
    "neighbours in engine": ("engine/results/verify.py", "from ..run.submit import submit"),
    "neighbours, for types": (
        "engine/worker/task.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..cluster import location",
    ),
    "a public name from above": ("engine/costs/work.py", "def f():\n    from ... import submit"),
    "a room's own package": ("engine/costs/work.py", "from .. import run"),
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
        ("engine/run/submit.py", "from ...storage.text import PackedText"),
        ("graphs/kernels/cpu/moments.py", "from ....storage.text import PackedText"),
        ("storage/rows/rows.py", "from ..field import Field"),
        ("storage/text.py", "from .. import __version__"),
        ("storage/rows/rows.py", "from paninifs import Field"),
        ("storage/text.py", "import engine"),
        ("engine/cli/run.py", "from ..rendering import terminal"),
    ],
)
def test_an_import_the_right_way_is_let_through(copy: Path, path: str, code: str) -> None:
    with (copy / path).open("a", encoding="utf-8") as file:
        file.write(f"\n{code}\n")
    assert not violations(copy)[1]


CIRCLE = {
    "at the top": "from .layout import metadata",
    "in a function": "def f():\n    from .layout import metadata",
    "for types": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .layout import metadata"
    ),
}


@pytest.mark.parametrize("code", CIRCLE.values(), ids=CIRCLE)
def test_a_circle_is_seen(copy: Path, code: str) -> None:
    with (copy / "storage/store/encoding.py").open("a", encoding="utf-8") as file:
        file.write(f"\n{code}\n")
    (circle,) = circles(copy)
    assert {"storage.store.encoding", "storage.store.layout"} <= set(circle)


# --- how the folders are arranged -----------------------------------------------------------------

MOST_FILES = 14
REPEATABLE = {"cli", "compiled"}  # folders whose files are named after what they serve


def crowded(root: Path) -> list[str]:
    """Return the folders that hold more files than are easily surveyed."""
    counts = Counter(path.parent for path in modules(root).values() if path.stem != "__init__")
    return [str(folder.relative_to(root)) for folder, n in counts.items() if n > MOST_FILES]


def repeated(root: Path) -> list[str]:
    """Return the file names that stand in a room more than once."""
    counts = Counter(
        (path.relative_to(root).parts[0], path.name)
        for path in modules(root).values()
        if path.stem != "__init__" and not REPEATABLE & set(path.parts)
    )
    return [f"{room}: {name}" for (room, name), n in counts.items() if n > 1]


def test_no_folder_is_crowded_and_no_name_stands_twice() -> None:
    assert not crowded(ROOT)
    assert not repeated(ROOT)


def test_a_crowded_folder_and_a_repeated_name_are_seen(copy: Path) -> None:
    folder = copy / "storage" / "targets"
    for number in range(MOST_FILES):
        (folder / f"target_{number}.py").touch()
    (copy / "storage" / "cleaning" / "local.py").touch()
    assert crowded(copy) == ["storage/targets"]
    assert repeated(copy) == ["storage: local.py"]


@pytest.mark.parametrize(
    "folder",
    sorted(
        str(path.parent.relative_to(ROOT))
        for path in modules(ROOT).values()
        if path.stem == "__init__"
    ),
)
def test_a_folder_says_what_belongs_there_and_what_it_imports(folder: str) -> None:
    said = ast.get_docstring(ast.parse((ROOT / folder / "__init__.py").read_text("utf-8"))) or ""
    assert re.search(r"\b[Ii]mports?\b", said), said
    assert len(said.splitlines()) >= 3


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
