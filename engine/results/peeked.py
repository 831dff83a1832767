"""`Peek`: the values of one sentence and its nearest texts, and how both are shown.

`peek` computes them.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..rendering.html import table
from ..rendering.terminal import visible
from .located import Located, beginning

HONESTY = (
    "a hash-based signature of the text's exact bytes: similar weights are not similar meaning"
)

BY_VECTORS = "whether texts with similar {by} have a similar meaning depends on what computes it"

_BAR = "display:inline-block;height:.8em;background:#4878a8;width:"


@dataclass(frozen=True)
class Neighbour(Located):
    """A text of a store whose vector is similar to the sentence's."""

    similarity: float  # cosine of the two vectors; 1 if they are equal


@dataclass(frozen=True, kw_only=True)
class Peek:
    """The values of one sentence, and the texts of a store nearest to it.

    Every value equals, bit for bit, the one that a run stores. The default graph derives the
    weights from hashes of the text's bytes, so neighbours by them are not neighbours in meaning.
    """

    text: str  # as hashed, after the store's cleaning if a store was given
    dhatu: Mapping[str, float]  # name to share of the weight; the shares sum to one
    prime_base: Mapping[int, float]  # prime to signature
    entropy: float
    variance: float
    ambiguity: float
    ambiguity_normalised: float
    digest: str  # SHA-256 of the text, in hexadecimal
    hashed: bool = True  # whether the weights are those of the built-in block
    by: str = "dhatu"  # the field by which texts were compared
    results: str | None = None  # the store that was given
    cleaning: Mapping[str, Any] | None = None  # the store's steps, applied to the sentence
    misfit: str | None = None  # why a run into that store would quarantine the sentence
    compared: int = 0  # texts of the store that the sentence was compared with
    nearest: tuple[Neighbour, ...] = ()  # the most similar first

    @property
    def caveat(self) -> str:
        """What similar vectors mean."""
        return HONESTY if self.hashed and self.by == "dhatu" else BY_VECTORS.format(by=self.by)

    def __repr__(self) -> str:
        near = f", {len(self.nearest):,} nearest of {self.compared:,} texts" if self.results else ""
        return (
            f"<Peek {beginning(self.text)!r}: ambiguity_normalised "
            f"{self.ambiguity_normalised:.4g}{near}>"
        )

    def _repr_html_(self) -> str:
        return as_html(self)


def single_values(peek: Peek) -> dict[str, str]:
    """Return the scalar values and the digest, formatted, by name."""
    return {
        "entropy": f"{peek.entropy:.6g}",
        "variance": f"{peek.variance:.6g}",
        "ambiguity": f"{peek.ambiguity:.6g}",
        "ambiguity_normalised": f"{peek.ambiguity_normalised:.6g}",
        "digest": peek.digest,
    }


def notes(peek: Peek) -> list[str]:
    """Describe how the store's cleaning affects the sentence, and what could not be compared."""
    found = []
    if peek.cleaning:
        steps = ", ".join(f"{name}={value!r}" for name, value in peek.cleaning.items())
        found.append(f"cleaned like the texts of the store: {steps}")
    if peek.results is not None and not peek.compared:
        found.append(f"no text has a vector {peek.by!r} that can be compared with the sentence's")
    if peek.misfit:
        found.append(f"a run into that store would quarantine this sentence: {peek.misfit}")
    return found


def as_html(peek: Peek) -> str:
    """Return a peeked sentence for a notebook; every text in it is escaped."""
    page = f"<p>{_shown(beginning(peek.text))}</p>"
    page += "".join(f"<p>{_shown(note)}</p>" for note in notes(peek))
    largest = max(peek.dhatu.values()) or 1.0
    page += "<table>" + "".join(
        f'<tr><th>{_shown(name)}</th><td>{weight:.4f}</td><td style="text-align:left;width:12em">'
        f'<span style="{_BAR}{12 * weight / largest:.2f}em"></span></td></tr>'
        for name, weight in peek.dhatu.items()
    )
    bases = "; ".join(f"{prime}: {base:.6g}" for prime, base in peek.prime_base.items())
    page += f"</table>{table([*single_values(peek).items(), ('prime_base', bases)])}"
    if peek.results is not None:
        page += (
            f"<p>nearest of {peek.compared:,} texts in {_shown(peek.results)}{_by(peek)}</p><table>"
        )
        page += "".join(
            f"<tr><td>{near.similarity:.4f}</td><td>{_shown(near.id)}</td>"
            f'<td style="text-align:left">{_shown(beginning(near.text))}</td></tr>'
            for near in peek.nearest
        )
        page += "</table>"
    return f"{page}<p><small>{_shown(peek.caveat)}</small></p>"


def _by(peek: Peek) -> str:
    return "" if peek.by == "dhatu" else f", by {_shown(peek.by)}"


def _shown(text: str) -> str:
    return html.escape(visible(text))
