"""The documents themselves: links, paths and symbols that they name exist; the README stays short.

What the documents claim about the engine is tested elsewhere: the failures by the tests marked
`documented`, the commands by test_tls and test_advice, the README's notebook by test_notebook.
"""

from __future__ import annotations

import ast
import re
import shlex

import pytest
import typer
from paths import REPOSITORY

from paninifs.engine.cli import app

DOCUMENTS = sorted(
    [
        *REPOSITORY.glob("*.md"),
        *REPOSITORY.glob("deploy/**/*.md"),
        *REPOSITORY.glob("tests/**/*.md"),
    ]
)
README_LINES = 200
FOLDERS = "storage|graphs|engine|tests|deploy"


def prose(page):
    """Return a page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)


def anchors(page):
    """Return the anchors of a page: those of its headings, as GitHub makes them, and its own."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    made = [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]
    return {*made, *re.findall(r'<a name="([^"]+)">', page)}


def broken_links(path):
    """Return the relative links of a document that lead nowhere."""
    broken = []
    without_code = re.sub(r"`[^`\n]*`", "", prose(path.read_text("utf-8")))
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or (anchor and anchor not in anchors(target.read_text("utf-8"))):
            broken.append(link)
    return broken


def unknown_words(page):
    """Return the commands and options of `paninifs` that a page shows and that do not exist."""
    unknown = []
    blocks = re.findall(r"^```sh.*?\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    shown = [line for block in blocks for line in block.splitlines()]
    shown += re.findall(r"`(paninifs [a-z][^`]*)`", page)
    for line in shown:
        program, *words = shlex.split(line, comments=True) or [""]
        if not program.endswith("paninifs"):
            continue
        command = typer.main.get_command(app).commands.get(words[0])
        if command is None:
            unknown.append(words[0])
            continue
        options = {name for parameter in command.params for name in parameter.opts}
        unknown += [word for word in words if word.startswith("--") and word not in options]
    return unknown


def symbols(path):
    """Return the names that a Python file defines, those of its classes' members with a dot."""
    if path.suffix != ".py":
        return set()
    found = set()

    def visit(body, prefix):
        for node in body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                found.add(prefix + node.name)
            if isinstance(node, ast.ClassDef):
                visit(node.body, f"{prefix}{node.name}.")
            if isinstance(node, ast.Assign):
                found.update(prefix + to.id for to in node.targets if isinstance(to, ast.Name))
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found.add(prefix + node.target.id)

    visit(ast.parse(path.read_text("utf-8")).body, "")
    return found


def missing_places(page, root=REPOSITORY):
    """Return what the table of plug-ins names and what does not exist.

    A cell names `path` or `path`: `symbol`.
    """
    table = page.partition("Where things plug in")[2].partition("\n|")[2].partition("\n\n")[0]
    rows = table.splitlines()[2:]
    missing = [] if rows else ["the table"]
    for row in rows:
        where = row.strip("|").split(" | ")[1]
        named = re.findall(rf"`((?:{FOLDERS})/[^`]*)`(?:: `(\w[\w.]*)`)?", where)
        if not named:
            missing.append(row)
        for path, symbol in named:
            if not (root / path).exists() or (symbol and symbol not in symbols(root / path)):
                missing.append(f"{path}: {symbol}" if symbol else path)
    return missing


def test_readme_length():
    assert len((REPOSITORY / "README.md").read_text("utf-8").splitlines()) <= README_LINES


def test_all_documents_are_found():
    names = {str(path.relative_to(REPOSITORY)) for path in DOCUMENTS}
    assert names >= {"README.md", "CONTRIBUTING.md", "deploy/README.md", "deploy/docs/formats.md"}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_lead_somewhere(path):
    assert broken_links(path) == []


def test_broken_links_are_found(tmp_path):
    page = tmp_path / "page.md"
    (tmp_path / "there.md").write_text("# What `it` says, in 3 words\n")
    good = "[a](there.md) [b](there.md#what-it-says-in-3-words) [c](#own) [d](https://x/y)\n"
    page.write_text(f"# Own\n{good}\n```\n[code](nowhere)\n```\n`[x](code)`\n")
    assert broken_links(page) == []
    page.write_text("[a](gone.md) [b](there.md#gone) ![c](gone.png) [d](#gone)\n")
    assert broken_links(page) == ["gone.md", "there.md#gone", "gone.png", "#gone"]


def test_every_guide_is_in_the_readme():
    readme = (REPOSITORY / "README.md").read_text("utf-8")
    guides = readme.partition("## Guides")[2]
    linked = set(re.findall(r"\]\((deploy/docs/[\w-]+\.md)\)", guides))
    assert linked == {f"deploy/docs/{path.name}" for path in REPOSITORY.glob("deploy/docs/*.md")}


@pytest.mark.parametrize(
    "path",
    [path for path in DOCUMENTS if path.name != "CHANGELOG.md"],
    ids=lambda path: str(path.relative_to(REPOSITORY)),
)
def test_paths_in_the_text_exist(path):
    named = re.findall(rf"`((?:{FOLDERS})/[\w./-]*)`", path.read_text("utf-8"))
    assert [name for name in named if not (REPOSITORY / name).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_commands_and_options_exist(path):
    assert unknown_words(path.read_text("utf-8")) == []


def test_unknown_commands_and_options_are_found():
    page = "```sh\n.venv/bin/paninifs run a b --fresh  # `--not-this`\npaninifs gone a\n```\n"
    assert unknown_words(page) == ["gone"]
    assert unknown_words("`paninifs show a --gone` and `--gone`, `paninifs_texts`") == ["--gone"]


def test_plug_in_table_names_what_exists():
    assert missing_places((REPOSITORY / "CONTRIBUTING.md").read_text("utf-8")) == []


def test_missing_plug_ins_are_found(tmp_path):
    (tmp_path / "storage").mkdir()
    (tmp_path / "storage/a.py").write_text("ALL: int = 1\nclass A:\n    def go(self): ...\n")
    rows = [
        "| good | `storage/a.py`: `ALL`, and `storage/a.py`: `A.go` |",
        "| gone | `storage/gone.py` |",
        "| another | `storage/a.py`: `GONE` |",
        "| nothing | somewhere |",
    ]
    page = "Where things plug in:\n\n| to add | where |\n|---|---|\n" + "\n".join(rows) + "\n\nend"
    assert missing_places(page, tmp_path) == ["storage/gone.py", "storage/a.py: GONE", rows[3]]
    assert missing_places("no table here", tmp_path) == ["the table"]
