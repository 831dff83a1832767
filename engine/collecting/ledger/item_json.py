"""Items and servers' answers as JSON, for the working database and the ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..listed_item import Item

_FIELDS = ("path", "media_type", "title", "lang", "licence")


def item_json(item: Item) -> str:
    """Return the metadata of an item, all but its text and content, as JSON.

    >>> item_json(Item(key="a", url="https://example.org/a", title="A"))
    '{"title":"A"}'
    """
    found: dict[str, Any] = {name: getattr(item, name) for name in _FIELDS if getattr(item, name)}
    if item.extra:
        found["extra"] = dict(item.extra)
    return json.dumps(found, ensure_ascii=True, separators=(",", ":")) if found else ""


def item_of(key: str, url: str, text: str) -> Item:
    """Return the item whose metadata `item_json` encoded."""
    found: Mapping[str, Any] = json.loads(text) if text else {}
    return Item(key=key, url=url, **found)
