"""Every key of a collected corpus: its parts, and what `_collection` beside them holds.

================================= ===============================================================
key                               object
================================= ===============================================================
``part-000000.parquet``           rows; their sorted order is that of the corpus
``_collection/corpus.json``       the corpus's identity and the version of this layout
``_collection/ledger/000000...``  the decisions of one commit; makes its part valid
``_collection/state.json``        whether the collection is complete; read by `following`
================================= ===============================================================

The lease of the process that may write (see `storage.store.leases`), records of sessions, and the
data card are beside them. Keys are part of the format on disk.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ....storage import COLLECTION_FOLDER, COLLECTION_KEY, MANIFEST_KEY
from ....storage.targets.local import is_temporary

CORPUS_KEY = COLLECTION_KEY
STATE_KEY = f"{COLLECTION_FOLDER}/state.json"
LEDGER_FOLDER = f"{COLLECTION_FOLDER}/ledger"

_PART = re.compile(r"part-(\d{6,12})\.parquet")
_OBJECT = re.compile(re.escape(LEDGER_FOLDER) + r"/(\d{6,12})\.parquet")


def part_key(number: int) -> str:
    """Return the key of a part.

    >>> part_key(7)
    'part-000007.parquet'
    """
    return f"part-{number:06d}.parquet"


def ledger_key(number: int) -> str:
    """Return the key of an object of the ledger."""
    return f"{LEDGER_FOLDER}/{number:06d}.parquet"


def part_numbers(keys: Iterable[str]) -> list[int]:
    """Return the numbers of the parts among some keys, sorted."""
    return sorted(int(found[1]) for found in map(_PART.fullmatch, keys) if found)


def ledger_numbers(keys: Iterable[str]) -> list[int]:
    """Return the numbers of the ledger's objects among some keys, sorted."""
    return sorted(int(found[1]) for found in map(_OBJECT.fullmatch, keys) if found)


def foreign_keys(keys: Iterable[str]) -> list[str]:
    """Return those keys of a corpus folder that a collection did not write.

    Hidden names are left alone, and so are results stores, which runs may have put there.

    >>> foreign_keys(["part-000000.parquet", "_collection/state.json", "notes.csv", "a/.git/x"])
    ['notes.csv']
    """
    every = list(keys)
    stores = tuple(k.removesuffix(MANIFEST_KEY) for k in every if k.endswith(f"/{MANIFEST_KEY}"))
    return sorted(
        key
        for key in every
        if not (_PART.fullmatch(key) or is_temporary(key) or key.startswith(stores))
        and not any(part.startswith((".", "_")) for part in key.split("/"))
    )
