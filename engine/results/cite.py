"""`cite`: a methods paragraph on a store, every figure of which stands in its manifest."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

from ...storage.errors import UsageError
from ...storage.store.lifecycle import Summary
from ...storage.store.manifest import Manifest
from ...storage.store.quarantine import first_quarantined
from ...storage.store.reader import ResultsStore
from ...storage.store.run_record import RunRecord
from ...storage.targets.target import Target
from ..rendering.terminal import one_line, visible
from .inventories import Inventories

SHORT = 16
"""Digits of a fingerprint that are enough to tell stores apart by eye."""

PACKAGES = ("paninifs", "dask", "zarr", "numba", "numpy", "pyarrow", "python")
_NAMES = {"dask": "Dask", "zarr": "Zarr", "numba": "Numba", "numpy": "NumPy", "python": "Python"}
_REASONS = 3
_LOOKED_AT = 100_000  # entries of the quarantine, to find the most frequent reasons
_RUNS = 3
_UNTOLD = "which were stopped and left no record"

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
}
"""What the blocks of the default graph compute."""

_CLEANING = {
    "markup": "markup was removed",
    "unicode": "texts were brought into the Unicode normal form {0}",
    "whitespace": "runs of white space were made one space",
    "min_chars": "texts with fewer than {0:,} characters were set aside",
    "max_chars": "texts with more than {0:,} characters were set aside",
    "duplicates": "texts that had come before were marked, and kept",
}

_HONEST = (
    "These are functions of cryptographic hashes: reproducible signatures of a text's exact bytes, "
    "and no model of its meaning."
)


@dataclass(frozen=True)
class Citation:
    """What a paper may say of a store. Made by `cite`; as text it is the paragraph."""

    paragraph: str  # English, one paragraph
    bibtex: str  # an entry for the software

    def __str__(self) -> str:
        return self.paragraph

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(self.paragraph)}</p><pre>{html.escape(self.bibtex)}</pre>"


def cite(
    results: str | PathLike[str], *, storage_options: Mapping[str, Any] | None = None
) -> Citation:
    r"""Return a methods paragraph on a finished store, to be pasted into a paper.

    What was computed, of how many texts, with what, where and how long it took; every figure
    stands in the store's ``_run/manifest.json``.

    Parameters
    ----------
    results : str or path
        Where the store is.
    storage_options : mapping, optional
        For fsspec.

    Raises
    ------
    ResultsNotFound
        There is no store.
    UsageError
        It is not complete, so there is nothing final to say of it.

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
            f"{store.url} is not complete, so its figures may still change; run it to the end "
            "first (paninifs status says how far it is)"
        )
    sentences = [
        *_computed(manifest, summary),
        _columns(manifest.facts["corpus"]),
        _cleaned(manifest.facts["corpus"]["cleaning"]),
        _set_aside(store.target, manifest, summary),
        *_where(manifest.runs, manifest.rows),
        _with(manifest),
        f"The results are chunked Zarr arrays in shards of {manifest.shard_rows:,} texts.",
        f"Their fingerprint is {manifest.fingerprint[:SHORT]} (in full {manifest.fingerprint}).",
    ]
    paragraph = visible(one_line(" ".join(filter(None, sentences))))
    return Citation(paragraph, _bibtex(manifest))


def _computed(manifest: Manifest, summary: Summary) -> list[str]:
    facts = manifest.facts
    corpus, graph = facts["corpus"], facts["graph"]
    inventories = Inventories.of(graph)
    same = inventories.ambiguity == inventories.bases
    own_primes = f"such signatures, for each of the {_listed(inventories.ambiguity, 'prime')}"
    said = {
        "dhatus": _listed(inventories.dhatus, "semantic root"),
        "primes": _listed(inventories.bases, "prime"),
        "numbers": "those numbers" if same else own_primes,
    }
    own = {name: block for name, block in graph.items() if "code" in block}
    things = [text.format(**said) for name, text in _BUILT_IN.items() if name in {*graph} - {*own}]
    sentences = [
        f"With PaniniFS {manifest.versions['paninifs']} (numeric version "
        f"{facts['numeric version']}) we computed, for {_counted(summary.done, 'text')} in "
        f"{_counted(len(corpus['files']), 'file')}: {'; '.join(things)}."
        if things
        else f"With PaniniFS {manifest.versions['paninifs']} we ran blocks of our own over "
        f"{_counted(summary.done, 'text')} in {_counted(len(corpus['files']), 'file')}."
    ]
    if things:
        sentences.append(_HONEST)
    if own:
        blocks = _series([_own(name, block) for name, block in own.items()])
        sentences.append(f"Beside them there {'is' if len(own) == 1 else 'are'} {blocks}.")
    return sentences


def _own(name: str, block: Mapping[str, Any]) -> str:
    version = f", version {block['version']}" if block["version"] else ""
    rounding = "" if block["exact"] else ", whose last digits may differ between machines"
    return f"our own block {name!r}{version} (arrays: {', '.join(block['fields'])}){rounding}"


