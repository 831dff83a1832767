"""HTML by trafilatura: the main text of a page, without its menus, advertisements and scripts."""

from __future__ import annotations

import logging

from ......storage.errors import BackendUnavailable
from ...extracted import Extracted
from .html_document import extracted, parsed_page


def extract_html(content: bytes, charset: str) -> Extracted:
    """Return the main text of a page."""
    try:
        import trafilatura
    except ImportError as error:
        raise BackendUnavailable(
            f"text of HTML needs trafilatura and lxml_html_clean ({error}): "
            "pip install 'paninifs[collect]'"
        ) from error
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    page = parsed_page(content, charset)
    text = trafilatura.extract(page.root, include_comments=False, output_format="txt")
    return extracted(page, text or "")
