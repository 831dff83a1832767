"""`in_memory`: what `open_corpus` is given, if it lies in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...errors import UsageError
from ..listing import Listing
from ..locations.arguments import are_texts, instead_of_memory
from .conversion import columns_in, texts_column
from .memory_file import memory_file


def in_memory(
    data: Any, texts: Any, format: str | None, text: str, id: str | None, keep: Sequence[str]
) -> Listing | None:
    """Return data in memory as a file; None if they name files.

    Parameters are those of `open_corpus`.
    """
    notes: tuple[str, ...] = ()
    if texts is not None and data is not None:
        raise UsageError("open_corpus takes either files and tables, or texts=, not both")
    if texts is not None:
        columns = texts_column(texts, text)
    elif are_texts(data):
        columns = texts_column(data, text)
        what = f"the list was taken for {len(data):,} texts, not for names of files"
        notes = (f"{what}, as no such file exists; texts=[...] is explicit",)
    elif (found := columns_in(data, text)) is not None:
        columns = found
    else:
        return None
    if format is not None:
        raise UsageError(f"format={format!r} is for files, and these data lie in memory")
    file = memory_file(columns.table(text, id, keep), instead_of_memory(data))
    return Listing((file,), (), notes)
