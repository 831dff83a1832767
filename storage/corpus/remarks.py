"""Sentences for the user about the columns that are read. Stores keep them, and may reword them."""

from __future__ import annotations

from collections.abc import Sequence

from ..rows import Outline, SourceFile


def doubled_names(
    files: Sequence[SourceFile], found: Sequence[Outline | str], names: Sequence[str]
) -> list[str]:
    """Return a remark for each name that several columns of a file have."""
    remarks = []
    for name in dict.fromkeys(names):
        having = [
            file.name
            for file, outline_ in zip(files, found, strict=True)
            if isinstance(outline_, Outline) and name in outline_.doubled
        ]
        if having:
            more = f" and {len(having) - 1:,} further files" if len(having) > 1 else ""
            remarks.append(
                f"{having[0]}{more}: several columns are called {name!r}; the first is read"
            )
    return remarks
