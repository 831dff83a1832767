"""`nsm`: runs the experiments on models, and writes the page about them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...graphs.block import MapBlock
from ...graphs.graph import Graph
from ...storage.errors import BackendUnavailable, UsageError
from ...storage.messages.tracebacks import short_traceback
from ...storage.store.reader import ResultsStore
from ...storage.store.stages.reductions import open_reduction
from ..report.written import embedded, page_path, write_page
from ..run.submit import submit
from .corpus import write_corpus
from .material import AnyPath, Material
from .model_figures import Figure, figures_of
from .nsm_page import GENERATOR, Heading, nsm_page
from .reductions import EXPERIMENTS, reductions_of
from .vectors import vectors_of
from .verdicts import number, verdicts

if TYPE_CHECKING:
    from distributed import Client

PERMUTATIONS = 2000
SUBSAMPLES = 100

MOST = 1_000_000
"""Maximum number of permutations or subsamples."""


@dataclass(frozen=True)
class Nsm:
    """The result of the experiments; as the last value of a notebook cell its page is displayed."""

    path: Path  # of the page
    results: str  # the store
    figures: tuple[Figure, ...]
    verdicts: tuple[str, ...]  # what the figures say, in sentences

    def __repr__(self) -> str:
        lines = "\n".join(f"  {one}" for one in self.verdicts)
        return f"<Nsm {self.path}\n{lines}>"

    def _repr_html_(self) -> str:
        figures = [
            (f"{one.name} of {one.vectors} ({one.lang})", number(one.value))
            for one in self.figures
            if one.threshold is not None
        ]
        return embedded(self.path, figures, GENERATOR)

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON."""
        return {
            "report": str(self.path),
            "results": self.results,
            "verdicts": list(self.verdicts),
            "figures": [one.to_json() for one in self.figures],
        }


@short_traceback
def nsm(
    models: str | MapBlock | Iterable[str | MapBlock] = (),
    out: AnyPath = "nsm-report.html",
    *,
    results: str | PathLike[str] | None = None,
    primitives: AnyPath | None = None,
    squares: AnyPath | None = None,
    sentences: AnyPath | None = None,
    languages: Sequence[str] = ("fr",),
    seed: int = 0,
    permutations: int = PERMUTATIONS,
    subsamples: int = SUBSAMPLES,
    client: Client | None = None,
    fresh: bool = False,
    progress: bool = True,
) -> Nsm:
    """Test whether models' vectors agree with the Natural Semantic Metalanguage and with Greimas.

    Three experiments: do clusters of the primitives agree with their categories, do the corners of
    semiotic squares lie as they should, and do sentences show their primitives and isotopies?
    The dhātu weights and random vectors are measured beside the models. See deploy/docs/nsm.md for
    the figures and how to read them.

    Parameters
    ----------
    models : str, MapBlock or list of them
        Models for `paninifs.embedding`, or blocks with a vector of floats per text. Without any,
        only the baselines are measured.
    out : str or path
        The page to write, on this machine. An existing page of this kind is replaced.
    results : str or path, optional
        The store; by default next to the page, ``NAME.zarr`` for ``NAME.html``. The corpus is
        written beside it as ``NAME.jsonl``. A store that has been begun is resumed.
    primitives, squares, sentences : str or path, optional
        Files with your own material; see deploy/docs/nsm.md. By default that of the engine.
    languages : sequence of str
        Forms of the primitives to use: ``"fr"``, ``"fr-accents"``, ``"en"``, ``"sa"``.
    seed : int
        Of the clusters, permutations, subsamples and random vectors.
    permutations : int
        Number of permutations of the tests.
    subsamples : int
        Number of subsamples of the intervals; 0 for no intervals.
    client : distributed.Client, optional
        The cluster to run on; by default the most recent client, as for `submit`.
    fresh : bool
        Discard what the store holds and start over.
    progress : bool
        Show the progress of the run.

    Returns
    -------
    Nsm

    Raises
    ------
    BackendUnavailable
        scikit-learn is not installed.
    UsageError
        A file of the material is not as described, or `out` cannot be written to.

    Examples
    --------
    >>> import paninifs as pf
    >>> pf.nsm(languages=["fr", "klingon"])
    Traceback (most recent call last):
    ...
    paninifs.storage.errors.UsageError: no forms in the language 'klingon'; there are: fr, ...
    """
    material = Material.load(primitives, squares, sentences)
    languages = _languages(languages)
    material.require_forms(languages)
    drawn = {
        "seed": _count("seed", seed, 0, 2**32 - 1),
        "permutations": _count("permutations", permutations, 1, MOST),
        "subsamples": _count("subsamples", subsamples, 0, MOST),
    }
    path = page_path(out, GENERATOR)
    _require_packages()
    vectors = vectors_of(models, seed)
    store = str(path.with_suffix(".zarr") if results is None else results)
    if "://" in store:
        raise UsageError(f"{store!r}: the results are written to this machine; give a local path")
    graph = Graph(tuple(one.block for one in vectors))
    for one in vectors:
        for reduction in reductions_of(one.field, material, languages, **drawn):
            graph += reduction
    corpus = write_corpus(Path(store).with_suffix(".jsonl"), material, languages)
    submit(graph, corpus, store, client=client, fresh=fresh, progress=progress).result()
    found: dict[str, dict[str, Any]] = {
        one.field: {name: open_reduction(store, f"{one.field}_{name}") for name in EXPERIMENTS}
        for one in vectors
    }
    figures = [
        figure
        for one in vectors
        for figure in figures_of(one.field, one.is_baseline, found[one.field])
    ]
    said = verdicts(figures)
    heading = Heading(
        results=store,
        fingerprint=ResultsStore.open(store).manifest.fingerprint,
        made=datetime.now(UTC),
        **drawn,
    )
    write_page(path, nsm_page(heading, material, figures, said, found))
    return Nsm(path, store, tuple(figures), tuple(said))


def _languages(given: Sequence[str]) -> tuple[str, ...]:
    languages = (given,) if isinstance(given, str) else tuple(dict.fromkeys(given))
    if not languages:
        raise UsageError("languages must name at least one set of forms, such as 'fr'")
    return languages


def _count(name: str, value: Any, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise UsageError(f"{name} must be a whole number from {least} to {most:,}, not {value!r}")
    return value


def _require_packages() -> None:
    for package, name in (("sklearn", "scikit-learn"), ("scipy", "scipy")):
        if find_spec(package) is None:
            raise BackendUnavailable(
                f"the experiments need {name}, which is not installed; "
                "pip install 'paninifs[embed]'"
            )
