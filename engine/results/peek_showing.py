"""How a peeked sentence is shown: as a page of a notebook, and the words of it for a terminal."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from ..rendering.html import table
from ..rendering.terminal import one_line, visible

if TYPE_CHECKING:
    from .peek import Peek

HONESTY = "a signature of the text's exact bytes, by hashes: near in it is not near in meaning"

_LONGEST = 160
_BAR = "display:inline-block;height:.8em;background:#4878a8;width:"


def beginning(text: str) -> str:
    """Return as much of a text as a line has room for."""
    line = one_line(text)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."


def parts(peek: Peek) -> dict[str, str]:
    """Return the single values under their names."""
    return {
        "entropy": f"{peek.entropy:.6g}",
        "variance": f"{peek.variance:.6g}",
        "ambiguity": f"{peek.ambiguity:.6g}",
        "ambiguity_normalised": f"{peek.ambiguity_normalised:.6g}",
        "digest": peek.digest,
    }


def notes(peek: Peek) -> list[str]:
    """Return what has to be known of the sentence and the store, a sentence each."""
    said = []
    if peek.cleaning:
        steps = ", ".join(f"{name}={value!r}" for name, value in peek.cleaning.items())
        said.append(f"cleaned as the store's texts were: {steps}")
    if peek.misfit:
        said.append(f"a run into that store would set it aside: {peek.misfit}")
    return said


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
    page += f"</table>{table([*parts(peek).items(), ('prime_base', bases)])}"
    if peek.results is not None:
        page += f"<p>nearest of {peek.compared:,} texts in {_shown(peek.results)}</p><table>"
        page += "".join(
            f"<tr><td>{one.similarity:.4f}</td><td>{_shown(one.id)}</td>"
            f'<td style="text-align:left">{_shown(beginning(one.text))}</td></tr>'
            for one in peek.nearest
        )
        page += "</table>"
    return f"{page}<p><small>{_shown(HONESTY)}</small></p>"


def _shown(text: str) -> str:
    return html.escape(visible(text))
