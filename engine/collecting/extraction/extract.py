"""`extract`: extracts a document's text in this process; `ExtractionPool` is for untrusted ones."""

from __future__ import annotations

from dataclasses import replace

from ....storage.errors import PaniniError
from ..outcome import NotKept
from .compressed import decompressed
from .documents.html_pages.html_extractors import TRAFILATURA
from .extracted import Extracted
from .recognition import recognised
from .tidying import MOST_TEXT, check_readable, tidy

_MOST_FACT = 2000
"""Maximum characters of a title or other metadata; longer ones are cut."""


def extract(
    content: bytes,
    *,
    media_type: str = "",
    charset: str = "",
    name: str = "",
    html: str = TRAFILATURA,
) -> Extracted:
    r"""Return a document's text and metadata.

    Parameters
    ----------
    content
        Its bytes, of any type in `document_types`, possibly compressed by gzip.
    media_type, charset
        As its server declared; empty if unknown.
    name
        Its URL, or a file's name.
    html
        The name of the extractor for pages, one of `HTML_EXTRACTORS`.

    Raises
    ------
    NotKept
        It has no text or cannot be parsed; see `reason`.
    BackendUnavailable
        A package that its type needs is not installed.

    Examples
    --------
    >>> extract(b"# Fish\n\nThey *swim*.", media_type="text/markdown").text
    'Fish\n\nThey swim.'
    """
    plain = decompressed(content)
    if plain is not content:
        name = name.removesuffix(".gz")
        media_type = "" if "gzip" in media_type else media_type
    if not plain.strip():
        raise NotKept("no-text", "it is empty")
    try:
        found = recognised(plain, media_type, name).extractor(html)(plain, charset)
        return _finished(found)
    except PaniniError:
        raise
    except MemoryError as error:
        raise NotKept("too-much-memory") from error
    except RecursionError as error:
        raise NotKept("too-deep") from error
    except Exception as error:  # parsers raise anything on malformed input
        raise NotKept("damaged", f"{type(error).__name__}: {error}"[:200]) from error


def _finished(found: Extracted) -> Extracted:
    if len(found.text) > MOST_TEXT:
        raise NotKept("too-large", f"a text of {len(found.text):,} characters")
    text = tidy(found.text)
    check_readable(text)
    return replace(
        found,
        text=text,
        title=_fact(found.title),
        lang=_fact(found.lang),
        licence=_fact(found.licence),
        extra={name: _fact(value) for name, value in found.extra.items() if value.strip()},
    )


def _fact(value: str) -> str:
    """Return a value of metadata on one line, cut to `_MOST_FACT`."""
    return " ".join(tidy(value[: 4 * _MOST_FACT]).split())[:_MOST_FACT]
