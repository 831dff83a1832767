"""What a terminal is sent of texts, names and messages that are not the engine's own.

A terminal takes some characters for commands: to clear the screen, to change its title, to write
over what is there. rich takes brackets for styles. A corpus may hold either.
"""

from __future__ import annotations

import json
import re
from typing import Any

from rich.markup import escape

# Control characters, but tab and newline; what turns the direction of writing; and halves of
# characters, which cannot be written at all (of a file's name that is no UTF-8).
_COMMANDS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str) -> str:
    r"""Return a text with an escape in the place of whatever is no character to be read.

    >>> visible("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    return _COMMANDS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def plain(text: str) -> str:
    r"""Return a text as markup of rich's that shows just that text.

    >>> plain("[red]no\x07")
    '\\[red]no\\x07'
    """
    return escape(visible(text))


def one_line(text: str) -> str:
    """Return a text on one line, each run of white space a space."""
    return " ".join(text.split())


def as_json_text(document: Any) -> str:
    r"""Return JSON for scripts and for people: letters as they are, commands as JSON's escapes.

    >>> as_json_text("dhātu\x9b")
    '"dhātu\\u009b"'
    """
    text = json.dumps(document, indent=2, ensure_ascii=False)
    # JSON has escaped those below a space itself; each of the others can only be within a string.
    return _COMMANDS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
