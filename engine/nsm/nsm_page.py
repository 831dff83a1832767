"""The page of the experiments: one HTML document, made from the results of the reductions.

It loads nothing, runs no script, and shares colours, style and pictures with `report`. Its
sentences are in `nsm.html.j2` and in `verdicts`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from ... import __version__
from ..rendering.templates import page_environment
from ..report import page as report_page
from ..report import theme
from ..report.page import Picture
from .material import Material
from .measures.isotopies import LEAST_SENTENCES
from .measures.significance import ALPHA, SHARE
from .measures.usable import REASONS, USABLE
from .measures.word_forms import WORD_FORMS
from .model_figures import GUIDE_SILHOUETTE, IN_WORDS, THRESHOLDS, Figure
from .pictures import key_of, points_map
from .verdicts import number, threshold_of, value_of

if TYPE_CHECKING:
    import xarray as xr

GENERATOR = "PaniniFS NSM experiments"
"""Generator named in a page's first bytes."""

STRONGEST = 45
"""Percent of colour in the cell of a heat map with the greatest value: text stays readable."""

OF_SENTENCES = ("largest_correlation", "themes_found", "theme_accuracy")


@dataclass(frozen=True, kw_only=True)
class Heading:
    """What the page says about the whole run."""

    results: str  # of the store
    fingerprint: str
    seed: int
    permutations: int
    subsamples: int
    made: datetime  # UTC


@dataclass(frozen=True)
class MapPair:
    """The two maps of one model in one language."""

    name: str  # of the model and language
    pca: Picture
    tsne: Picture


def nsm_page(
    heading: Heading,
    material: Material,
    figures: Sequence[Figure],
    sentences: Sequence[str],
    found: Mapping[str, Mapping[str, xr.Dataset]],
) -> str:
    """Return the HTML.

    Parameters
    ----------
    sentences : sequence of str
        What `verdicts` says.
    found : mapping of str to mapping of str to Dataset
        Field to experiment to result.
    """
    environment = page_environment(__package__, report_page.__package__)
    environment.filters.update(number=_number, value_of=_value_of, threshold=threshold_of)
    template = environment.get_template("nsm.html.j2")
    return template.render(_view(heading, material, figures, sentences, found))


def _number(value: float | None) -> str:
    return "–" if value is None or np.isnan(value) else number(float(value))


def _value_of(figure: Figure) -> str:
    return "–" if figure.value is None else value_of(figure)


def _view(
    heading: Heading,
    material: Material,
    figures: Sequence[Figure],
    sentences: Sequence[str],
    found: Mapping[str, Mapping[str, xr.Dataset]],
) -> dict[str, Any]:
    return {
        "h": heading,
        "material": material,
        "verdicts": sentences,
        "figures": figures,
        "rows": _side_by_side(figures),
        "of_sentences": OF_SENTENCES,
        "words": IN_WORDS,
        "thresholds": THRESHOLDS,
        "guide_silhouette": GUIDE_SILHOUETTE,
        "maps": [
            pair
            for field, results in found.items()
            for pair in _maps(field, material, results["clustering"])
        ],
        "key": [(one, *key_of(at)) for at, one in enumerate(material.categories)],
        "numbers": _numbers(material, found),
        "heat": [
            one for field, results in found.items() for one in _heat(field, results["squares"])
        ],
        "isotopies": [_isotopies(field, results["isotopies"]) for field, results in found.items()],
        "left_out": _left_out(material, found),
        "word_forms": WORD_FORMS,
        "least_sentences": LEAST_SENTENCES,
        "alpha": f"{100 * ALPHA:.0f} %",
        "share": f"{100 * SHARE:.0f} %",
        "generator": GENERATOR,
        "version": __version__,
        "theme": Markup(theme.style()),  # noqa: S704 (colours of our own)
    }


def _side_by_side(figures: Sequence[Figure]) -> list[tuple[str, str, dict[str, Figure]]]:
    """Return model, language and its figures by name; those of sentences in every language."""
    of_sentences = {(one.vectors, one.name): one for one in figures if one.name in OF_SENTENCES}
    rows: dict[tuple[str, str], dict[str, Figure]] = {}
    for one in figures:
        if one.name not in OF_SENTENCES:
            rows.setdefault((one.vectors, one.lang), {})[one.name] = one
    for (vectors, _), row in rows.items():
        row.update({name: of_sentences[vectors, name] for name in OF_SENTENCES})
    return [(vectors, lang, row) for (vectors, lang), row in rows.items()]


