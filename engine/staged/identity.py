"""`identity_of`: what identifies the rows of a corpus that is staged, in every process.

A dask frame is identified by dask's token of its graph. A split of a corpus is identified by the
content of the corpus's files, its columns and cleaning, and the way to split it: a function by its
code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...graphs.fingerprint.functions import describe_function
from ...storage.corpus.tables.frame_source import FrameSource
from ...storage.corpus.tables.split_source import SplitSource
from ...storage.corpus.tables.splitters import Splitter
from ...storage.errors import GraphError, UsageError
from ...storage.store.manifest import file_facts

Source = FrameSource | SplitSource


@dataclass(frozen=True)
class Identity:
    """What identifies staged rows: a digest, and facts of which each can be named if it differs."""

    token: str
    facts: Mapping[str, Any]


def identity_of(source: Source) -> Identity:
    """Return what identifies the rows of a source. A corpus that is split is counted first."""
    if isinstance(source, FrameSource):
        from dask.base import tokenize

        return Identity(str(tokenize(source.frame)), {})
    index = source.corpus.index
    facts = {
        "corpus": {
            "files": file_facts([one.file for one in index.files]),
            "text column": index.text,
            "id column": index.id and index.id.name,
            "kept columns": [column.name for column in index.keep],
            "cleaning": index.cleaning.describe(),
        },
        "split": split_facts(source.splitter),
    }
    canonical = json.dumps([facts, index.digest], sort_keys=True)
    return Identity(hashlib.sha256(canonical.encode()).hexdigest(), facts)


def split_facts(splitter: Splitter) -> dict[str, Any]:
    """Return what identifies how texts are split.

    Raises
    ------
    UsageError
        The function refers to values that have no stable description.
    """
    facts = splitter.describe()
    if splitter.function is None:
        return facts
    try:
        code = describe_function(splitter.function, splitter.name, versioned=False)
    except GraphError as error:
        raise UsageError(
            f"the pieces by {splitter.name}() cannot be identified and so not resumed: {error}; "
            "write the function so that it needs no such value"
        ) from error
    return {**facts, "code": code}
