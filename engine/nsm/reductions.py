"""The experiments as reductions: one per model and experiment, with results in the store.

Each takes the vectors of the texts that it is about by their ids, in one task, because the
experiments are small. scikit-learn and BLAS compute in one thread there, so the results do not
depend on the number of workers or threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...graphs.reductions.chunks import array_of, lazy, vector_field_of
from ...graphs.reductions.reduce_block import ReduceBlock
from .corpus import primitive_id, sentence_id
from .material import Material
from .measures import clustering, isotopies, squares
from .measures.maps import maps
from .measures.significance import Estimate
from .measures.usable import Checked, checked
from .measures.word_forms import WORD_FORMS, presence

if TYPE_CHECKING:
    from collections.abc import Iterator

    import xarray as xr

Arrays = dict[str, npt.NDArray[Any]]
Shapes = Mapping[str, tuple[tuple[str, ...], tuple[int, ...], str]]

EXPERIMENTS = ("clustering", "squares", "isotopies")

_one_thread_at_a_time = threading.Lock()


def reductions_of(
    field: str,
    material: Material,
    languages: Sequence[str],
    *,
    seed: int,
    permutations: int,
    subsamples: int,
) -> tuple[ReduceBlock, ...]:
    """Return the reductions ``FIELD_clustering``, ``FIELD_squares`` and ``FIELD_isotopies``.

    Their results are Datasets. All have ``flag`` (int8), the reason why a text was left out
    (`usable.REASONS`), and ``twin``, the text with the same vector or -1; and for every figure
    ``value``, its interval ``low`` and ``high``, ``p``, and ``chance`` and ``chance_high``, the
    mean and the 95th percentile of the permutations.
    """
    primitives: dict[str, Any] = {
        "field": field,
        "languages": list(languages),
        "names": [one.name for one in material.primitives],
        "forms": [[one.forms[lang] for one in material.primitives] for lang in languages],
    }
    drawn = {"seed": seed, "permutations": permutations}
    functions: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
        "clustering": (
            _clustering,
            {
                **primitives,
                **drawn,
                "subsamples": subsamples,
                "categories": [one.category for one in material.primitives],
            },
        ),
        "squares": (
            _squares,
            {**primitives, **drawn, "squares": {s.name: list(s.corners) for s in material.squares}},
        ),
        "isotopies": (
            _isotopies,
            {
                "field": field,
                **drawn,
                "subsamples": subsamples,
                "sentences": [[one.id, one.text, one.isotopy] for one in material.sentences],
            },
        ),
    }
    return tuple(
        ReduceBlock(name=f"{field}_{name}", function=function, params=params, version="1")
        for name, (function, params) in functions.items()
    )


def _clustering(
    results: xr.Dataset,
    *,
    field: str,
    languages: list[str],
    names: list[str],
    forms: list[list[str]],
    categories: list[str],
    **drawn: int,
) -> xr.Dataset:
    by_language = (len(languages), len(names))
    figures = len(clustering.FIGURES)
    shapes: Shapes = {
        **_figure_shapes(("lang", "figure"), (len(languages), figures)),
        **_flag_shapes(("lang", "primitive"), by_language),
        "cluster": (("lang", "primitive"), by_language, "int64"),
        "pca": (("lang", "primitive", "axis"), (*by_language, 2), "float64"),
        "tsne": (("lang", "primitive", "axis"), (*by_language, 2), "float64"),
        "explained": (("lang", "axis"), (len(languages), 2), "float64"),
    }
    labels = np.unique(categories, return_inverse=True)[1]
    ids = [[primitive_id(name, language) for name in names] for language in languages]

    def computed(stored: Any, vectors: Any) -> Arrays:
        return _stacked(
            _of_language(_chosen(stored, vectors, wanted, texts), labels, **drawn)
            for wanted, texts in zip(ids, forms, strict=True)
        )

    return (
        _dataset(results, field, computed, shapes)
        .assign_coords(lang=languages, primitive=names, figure=list(clustering.FIGURES))
        .assign(category=("primitive", categories))
    )


def _of_language(
    usable: Checked, labels: Any, *, seed: int, permutations: int, subsamples: int
) -> Arrays:
    n = len(usable.flags)
    found, clusters = clustering.clustering(
        usable.vectors,
        labels[usable.rows],
        seed=seed,
        permutations=permutations,
        subsamples=subsamples,
    )
    drawn = maps(usable.vectors, seed)
    return {
        **_figures(found),
        **_flags(usable),
        "cluster": _spread(clusters, usable, n, -1),
        "pca": _spread(drawn.pca, usable, n, np.nan),
        "tsne": _spread(drawn.tsne, usable, n, np.nan),
        "explained": drawn.explained,
    }


def _squares(
    results: xr.Dataset,
    *,
    field: str,
    languages: list[str],
    names: list[str],
    forms: list[list[str]],
    squares: dict[str, list[str]],
    **drawn: int,
) -> xr.Dataset:
    from .measures.squares import RELATIONS

    every = (len(languages), len(squares))
    shapes: Shapes = {
        **_figure_shapes(("lang",), (len(languages),)),
        **_flag_shapes(("lang", "primitive"), (len(languages), len(names))),
        "wilson_low": (("lang",), (len(languages),), "float64"),
        "wilson_high": (("lang",), (len(languages),), "float64"),
        "distance": (("lang", "square", "relation"), (*every, len(RELATIONS)), "float64"),
        "holds": (("lang", "square"), every, "int8"),
    }
    corners = np.array([[names.index(one) for one in four] for four in squares.values()])
    ids = [[primitive_id(name, language) for name in names] for language in languages]

    def computed(stored: Any, vectors: Any) -> Arrays:
        return _stacked(
            _of_squares(_chosen(stored, vectors, wanted, texts), corners, **drawn)
            for wanted, texts in zip(ids, forms, strict=True)
        )

    return _dataset(results, field, computed, shapes).assign_coords(
        lang=languages, primitive=names, square=list(squares), relation=list(RELATIONS)
    )


def _of_squares(usable: Checked, corners: Any, *, seed: int, permutations: int) -> Arrays:
    places = np.full(len(usable.flags), -1, "int64")
    places[usable.rows] = np.arange(len(usable.rows))
    found = squares.squares(usable.vectors, places[corners], seed=seed, permutations=permutations)
    return {
        **{name: values[0] for name, values in _figures([found.share]).items()},
        **_flags(usable),
        "wilson_low": np.float64(found.wilson[0]),
        "wilson_high": np.float64(found.wilson[1]),
        "distance": found.distances,
        "holds": found.holds,
    }


def _isotopies(
    results: xr.Dataset, *, field: str, sentences: list[list[str]], **drawn: int
) -> xr.Dataset:
    names, themes = list(WORD_FORMS), list(dict.fromkeys(one[2] for one in sentences))
    words, components = len(names), isotopies.COMPONENTS
    shapes: Shapes = {
        **_figure_shapes(("figure",), (len(isotopies.FIGURES),)),
        **_flag_shapes(("sentence",), (len(sentences),)),
        "r": (("primitive", "component"), (words, components), "float64"),
        "p_of_primitive": (("primitive",), (words,), "float64"),
        "sentences": (("primitive",), (words,), "int64"),
        "cluster": (("sentence",), (len(sentences),), "int64"),
        "recall": (("isotopy",), (len(themes),), "float64"),
        "purity": (("isotopy",), (len(themes),), "float64"),
    }
    ids, texts = [sentence_id(one[0]) for one in sentences], [one[1] for one in sentences]
    labels = np.array([themes.index(one[2]) for one in sentences])

    def computed(stored: Any, vectors: Any) -> Arrays:
        with _one_thread():
            return _of_sentences(_chosen(stored, vectors, ids, texts), texts, labels, **drawn)

    return _dataset(results, field, computed, shapes).assign_coords(
        sentence=[one[0] for one in sentences],
        primitive=names,
        isotopy=themes,
        figure=list(isotopies.FIGURES),
    )


def _of_sentences(
    usable: Checked,
    texts: list[str],
    labels: Any,
    *,
    seed: int,
    permutations: int,
    subsamples: int,
) -> Arrays:
    drawn = {"seed": seed, "permutations": permutations, "subsamples": subsamples}
    there = presence(texts)[usable.rows]
    linked = isotopies.correlations(usable.vectors, there, **drawn)
    kinds = int(labels.max()) + 1
    found = isotopies.themes(usable.vectors, labels[usable.rows], kinds, **drawn)
    return {
        **_figures([linked.largest, found.found, found.accuracy]),
        **_flags(usable),
        "r": linked.r,
        "p_of_primitive": linked.p,
        "sentences": linked.sentences,
        "cluster": _spread(found.clusters, usable, len(texts), -1),
        "recall": found.recall,
        "purity": found.purity,
    }


# --- what they share ------------------------------------------------------------------------------


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let scikit-learn and BLAS use one thread. The limit is process-wide, hence the lock."""
    from threadpoolctl import threadpool_limits

    with _one_thread_at_a_time, threadpool_limits(1):
        yield


