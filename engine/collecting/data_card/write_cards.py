"""`write_cards`: puts both cards beside a corpus."""

from __future__ import annotations

import pyarrow as pa

from ....storage.targets.target import Target
from ...rendering.terminal import as_json_text
from .card_facts import CardFacts
from .card_text import card_text
from .croissant import croissant

CROISSANT_KEY = "_collection/croissant.json"
CARD_KEY = "_collection/card.md"


def write_cards(target: Target, facts: CardFacts, schema: pa.Schema) -> None:
    """Write both cards, replacing earlier ones.

    Parameters
    ----------
    target : Target
        The corpus.
    facts : CardFacts
    schema : pyarrow.Schema
        Schema of its parts.
    """
    document = as_json_text(croissant(facts, schema)).encode()
    target.put_all({CROISSANT_KEY: document, CARD_KEY: card_text(facts).encode()})
