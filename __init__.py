"""PaniniFS: dhātu weights, prime bases and ambiguity for text corpora of any size.

This module holds only the public API. Each name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .engine.advisor.advise import advise as advise
    from .engine.advisor.own_hardware import hardware as hardware
    from .engine.climbing.climb import climb as climb
    from .engine.climbing.climb_handle import Climb as Climb
    from .engine.climbing.climb_handle import Summit as Summit
    from .engine.climbing.history.open_climb import open_climb as open_climb
    from .engine.climbing.objective import objective as objective
    from .engine.climbing.objectives.dictionary_ambiguity import (
        dictionary_ambiguity as dictionary_ambiguity,
    )
    from .engine.climbing.objectives.signature_separation import (
        signature_separation as signature_separation,
    )
    from .engine.climbing.pages.climb_report import climb_report as climb_report
    from .engine.climbing.spaces.floats import Floats as Floats
    from .engine.climbing.spaces.integers import Integers as Integers
    from .engine.climbing.spaces.masks import Masks as Masks
    from .engine.climbing.spaces.permutations import Permutations as Permutations
    from .engine.climbing.spaces.product import Product as Product
    from .engine.climbing.spaces.simplex import Simplex as Simplex
    from .engine.cluster.connect import connect as connect
    from .engine.collecting.collect import collect as collect
    from .engine.collecting.collection import Collection as Collection
    from .engine.collecting.following.follow import follow as follow
    from .engine.collecting.listed_item import Item as Item
    from .engine.collecting.listed_item import Page as Page
    from .engine.collecting.source import Source as Source
    from .engine.costs.work import Model as Model
    from .engine.costs.work import Work as Work
    from .engine.near_duplicates.find import near_duplicates as near_duplicates
    from .engine.near_duplicates.found import NearDuplicates as NearDuplicates
    from .engine.nsm.experiment import nsm as nsm
    from .engine.rehearsal.rehearsal import Rehearsal as Rehearsal
    from .engine.rehearsal.rehearse import rehearse as rehearse
    from .engine.report.report import report as report
    from .engine.results.cite import Citation as Citation
    from .engine.results.cite import cite as cite
    from .engine.results.drop import drop as drop
    from .engine.results.export.export import export as export
    from .engine.results.peek import peek as peek
    from .engine.results.quarantine import quarantine as quarantine
    from .engine.results.repair import repair as repair
    from .engine.results.verify import verify as verify
    from .engine.run.handle import Run as Run
    from .engine.run.handle import running as running
    from .engine.run.submit import submit as submit
    from .engine.staging import stage as stage
    from .engine.worker.micro_batches.micro_batch import MicroBatch as MicroBatch
    from .graphs.block import MapBlock as MapBlock
    from .graphs.blocks.ambiguity import ambiguity as ambiguity
    from .graphs.blocks.band_keys import band_keys as band_keys
    from .graphs.blocks.dhatu import dhatu as dhatu
    from .graphs.blocks.digest import digest as digest
    from .graphs.blocks.minhash import minhash as minhash
    from .graphs.blocks.prime_base import prime_base as prime_base
    from .graphs.embeddings.embedding import embedding as embedding
    from .graphs.embeddings.semantic_dhatu import semantic_dhatu as semantic_dhatu
    from .graphs.frames.frame import frame as frame
    from .graphs.graph import Graph as Graph
    from .graphs.graph import default_graph as default_graph
    from .graphs.map_block import map_block as map_block
    from .graphs.measures.condition import condition as condition
    from .graphs.measures.language import language as language
    from .graphs.measures.script import script as script
    from .graphs.measures.text_counts import text_counts as text_counts
    from .graphs.measures.text_shares import text_shares as text_shares
    from .graphs.reductions.covariance import covariance as covariance
    from .graphs.reductions.document_frequency import document_frequency as document_frequency
    from .graphs.reductions.histogram import histogram as histogram
    from .graphs.reductions.kmeans import kmeans as kmeans
    from .graphs.reductions.kmeans import nearest as nearest
    from .graphs.reductions.neighbours import neighbours as neighbours
    from .graphs.reductions.pca import pca as pca
    from .graphs.reductions.pca import project as project
    from .graphs.reductions.profile import profile as profile
    from .graphs.reductions.quantiles import quantiles as quantiles
    from .graphs.reductions.reduce_block import ReduceBlock as ReduceBlock
    from .graphs.reductions.reduce_block import reduce_block as reduce_block
    from .graphs.reductions.top import top as top
    from .storage import errors as errors
    from .storage.cleaning.steps import Cleaning as Cleaning
    from .storage.corpus.corpus import Corpus as Corpus
    from .storage.corpus.open_corpus import open_corpus as open_corpus
    from .storage.field import Field as Field
    from .storage.store.dataset import open_results as open_results
    from .storage.store.stages.reductions import open_reduction as open_reduction
    from .storage.text import PackedText as PackedText

_HOME = {
    "advise": ".engine.advisor.advise",
    "Model": ".engine.costs.work",
    "Work": ".engine.costs.work",
    "Citation": ".engine.results.cite",
    "cite": ".engine.results.cite",
    "climb": ".engine.climbing.climb",
    "objective": ".engine.climbing.objective",
    "open_climb": ".engine.climbing.history.open_climb",
    "climb_report": ".engine.climbing.pages.climb_report",
    "Climb": ".engine.climbing.climb_handle",
    "Summit": ".engine.climbing.climb_handle",
    "Masks": ".engine.climbing.spaces.masks",
    "Simplex": ".engine.climbing.spaces.simplex",
    "Integers": ".engine.climbing.spaces.integers",
    "Permutations": ".engine.climbing.spaces.permutations",
    "Floats": ".engine.climbing.spaces.floats",
    "Product": ".engine.climbing.spaces.product",
    "dictionary_ambiguity": ".engine.climbing.objectives.dictionary_ambiguity",
    "signature_separation": ".engine.climbing.objectives.signature_separation",
    "connect": ".engine.cluster.connect",
    "collect": ".engine.collecting.collect",
    "Collection": ".engine.collecting.collection",
    "follow": ".engine.collecting.following.follow",
    "Item": ".engine.collecting.listed_item",
    "Page": ".engine.collecting.listed_item",
    "Source": ".engine.collecting.source",
    "drop": ".engine.results.drop",
    "export": ".engine.results.export.export",
    "hardware": ".engine.advisor.own_hardware",
    "NearDuplicates": ".engine.near_duplicates.found",
    "near_duplicates": ".engine.near_duplicates.find",
    "nsm": ".engine.nsm.experiment",
    "MicroBatch": ".engine.worker.micro_batches.micro_batch",
    "peek": ".engine.results.peek",
    "quarantine": ".engine.results.quarantine",
    "repair": ".engine.results.repair",
    "Rehearsal": ".engine.rehearsal.rehearsal",
    "rehearse": ".engine.rehearsal.rehearse",
    "report": ".engine.report.report",
    "Run": ".engine.run.handle",
    "running": ".engine.run.handle",
    "stage": ".engine.staging",
    "submit": ".engine.run.submit",
    "verify": ".engine.results.verify",
    "ambiguity": ".graphs.blocks.ambiguity",
    "MapBlock": ".graphs.block",
    "map_block": ".graphs.map_block",
    "band_keys": ".graphs.blocks.band_keys",
    "dhatu": ".graphs.blocks.dhatu",
    "digest": ".graphs.blocks.digest",
    "embedding": ".graphs.embeddings.embedding",
    "semantic_dhatu": ".graphs.embeddings.semantic_dhatu",
    "frame": ".graphs.frames.frame",
    "Graph": ".graphs.graph",
    "default_graph": ".graphs.graph",
    "minhash": ".graphs.blocks.minhash",
    "prime_base": ".graphs.blocks.prime_base",
    "condition": ".graphs.measures.condition",
    "language": ".graphs.measures.language",
    "script": ".graphs.measures.script",
    "text_counts": ".graphs.measures.text_counts",
    "text_shares": ".graphs.measures.text_shares",
    "ReduceBlock": ".graphs.reductions.reduce_block",
    "reduce_block": ".graphs.reductions.reduce_block",
    "covariance": ".graphs.reductions.covariance",
    "document_frequency": ".graphs.reductions.document_frequency",
    "histogram": ".graphs.reductions.histogram",
    "kmeans": ".graphs.reductions.kmeans",
    "nearest": ".graphs.reductions.kmeans",
    "neighbours": ".graphs.reductions.neighbours",
    "pca": ".graphs.reductions.pca",
    "profile": ".graphs.reductions.profile",
    "project": ".graphs.reductions.pca",
    "quantiles": ".graphs.reductions.quantiles",
    "top": ".graphs.reductions.top",
    "errors": ".storage",
    "Cleaning": ".storage.cleaning.steps",
    "Corpus": ".storage.corpus.corpus",
    "open_corpus": ".storage.corpus.open_corpus",
    "Field": ".storage.field",
    "open_results": ".storage.store.dataset",
    "open_reduction": ".storage.store.stages.reductions",
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
