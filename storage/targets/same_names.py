"""`taken_for_one`: names of arrays that a target does not tell apart.

Disks of macOS and Windows, and folders that such machines share, tell no ``n`` from ``N``, and some
no composed letter from a letter with a combining accent. Of two such arrays one would replace the
other. The target is asked, with empty objects, and only if there are such names.
"""

from __future__ import annotations

import unicodedata
import uuid
from collections import defaultdict
from collections.abc import Iterable
from itertools import combinations

from .local import TEMPORARY
from .target import Target


def taken_for_one(target: Target, names: Iterable[str]) -> tuple[str, str] | None:
    """Return two names that a target takes for the same; None if it tells all of them apart.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from paninifs.storage.targets.local import LocalTarget
    >>> taken_for_one(LocalTarget(mkdtemp()), ["n", "words"])
    """
    similar = defaultdict(list)
    for name in sorted(set(names)):
        similar[_folded(name)].append(name)
    pairs = (pair for group in similar.values() for pair in combinations(group, 2))
    return next((pair for pair in pairs if _are_one(target, *pair)), None)


def _folded(name: str) -> str:
    """Return what names that any storage might take for the same have in common."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _are_one(target: Target, name: str, other: str) -> bool:
    probe = f"{TEMPORARY}{uuid.uuid4().hex[:8]}-"  # a name that the next run would tidy up
    target.put(probe + name, b"")
    try:
        return target.get(probe + other) is not None
    finally:
        target.delete([probe + name])
