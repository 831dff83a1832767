"""Messages about columns: which is missing, is not text, or is read only in part.

Stores keep these texts. Those of `no_column` and `text_problem` identify a store; remarks do not.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ..errors import ColumnNotFound
from ..formats.registry import FORMATS
from ..messages.names import did_you_mean, listed, quoted
from ..rows import ANY_TEXT, UNREADABLE_KINDS, Outline, SourceFile

_TEXT_KIND = "string"
_MOST_REASONS = 3
_DELIMITERS = ";\t|,"


def no_column(name: str, names: Collection[str]) -> str:
    """Return that a column is missing, and which columns there are."""
    # Stores keep this text in their index, which is part of what identifies a store: do not reword.
    return f"no column {quoted(name)}; the columns there are: {listed(sorted(names))}"


def text_problem(found: Outline, text: str) -> str | None:
    """Return why a file's rows have no text; None if they may have."""
    kind = found.columns.get(text) or found.columns.get(ANY_TEXT)
    if not found.units or kind == _TEXT_KIND:
        return None
    if kind is None:
        return no_column(text, found.columns)
    inner = sorted(name for name in found.columns if name.startswith(f"{text}."))
    return f"column {text!r} holds {kind}, not text" + (
        f"; in it are {listed(inner)}" if inner else ""
    )


def require_text(files: Sequence[SourceFile], found: Sequence[Outline | str], text: str) -> None:
    """Raise `ColumnNotFound` if there are rows, but a text in none of them.

    Parameters
    ----------
    found : sequence of Outline or str
        What counting each file found, or why it could not be counted.
    """
    counted = [one for one in found if isinstance(one, Outline)]
    problems = [text_problem(one, text) for one in counted if one.units]
    if not problems or not all(problems):
        return
    names = {name for one in counted for name in one.columns} - {ANY_TEXT}
    if text in names:
        raise ColumnNotFound(str(problems[0]))
    offer = _other_delimiter(names) or did_you_mean(text, names)
    raise ColumnNotFound(no_column(text, names) + offer + _unusable(files, found))


def several_names(name: str, names: Collection[str]) -> str:
    """Return advice if a name is several names with commas between them.

    >>> several_names("lang,year", ["lang", "text", "year"])
    "; give each on its own (--keep lang --keep year, keep=['lang', 'year'])"
    """
    parts = [part.strip() for part in name.split(",")]
    if len(parts) < 2 or not all(part in names for part in parts):
        return ""
    options = " ".join(f"--keep {quoted(part) if ' ' in part else part}" for part in parts)
    return f"; give each on its own ({options}, keep={parts})"


def folder_column(
    name: str, files: Sequence[SourceFile], text: str, id: str | None, keep: Sequence[str]
) -> str:
    """Return advice if a name is in the names of folders alone, as in ``year=2023/a.parquet``.

    Parameters
    ----------
    text, id, keep
        The columns that were to be read.

    >>> common = {"size": 1, "version": "", "format": "parquet", "compression": None}
    >>> file = SourceFile(url="file:///corp/year=2023/a.parquet", name="a.parquet", **common)
    >>> folder_column("year", [file], "text", None, ["year"]).rpartition("; ")[2]
    "pf.stage(dask.dataframe.read_parquet('/corp'), 'a-new-folder', keep=['year'])"
    """
    named = next((f for f in files if f"/{name}=" in f.url.rpartition("/")[0]), None)
    if named is None:
        return ""
    why = f"; {quoted(f'{name}=')} is in the names of folders, which are not read as columns"
    # dask reads such folders of Parquet alone, the format with random access.
    if not FORMATS[named.format].random_access or "::" in named.url:
        return why
    parts = named.url.removeprefix("file://").split("/")
    at = next(at for at, part in enumerate(parts) if part.startswith(f"{name}="))
    while "=" in parts[at - 1]:
        at -= 1
    above = "/".join(parts[:at])
    options = {"text": text if text != "text" else None, "id": id, "keep": list(keep) or None}
    given = "".join(f", {option}={value!r}" for option, value in options.items() if value)
    return f"{why}; pf.stage(dask.dataframe.read_parquet({above!r}), 'a-new-folder'{given})"


def _other_delimiter(names: Collection[str]) -> str:
    """Return advice if a header was read as one name because its delimiter is another one."""
    if len(names) != 1:
        return ""
    (name,) = names
    delimiter = max(_DELIMITERS, key=name.count)
    if delimiter not in name:
        return ""
    option = "tab" if delimiter == "\t" else delimiter
    return f"; give the delimiter (--delimiter '{option}', delimiter={delimiter!r})"


def _unusable(files: Sequence[SourceFile], found: Sequence[Outline | str]) -> str:
    """Return why files have no columns at all, for the first few of them."""
    reasons = []
    for file, one in zip(files, found, strict=True):
        if isinstance(one, str):
            reasons.append(f"; {file.name}: {one}")
        elif one.fault and not one.columns:
            reasons.append(f"; {file.name}, row 0: {one.fault}")
    more = len(reasons) - _MOST_REASONS
    return "".join(reasons[:_MOST_REASONS]) + (f"; and {more:,} files more" if more > 0 else "")


def doubled_names(
    files: Sequence[SourceFile], found: Sequence[Outline | str], names: Sequence[str]
) -> list[str]:
    """Return a remark for each name that several columns of a file have."""
    outlines = _outlines(files, found)
    doubled = {
        name: [file for file, outline in outlines if name in outline.doubled] for name in names
    }
    return [
        f"{_named(having)}: several columns are called {name!r}; the first is read"
        for name, having in doubled.items()
        if having
    ]


def unreadable_values(
    files: Sequence[SourceFile], found: Sequence[Outline | str], names: Sequence[str]
) -> list[str]:
    """Return a remark for each column beside the text whose values cannot be read in a file."""
    outlines = _outlines(files, found)
    unreadable = {
        (name, kind): [file for file, outline in outlines if outline.columns.get(name) == kind]
        for name in names
        for kind in UNREADABLE_KINDS
    }
    return [
        f"{_named(having)}: column {name!r} holds {kind}; they are missing"
        for (name, kind), having in unreadable.items()
        if having
    ]


def binary_values(
    files: Sequence[SourceFile], found: Sequence[Outline | str], names: Sequence[str]
) -> list[str]:
    """Return a remark for each column beside the text that holds bytes in a file."""
    both = _outlines(files, found)
    binary = {name: [file for file, outline in both if name in outline.binary] for name in names}
    return [
        f"{_named(having)}: column {name!r} holds binary; values that are not UTF-8 are missing"
        for name, having in binary.items()
        if having
    ]


def _outlines(
    files: Sequence[SourceFile], found: Sequence[Outline | str]
) -> list[tuple[str, Outline]]:
    both = zip(files, found, strict=True)
    return [(file.name, outline) for file, outline in both if isinstance(outline, Outline)]


def _named(files: Sequence[str]) -> str:
    return files[0] + (f" and {len(files) - 1:,} further files" if files[1:] else "")
