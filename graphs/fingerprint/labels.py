"""Labels of this package's own code in a fingerprint, which do not depend on file locations.

A user's block that mentions `PackedText` has the label ``paninifs.PackedText`` in its store's
manifest. Earlier versions wrote the module path instead (``paninifs.storage.text.PackedText``).
Such a store keeps its labels permanently, because its fingerprint, markers and index key derive
from them. When public code or a module listed here moves, add its new path to the tables. How a
function is described is in `functions`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_PACKAGE = __name__.partition(".")[0]

_HOMES: Mapping[str, tuple[str, ...]] = {
    "Citation": ("engine.results.cite.Citation",),
    "Cleaning": ("storage.cleaning.Cleaning", "storage.cleaning.steps.Cleaning"),
    "Climb": ("engine.climbing.climb_handle.Climb",),
    "Collection": ("engine.collecting.collection.Collection",),
    "Corpus": ("storage.corpus.Corpus", "storage.corpus.corpus.Corpus"),
    "Field": ("storage.field.Field",),
    "Floats": ("engine.climbing.spaces.floats.Floats",),
    "Graph": ("graphs.graph.Graph",),
    "Integers": ("engine.climbing.spaces.integers.Integers",),
    "Item": ("engine.collecting.listed_item.Item",),
    "MapBlock": ("graphs.block.MapBlock",),
    "Masks": ("engine.climbing.spaces.masks.Masks",),
    "MicroBatch": (
        "engine.micro_batch.MicroBatch",
        "engine.worker.micro_batch.MicroBatch",
        "engine.worker.micro_batches.micro_batch.MicroBatch",
    ),
    "Model": ("engine.advisor.work.Model", "engine.costs.work.Model"),
    "NearDuplicates": ("engine.near_duplicates.found.NearDuplicates",),
    "PackedText": ("storage.text.PackedText",),
    "Page": ("engine.collecting.listed_item.Page",),
    "Permutations": ("engine.climbing.spaces.permutations.Permutations",),
    "Product": ("engine.climbing.spaces.product.Product",),
    "ReduceBlock": ("graphs.reductions.reduce_block.ReduceBlock",),
    "Rehearsal": ("engine.rehearsal.rehearse.Rehearsal", "engine.rehearsal.rehearsal.Rehearsal"),
    "Run": ("engine.run.Run", "engine.run.handle.Run"),
    "Simplex": ("engine.climbing.spaces.simplex.Simplex",),
    "Source": ("engine.collecting.source.Source",),
    "Summit": ("engine.climbing.climb_handle.Summit",),
    "Work": ("engine.advisor.work.Work", "engine.costs.work.Work"),
    "advise": ("engine.advisor.advice.advise", "engine.advisor.advise.advise"),
    "ambiguity": ("graphs.ambiguity.ambiguity", "graphs.blocks.ambiguity.ambiguity"),
    "band_keys": ("graphs.blocks.band_keys.band_keys",),
    "cite": ("engine.results.cite.cite",),
    "climb": ("engine.climbing.climb.climb",),
    "climb_report": ("engine.climbing.pages.climb_report.climb_report",),
    "collect": ("engine.collecting.collect.collect",),
    "condition": ("graphs.measures.condition.condition",),
    "connect": ("engine.cluster.connect", "engine.cluster.connect.connect"),
    "covariance": ("graphs.reductions.covariance.covariance",),
    "default_graph": ("graphs.graph.default_graph",),
    "dhatu": ("graphs.dhatu.dhatu", "graphs.blocks.dhatu.dhatu"),
    "dictionary_ambiguity": (
        "engine.climbing.objectives.dictionary_ambiguity.dictionary_ambiguity",
    ),
    "digest": ("graphs.digest.digest", "graphs.blocks.digest.digest"),
    "document_frequency": ("graphs.reductions.document_frequency.document_frequency",),
    "drop": ("engine.results.drop.drop",),
    "embedding": ("graphs.embeddings.embedding.embedding",),
    "errors": ("storage.errors",),
    "export": ("engine.results.export.export", "engine.results.export.export.export"),
    "follow": ("engine.collecting.following.follow.follow",),
    "frame": ("graphs.frames.frame", "graphs.frames.frame.frame"),
    "hardware": ("engine.hardware.hardware", "engine.advisor.own_hardware.hardware"),
    "histogram": ("graphs.reductions.histogram.histogram",),
    "kmeans": ("graphs.reductions.kmeans.kmeans",),
    "language": ("graphs.measures.language.language",),
    "map_block": ("graphs.block.map_block", "graphs.map_block.map_block"),
    "minhash": ("graphs.blocks.minhash.minhash",),
    "near_duplicates": ("engine.near_duplicates.find.near_duplicates",),
    "nearest": ("graphs.reductions.kmeans.nearest",),
    "neighbours": ("graphs.reductions.neighbours.neighbours",),
    "nsm": ("engine.nsm.experiment.nsm",),
    "objective": ("engine.climbing.objective.objective",),
    "open_climb": ("engine.climbing.history.open_climb.open_climb",),
    "open_corpus": (
        "storage.corpus.open_corpus",
        "storage.corpus.corpus.open_corpus",
        "storage.corpus.open_corpus.open_corpus",
    ),
    "open_reduction": ("storage.store.stages.reductions.open_reduction",),
    "open_results": ("storage.results.open_results", "storage.store.dataset.open_results"),
    "pca": ("graphs.reductions.pca.pca",),
    "peek": ("engine.results.peek.peek",),
    "prime_base": ("graphs.prime_base.prime_base", "graphs.blocks.prime_base.prime_base"),
    "profile": ("graphs.reductions.profile.profile",),
    "project": ("graphs.reductions.pca.project",),
    "quantiles": ("graphs.reductions.quantiles.quantiles",),
    "quarantine": ("engine.results.quarantine.quarantine",),
    "reduce_block": ("graphs.reductions.reduce_block.reduce_block",),
    "rehearse": ("engine.rehearsal.rehearse.rehearse",),
    "repair": ("engine.results.repair.repair",),
    "report": ("engine.report.report.report",),
    "running": ("engine.run.handle.running",),
    "script": ("graphs.measures.script.script",),
    "semantic_dhatu": ("graphs.embeddings.semantic_dhatu.semantic_dhatu",),
    "signature_separation": (
        "engine.climbing.objectives.signature_separation.signature_separation",
    ),
    "stage": ("engine.staging.stage",),
    "submit": ("engine.submit.submit", "engine.run.submit.submit"),
    "text_counts": ("graphs.measures.text_counts.text_counts",),
    "text_shares": ("graphs.measures.text_shares.text_shares",),
    "top": ("graphs.reductions.top.top",),
    "verify": ("engine.verify.verify", "engine.results.verify.verify"),
}
"""Paths under which each public name has been defined, the current one last."""

_MOVED_DOWN: Mapping[str, tuple[str, ...]] = {
    "graphs.blocks": ("ambiguity", "dhatu", "digest", "prime_base"),
    "graphs.kernels.cpu": (
        "compiled",
        "machine_code",
        "moments",
        "numba_target",
        "sha256",
        "sha_hashlib",
        "sha_lanes",
        "sha_ni",
        "sha_paths",
    ),
    "storage.cleaning": ("markup", "normal_forms"),
    "storage.corpus": ("columns", "corpus", "index", "listing", "partition", "survey"),
    "storage.filesystems": ("filesystem", "redaction"),
    "storage.formats": (
        "compression",
        "decoding",
        "delimited",
        "document",
        "jsonl",
        "jsonl_blocks",
        "plain",
    ),
    "storage.store": (
        "duplicates",
        "encoding",
        "extension",
        "layout",
        "manifest",
        "mirror",
        "quarantine",
        "shards",
    ),
    "storage.targets": ("target",),
}
"""Modules that moved into a folder from the folder above it."""

_RENAMED: Mapping[str, str] = {
    "graphs.frames": "graphs.frames.frame",
    "graphs.html": "graphs.drawing.html",
    "graphs.identity": "graphs.fingerprint.functions",
    "graphs.kernels.cpu": "graphs.kernels.cpu.cpu_backend",
    "graphs.kernels.cuda": "graphs.kernels.cuda.cuda_backend",
    "graphs.kernels.cuda_memory": "graphs.kernels.cuda.memory",
    "graphs.kernels.cuda_source": "graphs.kernels.cuda.source",
    "graphs.kernels.kept": "graphs.kernels.cpu.code_cache",
    "graphs.kernels.trial": "graphs.kernels.selftest",
    "storage.cleaning": "storage.cleaning.steps",
    "storage.corpus.versions": "storage.filesystems.versions",
    "storage.confinement": "storage.targets.safe_keys",
    "storage.drive_target": "storage.targets.google_drive",
    "storage.formats.parquet": "storage.formats.parquet.parquet",
    "storage.fsspec_target": "storage.targets.remote",
    "storage.guarded_target": "storage.targets.guarded",
    "storage.lease": "storage.store.leases.lease",
    "storage.linewise": "storage.formats.lines",
    "storage.local_target": "storage.targets.local",
    "storage.lookup": "storage.corpus.reading",
    "storage.parquet": "storage.formats.parquet.parquet",
    "storage.patience": "storage.filesystems.retry",
    "storage.readers": "storage.formats.registry",
    "storage.refusal": "storage.filesystems.retry",
    "storage.results": "storage.store.dataset",
    "storage.rows": "storage.rows.rows",
    "storage.run_record": "storage.store.history",
    "storage.source": "storage.corpus.opening",
    "storage.store": "storage.store.lifecycle",
    "storage.store.lease": "storage.store.leases.lease",
    "storage.stretches": "storage.corpus.reading",
    "storage.target_store": "storage.targets.zarr_store",
    "storage.timeline": "storage.store.history",
}
"""Current paths of other modules by their former paths.