def _chosen(stored: Any, vectors: Any, ids: Sequence[str], texts: Sequence[str]) -> Checked:
    """Return the vectors of texts with the given ids, checked; rows of NaN where there is none."""
    rows = {str(ident): row for row, ident in enumerate(stored)}
    found = np.full((len(ids), vectors.shape[1]), np.nan)
    for at, ident in enumerate(ids):
        if ident in rows:
            found[at] = vectors[rows[ident]]
    return checked(found, texts)


def _dataset(
    results: xr.Dataset, field: str, computed: Callable[[Any, Any], Arrays], shapes: Shapes
) -> xr.Dataset:
    """Return the arrays that a function of ids and vectors computes, as a lazy Dataset."""
    import xarray as xr
    from dask.delayed import delayed

    found = delayed(computed)(array_of(results, "id").data, vector_field_of(results, field).data)
    return xr.Dataset(
        {
            name: (dims, lazy(found[name], shape, dtype))
            for name, (dims, shape, dtype) in shapes.items()
        }
    )


def _figure_shapes(dims: tuple[str, ...], shape: tuple[int, ...]) -> Shapes:
    return dict.fromkeys(Estimate._fields, (dims, shape, "float64"))


def _flag_shapes(dims: tuple[str, ...], shape: tuple[int, ...]) -> Shapes:
    return {"flag": (dims, shape, "int8"), "twin": (dims, shape, "int64")}


def _figures(found: Sequence[Estimate]) -> Arrays:
    columns = zip(*found, strict=True)
    return {
        name: np.array(values, "float64")
        for name, values in zip(Estimate._fields, columns, strict=True)
    }


def _flags(usable: Checked) -> Arrays:
    return {"flag": usable.flags, "twin": usable.twins}


def _spread(values: Any, usable: Checked, n: int, fill: Any) -> npt.NDArray[Any]:
    """Return values of the usable rows for all n rows."""
    spread = np.full((n, *values.shape[1:]), fill, values.dtype)
    spread[usable.rows] = values
    return spread


def _stacked(parts: Iterator[Arrays]) -> Arrays:
    """Return the arrays of several languages as one each, with the language first."""
    with _one_thread():
        every = list(parts)
    return {name: np.stack([one[name] for one in every]) for name in every[0]}
