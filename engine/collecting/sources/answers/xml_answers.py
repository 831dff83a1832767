"""Parses XML that comes from a service, without entities, network or unbounded trees."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Any

from .....storage.errors import BackendUnavailable
from ...outcome import NotKept

_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
"""Bytes that are invalid in XML; some services copy them from what authors pasted."""


def parse_xml(body: bytes, what: str) -> Any:
    """Return the root element of an XML document.

    Parameters
    ----------
    body
        The document.
    what
        What it should be, for messages: ``a list of arXiv``.

    Raises
    ------
    NotKept
        It is not well-formed (``damaged``), declares entities (``bomb``), or is nested too deeply.
    BackendUnavailable
        lxml is not installed.
    """
    try:
        from lxml import etree
    except ImportError as error:
        raise BackendUnavailable("XML needs lxml: pip install 'paninifs[collect]'") from error
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    try:
        root = etree.fromstring(_CONTROL.sub(b"", body), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise NotKept(_reason(str(error)), f"{what}: {str(error)[:200]}") from None
    declared = root.getroottree().docinfo.internalDTD
    if declared is not None and any(True for _ in declared.iterentities()):
        raise NotKept("bomb", f"{what} declares entities")
    return root


def _reason(message: str) -> str:
    if "entity" in message.lower() and "not defined" not in message:
        return "bomb"
    return "too-deep" if "depth" in message else "damaged"


def text_of(element: Any) -> str:
    """Return an element's text with single spaces; empty for None."""
    return "" if element is None else " ".join("".join(element.itertext()).split())


def digest_of(element: Any) -> str:
    """Return a key for an element without an identifier: a digest of its content."""
    from lxml import etree

    return blake2b(etree.tostring(element, with_tail=False), digest_size=8).hexdigest()