def _set_aside(target: Target, manifest: Manifest, summary: Summary) -> str:
    unread = ""
    if summary.files_unread:
        unread = f" {_counted(summary.files_unread, 'file')} could not be read."
    if not summary.quarantined:
        return f"No text was set aside.{unread}"
    entries, _ = first_quarantined(target, _LOOKED_AT)
    kinds: Counter[str] = Counter()
    for entry in entries:
        if entry.rows:
            kinds[_kind(entry.reason)] += entry.rows
    why = "; ".join(kind for kind, _ in kinds.most_common(_REASONS))
    return (
        f"Of {_counted(manifest.rows, 'record')} {summary.quarantined:,} could not be used and "
        f"{'was' if summary.quarantined == 1 else 'were'} set aside ({why}).{unread}"
    )


def _kind(reason: str) -> str:
    """Return a reason without what is of one text alone.

    >>> _kind("3 characters, fewer than the 20 asked for"), _kind("no 'text' (the record has: id)")
    ('fewer characters than asked for', "no 'text'")
    >>> _kind("invalid UTF-8 at byte 7: invalid start byte"), _kind("null text")
    ('invalid UTF-8', 'null text')
    >>> _kind("2 values where the header has 4")
    'another number of values than the header has'
    """
    length = re.match(r"[\d,]+ characters?, (fewer|more) than", reason)
    if length:
        return f"{length[1]} characters than asked for"
    kind = re.split(r" \(|: | at byte | at character ", reason, maxsplit=1)[0]
    if re.match(r"\d+ values? where the header has", kind):
        return "another number of values than the header has"
    return re.sub(r"(?<![\w-])\d[\d,.]*", "some", kind)


def _cleaned(cleaning: Mapping[str, Any]) -> str:
    steps = [_CLEANING[name].format(asked) for name, asked in cleaning.items()]
    if not steps:
        return "Texts were taken as they stand in their files."
    return f"Before anything was computed, {_series(steps)}."


def _columns(corpus: Mapping[str, Any]) -> str:
    identity = corpus["id column"]
    said = f"Texts were read from {corpus['text column']!r}"
    if identity:
        said += f" and are identified by {identity!r}"
    kept = [repr(name) for name in corpus["kept columns"]]
    if kept:
        said += f"; {_series(kept)} {'was' if len(kept) == 1 else 'were'} kept beside the results"
    return f"{said}."


def _where(runs: Sequence[RunRecord], rows: int) -> list[str]:
    """Say where and when runs were made, of many the last ones, and what no run has a record of."""
    if not runs:
        return ["No run left a record of where it was made and how long it took."]
    reached = [0, *(run.rows_before + run.rows for run in runs)]
    begun = [*(run.rows_before for run in runs), rows]
    # Only a run that comes to its end leaves a record: of the others there is what they did alone.
    untold = [before > known for before, known in zip(begun, reached, strict=True)]
    said = []
    if len(runs) > 1:
        last = ", the last of them" if len(runs) > _RUNS else ""
        others = f", beside others, {_UNTOLD}" if any(untold) else ""
        said.append(f"The work was done in {len(runs)} runs{last}{others}:")
    for at, run in list(enumerate(runs))[-_RUNS:]:
        if untold[at]:
            before, some = _counted(run.rows_before, "record"), ", some of them" if at else ""
            said.append(f"{before} had been done{some} by earlier runs, {_UNTOLD}.")
        said.append(_told(run))
    if untold[-1]:
        said.append(f"The rest of the {_counted(rows, 'record')} was done by runs, {_UNTOLD}.")
    return said


def _told(run: RunRecord) -> str:
    began = run.began.replace("T", " ").split("+")[0]
    place = "" if run.platform.startswith("none") else f" in {run.platform}"
    return (
        f"{_counted(run.rows, 'record')} took {run.seconds:.1f} s{place}, begun {began} UTC, "
        f"with the backend {run.backend!r} on {run.cluster} "
        f"({_counted(run.workers, 'worker')}, {_counted(run.threads, 'thread')}; "
        f"{run.machine})."
    )


def _with(manifest: Manifest) -> str:
    """Name the versions; of several runs all that were there."""
    found: dict[str, list[str]] = {}
    for versions in (manifest.versions, *(run.versions for run in manifest.runs)):
        for name in PACKAGES:
            if name in versions and versions[name] not in found.setdefault(name, []):
                found[name].append(versions[name])
    named = [f"{_NAMES.get(name, name)} {' and '.join(each)}" for name, each in found.items()]
    return f"It was done with {_series(named)}."


def _listed(names: Sequence[Any], what: str) -> str:
    return f"{_counted(len(names), what)} {', '.join(map(str, names))}"


def _counted(count: int, what: str) -> str:
    """Return a number of things.

    >>> _counted(1, "text"), _counted(117659, "text")
    ('1 text', '117,659 texts')
    """
    return f"{count:,} {what}{'s' * (count != 1)}"


def _series(things: Sequence[str]) -> str:
    """Return things with commas, and an "and".

    >>> _series(["a"]), _series(["a", "b"]), _series(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    *first, last = things
    return f"{', '.join(first)} and {last}" if first else last


def _bibtex(manifest: Manifest) -> str:
    """Return an entry for the software; who wrote it, and where it is, its user fills in."""
    version = manifest.versions["paninifs"]
    note = f"numeric version {manifest.facts['numeric version']}, results"
    return (
        f"@software{{paninifs,\n  title = {{{{PaniniFS}}}},\n  version = {{{version}}},\n"
        f"  license = {{Apache-2.0}},\n  note = {{{note} {manifest.fingerprint[:SHORT]}}},\n}}"
    )
