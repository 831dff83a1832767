"""Sentences for the user about the columns that are read. Stores keep them, and may reword them."""

from __future__ import annotations

from collections.abc import Sequence

from ..rows import UNREADABLE_KINDS, Outline, SourceFile


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


def _outlines(
    files: Sequence[SourceFile], found: Sequence[Outline | str]
) -> list[tuple[str, Outline]]:
    both = zip(files, found, strict=True)
    return [(file.name, outline) for file, outline in both if isinstance(outline, Outline)]


def _named(files: Sequence[str]) -> str:
    return files[0] + (f" and {len(files) - 1:,} further files" if files[1:] else "")
