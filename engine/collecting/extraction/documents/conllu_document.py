"""CoNLL-U: the sentences of a treebank as text, one per line, a blank line before a paragraph."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...outcome import NotKept
from ..charsets import decoded
from ..extracted import Extracted

_COLUMNS = 10
_ID = re.compile(r"(\d+)(?:-(\d+)|(\.\d+))?")
_COMMENT = re.compile(r"#\s*(text|newpar|newdoc)\b(?:[^=]*?=\s*(.*))?")


def extract_conllu(content: bytes, charset: str) -> Extracted:
    """Return the text of a file in CoNLL-U as one document."""
    lines = decoded(content, charset).text.splitlines()
    return Extracted(text="\n".join(_sentences(lines)), media_type="text/x-conllu")


def _sentences(lines: list[str]) -> Iterator[str]:
    text, words, covered = "", "", 0
    for number, line in enumerate([*lines, ""], start=1):
        if line.startswith("#"):
            found = _COMMENT.match(line)
            if found and found[1] == "text":
                text = (found[2] or "").strip()
            elif found:
                yield ""
        elif line.strip():
            columns = line.split("\t")
            known = _ID.fullmatch(columns[0]) if len(columns) == _COLUMNS else None
            if known is None:
                raise NotKept("damaged", f"line {number} is not a word of CoNLL-U: {line[:40]!r}")
            # 3-4 is a word of the text that stands for the words 3 and 4; 5.1 is not in the text.
            if int(known[1]) > covered and not known[3]:
                words += columns[1] + ("" if "SpaceAfter=No" in columns[9] else " ")
                covered = int(known[2] or 0)
        else:
            if text or words:
                yield text or words.strip()
            text, words, covered = "", "", 0