Modules of `engine` are not listed: they run blocks, and blocks do not compute with them.
"""

_PRESENT = {homes[-1]: name for name, homes in _HOMES.items()}
_EVER = {home: name for name, homes in _HOMES.items() for home in homes}
_MODULES = {
    f"{folder.rpartition('.')[0]}.{name}": f"{folder}.{name}"
    for folder, names in _MOVED_DOWN.items()
    for name in names
} | dict(_RENAMED)


def label_of(path: str) -> str:
    """Return the label of the code at a path: its public name if it has one, else the path.

    Examples
    --------
    >>> label_of("paninifs.storage.text.PackedText.from_strings")
    'paninifs.PackedText.from_strings'
    >>> label_of("paninifs.graphs.kernels.load"), label_of("math.sqrt")
    ('paninifs.graphs.kernels.load', 'math.sqrt')
    """
    return _renamed(path, _PRESENT)


def keep_known_labels(graph: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return a graph's description with a store's labels for the same code.

    With these labels, a store of an earlier version compares equal if nothing but labels differs.

    Parameters
    ----------
    graph : mapping
        The graph's description, from `Graph.describe`.
    known : mapping
        The graph's description in the manifest of a store.

    Examples
    --------
    >>> was = {"mine": {"version": "1", "code": ["paninifs.storage.field.Field", "1"]}}
    >>> keep_known_labels({"mine": {"version": "2", "code": ["paninifs.Field", "2"]}}, was)
    {'mine': {'version': '2', 'code': ['paninifs.storage.field.Field', '2']}}
    """
    return {
        name: {**block, "code": _kept(block["code"], known[name]["code"])}
        if "code" in block and "code" in known.get(name, ())
        else block
        for name, block in graph.items()
    }


def _kept(described: Any, known: Any) -> Any:
    if isinstance(described, str) and isinstance(known, str):
        return known if described in _readings(known) else described
    if isinstance(described, Mapping) and isinstance(known, Mapping):
        return {key: _kept(value, known.get(key)) for key, value in described.items()}
    if isinstance(described, list) and isinstance(known, list) and len(described) == len(known):
        return [_kept(*pair) for pair in zip(described, known, strict=True)]
    return described


def _readings(label: str) -> Iterator[str]:
    """Yield the labels that this version may write for the code of a stored label."""
    yield _renamed(label, _EVER)
    yield _renamed(label, _MODULES)


def _renamed(label: str, names: Mapping[str, str]) -> str:
    """Replace the longest prefix of a dotted path that is in `names`."""
    kind, _, path = label.rpartition(" ")  # a module's label is "module " and its path
    package, _, rest = path.partition(".")
    end = len(rest) if package == _PACKAGE else 0
    while end > 0:
        if rest[:end] in names:
            return f"{kind}{' ' if kind else ''}{package}.{names[rest[:end]]}{rest[end:]}"
        end = rest.rfind(".", 0, end)
    return label
