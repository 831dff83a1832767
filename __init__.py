"""PaniniFS: which meanings a text weighs on, for corpora of any size.

The public API, and nothing else; each name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .engine.advisor.advice import advise as advise
    from .engine.advisor.work import Model as Model
    from .engine.advisor.work import Work as Work
    from .engine.cluster import connect as connect
    from .engine.hardware import hardware as hardware
    from .engine.micro_batch import MicroBatch as MicroBatch
    from .engine.rehearsal.rehearse import Rehearsal as Rehearsal
    from .engine.rehearsal.rehearse import rehearse as rehearse
    from .engine.report.report import report as report
    from .engine.results.cite import Citation as Citation
    from .engine.results.cite import cite as cite
    from .engine.results.export import export as export
    from .engine.results.peek import peek as peek
    from .engine.run import Run as Run
    from .engine.staging import stage as stage
    from .engine.submit import submit as submit
    from .engine.verify import verify as verify
    from .graphs.ambiguity import ambiguity as ambiguity
    from .graphs.block import MapBlock as MapBlock
    from .graphs.block import map_block as map_block
    from .graphs.dhatu import dhatu as dhatu
    from .graphs.digest import digest as digest
    from .graphs.frames import frame as frame
    from .graphs.graph import Graph as Graph
    from .graphs.graph import default_graph as default_graph
    from .graphs.prime_base import prime_base as prime_base
    from .storage import errors as errors
    from .storage.cleaning import Cleaning as Cleaning
    from .storage.corpus import Corpus as Corpus
    from .storage.corpus import open_corpus as open_corpus
    from .storage.field import Field as Field
    from .storage.results import open_results as open_results
    from .storage.text import PackedText as PackedText

_HOME = {
    "advise": ".engine.advisor.advice",
    "Model": ".engine.advisor.work",
    "Work": ".engine.advisor.work",
    "Citation": ".engine.results.cite",
    "cite": ".engine.results.cite",
    "connect": ".engine.cluster",
    "export": ".engine.results.export",
    "hardware": ".engine.hardware",
    "MicroBatch": ".engine.micro_batch",
    "peek": ".engine.results.peek",
    "Rehearsal": ".engine.rehearsal.rehearse",
    "rehearse": ".engine.rehearsal.rehearse",
    "report": ".engine.report.report",
    "Run": ".engine.run",
    "stage": ".engine.staging",
    "submit": ".engine.submit",
    "verify": ".engine.verify",
    "ambiguity": ".graphs.ambiguity",
    "MapBlock": ".graphs.block",
    "map_block": ".graphs.block",
    "dhatu": ".graphs.dhatu",
    "digest": ".graphs.digest",
    "frame": ".graphs.frames",
    "Graph": ".graphs.graph",
    "default_graph": ".graphs.graph",
    "prime_base": ".graphs.prime_base",
    "errors": ".storage",
    "Cleaning": ".storage.cleaning",
    "Corpus": ".storage.corpus",
    "open_corpus": ".storage.corpus",
    "Field": ".storage.field",
    "open_results": ".storage.results",
    "PackedText": ".storage.text",
}

__version__ = "0.1.0"
__all__ = ["__version__", *sorted(_HOME)]  # noqa: PLE0604 (the names of _HOME are strings)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *_HOME]
