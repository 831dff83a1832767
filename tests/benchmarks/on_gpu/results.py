"""The file of results, written after every table, so that what was measured outlives a failure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from measure import Table


class Results:
    """Facts and tables in a JSON file.

    Parameters
    ----------
    path : Path
        The file; its folder is created.
    add : bool
        Keep what the file has. A table replaces an earlier one of its name.
    """

    def __init__(self, path: Path, *, add: bool = False) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        known = json.loads(path.read_text()) if add and path.exists() else {}
        self.facts: dict[str, Any] = known.get("machine", {})
        self.tables: list[dict[str, Any]] = known.get("tables", [])

    def know(self, facts: Mapping[str, Any]) -> None:
        """Print and write facts about the machine."""
        self.facts |= facts
        print("\n".join(f"{name}: {value}" for name, value in facts.items()), end="\n\n")
        self._write()

    def has(self, table: Table) -> None:
        """Print and write a table."""
        print(table.markdown(), flush=True)
        self.tables = [one for one in self.tables if one["name"] != table.name] + [asdict(table)]
        self._write()

    def _write(self) -> None:
        whole = json.dumps({"machine": self.facts, "tables": self.tables}, indent=1, default=str)
        beside = self._path.with_suffix(".partial")
        beside.write_text(whole + "\n")
        beside.replace(self._path)
