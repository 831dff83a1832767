"""`Extracted`: the text and metadata of a document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Extracted:
    """A document's text and metadata."""

    text: str
    title: str = ""
    lang: str = ""
    """The language that the document declares, if any. Many declare a wrong one, such as that of
    the program that wrote them; so it is used only if none is detected."""
    licence: str = ""
    media_type: str
    """The type that was recognised."""
    extra: Mapping[str, str] = field(default_factory=dict)