def _maps(field: str, material: Material, found: xr.Dataset) -> list[MapPair]:
    numbers = {category: at for at, category in enumerate(material.categories)}
    categories = np.array([numbers[one.category] for one in material.primitives])
    pairs = []
    for at, lang in enumerate(found.lang.values):
        one = found.isel(lang=at)
        if not np.isfinite(one.pca.values).any():
            continue
        name, label = f"{field}-{at}", f"{field} ({lang})"
        first, second = (f"{100 * share:.0f} %" for share in one.explained.values)
        axes = (f"first component ({first} of the variance)", f"second component ({second})")
        pairs.append(
            MapPair(
                label,
                Picture(
                    Markup(points_map(f"pca-{name}", one.pca.values, categories, axes)),  # noqa: S704
                    f"Map of the primitives by the first two principal components of {label}, "
                    f"which have {first} and {second} of the variance",
                ),
                Picture(
                    Markup(points_map(f"tsne-{name}", one.tsne.values, categories, ("", ""))),  # noqa: S704
                    f"Map of the primitives by t-SNE of {label}; near points are near, other "
                    "distances mean nothing",
                ),
            )
        )
    return pairs


def _numbers(
    material: Material, found: Mapping[str, Mapping[str, xr.Dataset]]
) -> list[dict[str, Any]]:
    """Return the primitives in order, with their forms and their cluster in every clustering."""
    lanes = [
        (f"{field} ({lang})", results["clustering"].cluster.values[at])
        for field, results in found.items()
        for at, lang in enumerate(results["clustering"].lang.values)
    ]
    return [
        {
            "primitive": one,
            "key": key_of(material.categories.index(one.category)),
            "clusters": [
                (name, int(clusters[at]) + 1 if clusters[at] >= 0 else None)
                for name, clusters in lanes
            ],
        }
        for at, one in enumerate(material.primitives)
    ]


def _heat(field: str, found: xr.Dataset) -> list[dict[str, Any]]:
    tables = []
    for at, lang in enumerate(found.lang.values):
        one = found.isel(lang=at)
        distances = one.distance.values
        known = distances[np.isfinite(distances)]
        low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
        tables.append(
            {
                "name": f"{field} ({lang})",
                "id": f"heat-{field}-{at}",
                "wilson": (float(one.wilson_low), float(one.wilson_high)),
                "rows": [
                    (
                        str(square),
                        [(value, _strength(value, low, high)) for value in row],
                        {1: "yes", 0: "no", -1: "undefined"}[int(holds)],
                    )
                    for square, row, holds in zip(
                        one.square.values, distances.tolist(), one.holds.values, strict=True
                    )
                ],
            }
        )
    return tables


def _strength(value: float, low: float, high: float) -> int:
    """Return the percent of colour for a value; 0 if it is NaN.

    >>> _strength(0.5, 0.0, 1.0), _strength(float("nan"), 0.0, 1.0)
    (22, 0)
    """
    if np.isnan(value) or high <= low:
        return 0
    return int(STRONGEST * (value - low) / (high - low))


def _isotopies(field: str, found: xr.Dataset) -> dict[str, Any]:
    r = found.r.values
    return {
        "field": field,
        "words": [
            {
                "name": str(name),
                "sentences": int(count),
                "r": [(value, _strength(abs(value), 0.0, 1.0)) for value in row.tolist()],
                "largest": float(np.nanmax(np.abs(row))) if np.isfinite(row).any() else None,
                "p": float(p),
            }
            for name, count, row, p in zip(
                found.primitive.values,
                found.sentences.values,
                r,
                found.p_of_primitive.values,
                strict=True,
            )
        ],
        "themes": [
            (str(name), float(recall), float(purity), recall >= 0.5 and purity >= 0.5)
            for name, recall, purity in zip(
                found.isotopy.values, found.recall.values, found.purity.values, strict=True
            )
        ],
    }


def _left_out(
    material: Material, found: Mapping[str, Mapping[str, xr.Dataset]]
) -> list[tuple[str, str, str, str]]:
    """Return model, text, reason and the other text, for every vector that was left out."""
    said = []
    names = [one.name for one in material.primitives]
    texts = [one.text for one in material.sentences]
    for field, results in found.items():
        clustering, sentences = results["clustering"], results["isotopies"]
        for at, lang in enumerate(clustering.lang.values):
            one = clustering.isel(lang=at)
            said += _flagged(f"{field} ({lang})", names, one.flag.values, one.twin.values)
        said += _flagged(field, texts, sentences.flag.values, sentences.twin.values)
    return said


def _flagged(
    who: str, names: Sequence[str], flags: Any, twins: Any
) -> list[tuple[str, str, str, str]]:
    return [
        (who, names[at], REASONS[flag], names[twins[at]] if twins[at] >= 0 else "")
        for at, flag in enumerate(flags)
        if flag != USABLE
    ]
