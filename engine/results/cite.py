"""`cite`: a methods paragraph about a store; every figure in it comes from the manifest.

The reasons for quarantined rows come from the store's quarantine; nothing else is read.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

from ...storage.errors import UsageError
from ...storage.messages.tracebacks import short_traceback
from ...storage.store.history import RunRecord, Summary
from ...storage.store.manifest import Manifest
from ...storage.store.quarantine import first_quarantined
from ...storage.store.reader import ResultsStore
from ...storage.targets.target import Target
from ..hardware.platform import NO_PLATFORM
from ..rendering.terminal import one_line, visible
from .store_inventories import Inventories

SHORT = 16
"""Hexadecimal digits of a fingerprint that are enough to tell stores apart by eye."""

AUTHOR = "PaniniFS Research"
"""The project, which names no persons as its authors."""

URL = "https://github.com/stephanedenis/Panini-Research"

PACKAGES = ("paninifs", "dask", "zarr", "numba", "numpy", "pyarrow", "python")
_NAMES = {"dask": "Dask", "zarr": "Zarr", "numba": "Numba", "numpy": "NumPy", "python": "Python"}
_MAX_REASONS = 3
_ENTRIES_READ = 100_000  # entries of the quarantine, to find the most frequent reasons
_MAX_RUNS = 3
_STOPPED = "that were stopped and left no record"

_BUILT_IN = {
    "digest": "the SHA-256 digest of each text's UTF-8 bytes",
    "dhatu": (
        "its weights on the {dhatus}, each a sum of bytes of the SHA-256 digest of the root's name "
        "and the text, divided by the sum of all (zeros where that is zero)"
    ),
    "prime_base": (
        "its prime-base signature, the weights as the digits of a number in base p, for each of "
        "the {primes}, with exponents modulo p"
    ),
    "ambiguity": (
        "the population variance and the Shannon entropy (natural logarithm) of {numbers}, before "
        "they are rounded, and two weighted sums of both (ambiguity, ambiguity_normalised)"
    ),
    "minhash": "MinHash signatures of each text's shingles",
    "band_keys": "64-bit keys of the bands of these signatures",
}
"""What each built-in block computes."""

_CLEANING = {
    "markup": "markup was removed",
    "unicode": "texts were converted to the Unicode normal form {0}",
    "whitespace": "consecutive whitespace was replaced with one space",
    "min_chars": "texts with fewer than {0:,} characters were quarantined",
    "max_chars": "texts with more than {0:,} characters were quarantined",
    "duplicates": "repeated texts were marked and kept",
}

_HONEST = (
    "These are functions of cryptographic hashes: reproducible signatures of a text's exact bytes, "
    "not a model of its meaning."
)

_OF_OWN_WEIGHTS = "They are functions of the weights of our own block dhatu, not of hashes."

_SHOWN = 80  # characters


@dataclass(frozen=True)
class Citation:
    """A methods paragraph about a store, made by `cite`; `str()` returns the paragraph."""

    paragraph: str  # English, one paragraph
    bibtex: str  # an entry for the software

    def __repr__(self) -> str:
        return f"<Citation: {self.paragraph[:_SHOWN]}...>"

    def __str__(self) -> str:
        return self.paragraph

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(self.paragraph)}</p><pre>{html.escape(self.bibtex)}</pre>"


@short_traceback
def cite(
    results: str | PathLike[str], *, storage_options: Mapping[str, Any] | None = None
) -> Citation:
    r"""Return a methods paragraph about a finished store, ready to be pasted into a paper.

    It says what was computed, for how many texts, with which software, where, and how long it
    took. Every figure is in the store's ``_run/manifest.json``.

    Parameters
    ----------
    results : str or path
        The store.
    storage_options : mapping, optional
        Passed to fsspec.

    Raises
    ------
    ResultsNotFound
        The store does not exist.
    UsageError
        The store is not complete, so its figures may still change.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> import paninifs as pf
    >>> folder = Path(mkdtemp())
    >>> _ = (folder / "a.txt").write_text("un\ndeux\n")
    >>> with pf.connect("threads", quiet=True) as client:
    ...     corpus = pf.open_corpus(folder / "a.txt")
    ...     run = pf.submit(pf.default_graph(), corpus, folder / "out.zarr", progress=False)
    ...     _ = run.result()
    >>> print(pf.cite(folder / "out.zarr"))  # doctest: +ELLIPSIS
    With PaniniFS ... (numeric version 1) we computed, for 2 texts in 1 file: the SHA-256 digest ...
    """
    store = ResultsStore.open(results, storage_options)
    manifest, summary = store.manifest, store.summary
    if summary is None:
        raise UsageError(
            f"{store.url} is not complete, so its figures may still change; finish the run first "
            "(paninifs status shows its progress)"
        )
    sentences = [
        *_computed(store, summary),
        _columns(manifest.facts["corpus"]),
        _written(manifest.facts["corpus"].get("dialect", {})),
        _cleaned(manifest.facts["corpus"]["cleaning"]),
        _quarantined(store.target, manifest, summary),
        *_runs(manifest.runs, manifest.rows),
        _software(manifest),
        f"The results are chunked Zarr arrays in shards of {manifest.shard_rows:,} texts.",
        f"Their fingerprint is {manifest.fingerprint[:SHORT]} (in full {manifest.fingerprint}).",
    ]
    paragraph = visible(one_line(" ".join(filter(None, sentences))))
    return Citation(paragraph, _bibtex(manifest))


def _computed(store: ResultsStore, summary: Summary) -> list[str]:
    manifest = store.manifest
    facts = manifest.facts
    corpus = facts["corpus"]
    graph = {name: one for name, one in store.blocks.items() if "reduction" not in one}
    inventories = Inventories.of(graph)
    same = inventories.ambiguity == inventories.bases
    own_primes = f"such signatures, for each of the {_listed(inventories.ambiguity, 'prime')}"
    values = {
        "dhatus": _listed(inventories.dhatus, "semantic root"),
        "primes": _listed(inventories.bases, "prime"),
        "numbers": "those numbers" if same else own_primes,
    }
    own = {name: block for name, block in graph.items() if "code" in block}
    built_in = {*graph} - {*own}
    outputs = [text.format(**values) for name, text in _BUILT_IN.items() if name in built_in]
    texts = f"{_counted(summary.done, 'text')} in {_counted(len(corpus['files']), 'file')}"
    engine = f"PaniniFS {manifest.versions['paninifs']}"
    blocks = _series([_own(name, block) for name, block in own.items()]) if own else ""
    if not outputs:
        return [f"With {engine} we ran, on {texts}, {blocks}."]
    numeric = f"numeric version {facts['numeric version']}"
    sentences = [f"With {engine} ({numeric}) we computed, for {texts}: {'; '.join(outputs)}."]
    sentences.append(_OF_OWN_WEIGHTS if "dhatu" in own else _HONEST)
    if own:
        sentences.append(f"In addition we ran {blocks}.")
    return sentences


def _own(name: str, block: Mapping[str, Any]) -> str:
    version = f", version {block['version']}" if block["version"] else ""
    rounding = "" if block["exact"] else ", whose last digits may differ between machines"
    return f"our own block {name!r}{version} (arrays: {', '.join(block['fields'])}){rounding}"


def _quarantined(target: Target, manifest: Manifest, summary: Summary) -> str:
    unread = ""
    if summary.files_unread:
        unread = f" {_counted(summary.files_unread, 'file')} could not be read."
    if not summary.quarantined:
        return f"No text was quarantined.{unread}"
    entries, _ = first_quarantined(target, _ENTRIES_READ)
    kinds: Counter[str] = Counter()
    for entry in entries:
        if entry.rows:
            kinds[_kind(entry.reason)] += entry.rows
    why = "; ".join(kind for kind, _ in kinds.most_common(_MAX_REASONS))
    return (
        f"Of {_counted(manifest.rows, 'record')} {summary.quarantined:,} could not be used and "
        f"{'was' if summary.quarantined == 1 else 'were'} quarantined ({why}).{unread}"
    )


def _kind(reason: str) -> str:
    """Return a reason without the parts that are specific to one text.

    >>> _kind("3 characters, fewer than the 20 asked for"), _kind("no 'text' (the record has: id)")
    ('fewer characters than asked for', "no 'text'")
    >>> _kind("invalid UTF-8 at byte 7: invalid start byte"), _kind("null text")
    ('invalid UTF-8', 'null text')
    >>> _kind("block 'share' (fields: x) returned int64 for 'x', which is declared int8")
    "block 'share' returned int64 for 'x', which is declared int8"
    >>> _kind("block 'share' raised ZeroDivisionError: division by zero (line 3, in share)")
    "block 'share' raised ZeroDivisionError"
    >>> _kind("2 values where the header has 4")
    'a different number of values than the header has'
    """
    length = re.match(r"[\d,]+ characters?, (fewer|more) than", reason)
    if length:
        return f"{length[1]} characters than asked for"
    reason = re.split(r", in a record of |; if quotes are", reason, maxsplit=1)[0]
    reason = re.sub(r" \(fields: [^)]*\)", "", reason)  # of a block that returned the wrong thing
    kind = re.split(r" \(|: | at byte | at character ", reason, maxsplit=1)[0]
    if re.match(r"[\d,]+ values? where the header has", kind):
        return "a different number of values than the header has"
    return re.sub(r"(?<![\w-])\d[\d,.]*", "some", kind)


def _cleaned(cleaning: Mapping[str, Any]) -> str:
    steps = [_CLEANING[name].format(value) for name, value in cleaning.items()]
    if not steps:
        return "Texts were used as found in their files, without cleaning."
    return f"Before anything was computed, {_series(steps)}."


def _written(dialect: Mapping[str, Any]) -> str:
    """Return how text files are written, as far as that is not usual.

    >>> _written({"delimiter": ";", "quote": None}), _written({})
    ("Text files were read with the delimiter ';' and no quote.", '')
    """
    found = [f"the {name} {value!r}" if value else f"no {name}" for name, value in dialect.items()]
    return f"Text files were read with {_series(found)}." if found else ""


def _columns(corpus: Mapping[str, Any]) -> str:
    identity = corpus["id column"]
    sentence = f"Texts were read from {_source(corpus)}"
    if identity:
        sentence += f" and are identified by {identity!r}"
    kept = [repr(name) for name in corpus["kept columns"]]
    if kept:
        was = "was" if len(kept) == 1 else "were"
        sentence += f"; {_series(kept)} {was} kept with the results"
    return f"{sentence}."


def _source(corpus: Mapping[str, Any]) -> str:
    files = corpus["files"].values()  # each "..., FORMAT, file NUMBER"
    for name, source in (("text", "the lines of text files"), ("document", "whole files")):
        if all(name in file.split(", ") for file in files):
            return source
    return f"the column {corpus['text column']!r}"


def _runs(runs: Sequence[RunRecord], rows: int) -> list[str]:
    """Describe the last recorded runs, and the rows computed by runs without a record."""
    if not runs:
        return ["No run left a record of where it ran and how long it took."]
    of_first = [run.rows if run.rows_of_first is None else run.rows_of_first for run in runs]
    done = [run.rows_before + rows for run, rows in zip(runs, of_first, strict=True)]
    reached = [0, *done]
    begun = [*(run.rows_before for run in runs), rows]
    # Only a run that finishes leaves a record; a stopped run leaves only the rows that it computed.
    unrecorded = [before > known for before, known in zip(begun, reached, strict=True)]
    sentences = []
    if len(runs) > 1:
        last = "; the most recent" if len(runs) > _MAX_RUNS else ""
        others = f", and in others {_STOPPED}" if any(unrecorded) else ""
        sentences.append(f"The work was done in {len(runs)} runs{others}{last}:")
    for number, run in list(enumerate(runs))[-_MAX_RUNS:]:
        if unrecorded[number]:
            before, some = _counted(run.rows_before, "record"), ", in part" if number else ""
            sentences.append(f"{before} had been done{some} by earlier runs {_STOPPED}.")
        sentences.append(_run(run))
    if unrecorded[-1]:
        sentences.append(f"The rest of the {_counted(rows, 'record')} was done by runs {_STOPPED}.")
    return sentences


def _run(run: RunRecord) -> str:
    began = run.began.replace("T", " ").split("+")[0]
    # "none ..." is what earlier versions recorded.
    unknown = run.platform.startswith(("none", NO_PLATFORM))
    platform = "" if unknown else f" in {run.platform}"
    stages = f" for {_series(list(run.stages))}" if run.stages and not run.rows_of_first else ""
    return (
        f"{_counted(run.rows, 'record')}{stages} took {run.seconds:.1f} s{platform}, "
        f"begun {began} UTC, with the backend {run.backend!r} on {run.cluster} "
        f"({_counted(run.workers, 'worker')}, {_counted(run.threads, 'thread')}; "
        f"{run.machine})."
    )


def _software(manifest: Manifest) -> str:
    """Name the packages and their versions; all versions if runs used different ones."""
    found: dict[str, list[str]] = {}
    for versions in (manifest.versions, *(run.versions for run in manifest.runs)):
        for name in PACKAGES:
            if name in versions and versions[name] not in found.setdefault(name, []):
                found[name].append(versions[name])
    named = [f"{_NAMES.get(name, name)} {' and '.join(each)}" for name, each in found.items()]
    return f"The software versions were {_series(named)}."


def _listed(names: Sequence[Any], what: str) -> str:
    return f"{_counted(len(names), what)} {', '.join(map(str, names))}"


def _counted(count: int, what: str) -> str:
    """Return a count with its noun.

    >>> _counted(1, "text"), _counted(117659, "text")
    ('1 text', '117,659 texts')
    """
    return f"{count:,} {what}{'s' * (count != 1)}"


def _series(things: Sequence[str]) -> str:
    """Join things with commas and a final "and"."""
    *first, last = things
    return f"{', '.join(first)} and {last}" if first else last


def _bibtex(manifest: Manifest) -> str:
    """Return an entry for the software, of the year in which the store was begun."""
    version = manifest.versions["paninifs"]
    note = f"numeric version {manifest.facts['numeric version']}, results"
    return (
        f"@software{{paninifs,\n  author = {{{{{AUTHOR}}}}},\n  title = {{{{PaniniFS}}}},\n"
        f"  year = {{{manifest.created[:4]}}},\n  version = {{{version}}},\n  url = {{{URL}}},\n"
        f"  license = {{Apache-2.0}},\n  note = {{{note} {manifest.fingerprint[:SHORT]}}},\n}}"
    )
