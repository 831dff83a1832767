"""Makes texts, names and messages from outside the engine safe to print in a terminal.

A terminal interprets some characters as commands: to clear the screen, change its title, overwrite
output. The library rich interprets brackets as styles. A corpus may contain either.
"""

from __future__ import annotations

import json
import re
from typing import Any

from rich.markup import escape

# Control characters except tab and newline; characters that change the direction of writing; and
# surrogates, which cannot be encoded (from file names that are not valid UTF-8).
_COMMANDS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str) -> str:
    r"""Return a text with escapes in place of terminal commands.

    >>> visible("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    return _COMMANDS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def plain(text: str) -> str:
    r"""Return a text as rich markup that shows exactly that text.

    >>> plain("[red]no\x07")
    '\\[red]no\\x07'
    """
    return escape(visible(text))


def one_line(text: str) -> str:
    """Return a text on one line, with consecutive whitespace replaced by one space."""
    return " ".join(text.split())


def as_json_text(document: Any) -> str:
    r"""Return JSON for scripts and people: letters as they are, terminal commands escaped.

    >>> as_json_text("dhātu\x9b")
    '"dhātu\\u009b"'
    """
    text = json.dumps(document, indent=2, ensure_ascii=False)
    # json.dumps has escaped characters below a space; all others can only be inside a string.
    return _COMMANDS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
