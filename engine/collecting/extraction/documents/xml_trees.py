"""Parsing of untrusted XML: no fetching, no expanding entities, limited depth and size."""

from __future__ import annotations

import html
import re
from typing import Any

from .....storage.errors import BackendUnavailable
from ...outcome import NotKept

_MOST_ENTITY = 200
"""Maximum characters of an entity that the document declares."""


_NOT_PLAIN = re.compile(r"<|[&%]\w")
"""Matches entity values with markup or with another entity."""


def require_lxml() -> Any:
    """Return ``lxml.etree``; raise `BackendUnavailable` if it is not installed."""
    try:
        import lxml.etree
    except ImportError as error:
        raise BackendUnavailable(
            "text of documents is extracted with lxml: pip install 'paninifs[collect]'"
        ) from error
    return lxml.etree


def parsed_xml(content: bytes, charset: str = "") -> Any:
    """Return the root of an XML document, without entities.

    An entity becomes its text if HTML names it or the document declares a short text for it.

    Raises
    ------
    NotKept
        ``damaged``, ``too-deep``, or ``bomb`` for entities made of entities.
    """
    etree = require_lxml()
    try:
        root = etree.fromstring(content, _parser(etree, charset))
    except etree.XMLSyntaxError as error:
        raise NotKept(_reason(str(error)), f"as XML: {error}"[:200]) from error
    except LookupError as error:
        raise NotKept("unreadable", f"unknown encoding {charset[:40]}") from error
    if root is None:
        raise NotKept("damaged", "as XML: it has no root")
    _put_in_entities(root, _declared(root), etree.Entity)
    return root


def _parser(etree: Any, charset: str) -> Any:
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
        encoding=charset or None,
    )


def _reason(message: str) -> str:
    """Return the reason for a message of libxml2, whose numbers for errors differ by version."""
    if "depth" in message:
        return "too-deep"
    if "entity" in message.lower() and ("loop" in message or "amplification" in message):
        return "bomb"
    return "damaged"


def _declared(root: Any) -> dict[str, str]:
    dtd = root.getroottree().docinfo.internalDTD
    if dtd is None:
        return {}
    texts = {one.name: html.unescape(one.content or "") for one in dtd.entities()}
    for name, text in texts.items():
        if len(text) > _MOST_ENTITY or _NOT_PLAIN.search(text):
            raise NotKept("bomb", f"the entity {name[:40]} is declared as more than a short text")
    return texts


def _put_in_entities(root: Any, declared: dict[str, str], kind: Any) -> None:
    for node in list(root.iter(kind)):
        text = declared.get(node.name) or html.unescape(node.text)
        if text == node.text:
            raise NotKept("damaged", f"as XML: the entity {node.name[:40]} is not declared")
        before, parent = node.getprevious(), node.getparent()
        text += node.tail or ""
        if before is not None:
            before.tail = (before.tail or "") + text
        else:
            parent.text = (parent.text or "") + text
        parent.remove(node)
