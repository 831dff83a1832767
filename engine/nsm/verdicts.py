"""What the figures say, in sentences: which thresholds are reached, and what is significant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .measures.significance import ALPHA
from .model_figures import GUIDE_SILHOUETTE, IN_WORDS, STRICT, THRESHOLDS, Figure


def verdicts(figures: Sequence[Figure]) -> list[str]:
    """Return the sentences: one per threshold, then significance, then the baselines."""
    models = [one for one in figures if not one.is_baseline]
    said = [_threshold(name, models) for name in THRESHOLDS] if models else ["No model was given."]
    said += _reached_by_chance(models)
    said += _significance(models or figures)
    said += _baselines(figures)
    return said


def number(value: float | None) -> str:
    """Return a figure with three decimals.

    >>> number(0.36066), number(None)
    ('0.361', 'undefined')
    """
    return "undefined" if value is None else f"{value:.3f}"


def value_of(one: Figure) -> str:
    """Return the value of a figure: a count as a whole number, others with three decimals."""
    if one.name == "themes_found" and one.value is not None:
        return f"{one.value:.0f}"
    return number(one.value)


def threshold_of(name: str) -> str:
    """Return the threshold of a figure.

    >>> threshold_of("themes_found"), threshold_of("largest_correlation")
    ('3', 'above 0.6')
    """
    return f"{'above ' if name in STRICT else ''}{THRESHOLDS[name]:g}"


def _who(one: Figure) -> str:
    return f"{one.vectors} ({one.lang})" if one.experiment != "isotopies" else one.vectors


def _p(one: Figure) -> str:
    return "no test" if one.p is None else f"p = {one.p:.2g}"


def _reaching(one: Figure) -> str:
    """Say whether a figure's interval reaches below its threshold."""
    if one.low is None or one.high is None or one.threshold is None or one.low > one.threshold:
        return ""
    return f"; but the interval from {number(one.low)} to {number(one.high)} holds the threshold"


def _threshold(name: str, models: Sequence[Figure]) -> str:
    of_name = [one for one in models if one.name == name]
    known = [one for one in of_name if one.value is not None]
    limit = threshold_of(name)
    if name == "silhouette_of_clusters":
        limit += f" (in the guide's conclusion: above {GUIDE_SILHOUETTE})"
    if not known:
        return f"{_cap(IN_WORDS[name])}, threshold {limit}: undefined for every model."
    reached = [one for one in known if one.reached]
    if reached:
        who = ", ".join(
            f"{_who(one)} {value_of(one)} ({_p(one)}{_reaching(one)})" for one in reached
        )
        return f"{_cap(IN_WORDS[name])}, threshold {limit}: reached by {who}."
    best = max(known, key=lambda one: one.value or 0.0)
    if name == "themes_found":
        return f"No model finds {limit} themes: the most are {value_of(best)}, by {_who(best)}."
    return (
        f"No model reaches a {IN_WORDS[name]} of {limit}: the highest is {value_of(best)}, "
        f"by {_who(best)}."
    )


def _cap(text: str) -> str:
    return text[:1].upper() + text[1:]


def _reached_by_chance(models: Sequence[Figure]) -> Iterator[str]:
    for one in models:
        if one.reached and not one.significant:
            why = (
                f"labels in random order give as much (p = {one.p:.2g})"
                if one.p is not None
                else "it does not depend on the categories, so it cannot support them"
            )
            yield (
                f"{_who(one)} reaches the threshold of the {IN_WORDS[one.name]} with "
                f"{value_of(one)}, but this is not significant: {why}."
            )


def _significance(figures: Sequence[Figure]) -> Iterator[str]:
    tested = [one for one in figures if one.p is not None]
    by_model: dict[str, list[str]] = {}
    for one in tested:
        if one.significant:
            by_model.setdefault(_who(one), []).append(f"{IN_WORDS[one.name]} ({_p(one)})")
    for who, found in by_model.items():
        yield f"Better than chance (p < {ALPHA}) for {who}: {', '.join(found)}."
    if not by_model:
        yield "No figure is significant."
    yield (
        f"{len(tested)} figures were tested; by chance about {ALPHA * len(tested):.1f} of them "
        f"would have p < {ALPHA}."
    )


def _baselines(figures: Sequence[Figure]) -> Iterator[str]:
    by_name: dict[tuple[str, str], list[Figure]] = {}
    for one in figures:
        if one.value is not None and one.threshold is not None:
            by_name.setdefault((one.name, one.lang), []).append(one)
    for (name, _), group in by_name.items():
        models = [one for one in group if not one.is_baseline]
        below = [one for one in group if one.is_baseline]
        if models and below:
            best, base = (max(part, key=lambda one: one.value or 0.0) for part in (models, below))
            if (base.value or 0.0) >= (best.value or 0.0):
                yield (
                    f"The baseline {_who(base)} has a {IN_WORDS[name]} of {value_of(base)}, "
                    f"and the best model, {_who(best)}, {value_of(best)}: the figure says "
                    "nothing about meaning here."
                )
