"""Which runs may write to an existing store: to resume it, extend it, or discard it.

Extending is for corpora that grow. The rows of a store never move, so the files that it knows keep
their order, and new files follow in the order of the listing. The writing itself is in `lifecycle`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from ..corpus.corpus import Corpus
from ..corpus.identity import VALUES
from ..corpus.index import CorpusIndex, extend_index
from ..corpus.relocation import recognized, under_known_names
from ..corpus.tables.memory_file import NAME as IN_MEMORY
from ..errors import ResultsMismatch
from ..targets.target import Target
from .keys import CLIMBS, NEAR_DUPLICATES, RUN_FOLDER, is_ours
from .manifest import (
    Manifest,
    Stage,
    differences,
    file_facts,
    read_index,
    read_manifest,
    require_same,
    with_files,
)

Existing = Literal["resume", "extend", "discard"]
"""What a run does with an existing store."""


def refuse_mismatch(
    target: Target, facts: Mapping[str, Any], shard_rows: int | None, existing: Existing
) -> None:
    """Raise `ResultsMismatch` if a run may not write to a target; make only cheap requests.

    Parameters
    ----------
    facts : mapping
        See `manifest.facts_of`.
    shard_rows : int or None
        Rows per shard, if the user sets it.
    existing : str
        Whether a store of this engine is resumed, extended or discarded; a folder with anything
        else in it is always refused.
    """
    manifest = read_manifest(target)
    if manifest is None:
        beside = (f"{CLIMBS}/", f"{NEAR_DUPLICATES}/")
        keys = [key for key in target.sizes() if not key.startswith(beside)]
        # Without this folder, it is another program's Zarr store.
        begun = any(key.startswith(f"{RUN_FOLDER}/") for key in keys)
        foreign = [key for key in keys if not (begun and is_ours(key))]
        if foreign:
            raise ResultsMismatch(
                f"{target.url} exists and is not a results store of this engine (it holds "
                f"{min(foreign)}); choose another path"
            )
    elif existing != "discard":
        if existing == "extend":
            _require_extension(target, manifest, facts)
        else:
            _refuse_implicit_extension(target, manifest, facts)
            require_same(target, manifest, facts)
        if shard_rows not in (None, manifest.shard_rows):
            raise ResultsMismatch(
                f"{target.url} was begun with {manifest.shard_rows} rows per shard, not "
                f"{shard_rows}; leave out --shard-rows (shard_rows=), or start over with --fresh "
                "(fresh=True)"
            )


def in_known_order(corpus: Corpus, manifest: Manifest) -> Corpus:
    """Return a corpus with its files in the order and under the names that they have in a store.

    Files that were added at the same time keep the order of the listing, so a run whose files come
    in another order is still refused.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from paninifs.storage.corpus.open_corpus import open_corpus
    >>> from paninifs.storage.store.manifest import facts_of
    >>> folder = Path(mkdtemp())
    >>> _ = (folder / "b.txt").write_text("un")
    >>> first = open_corpus(folder)
    >>> manifest = Manifest(
    ...     facts=facts_of(first, {}, 1),
    ...     fields=(),
    ...     shard_rows=4096,
    ...     rows=1,
    ...     created="",
    ...     versions={},
    ... )
    >>> _ = (folder / "a.txt").write_text("deux")
    >>> [file.name for file in in_known_order(open_corpus(folder), manifest).files]
    ['b.txt', 'a.txt']
    """
    known = list(manifest.facts["corpus"]["files"])
    files = under_known_names(corpus.files, known)
    position = {name: number for number, name in enumerate(known)}
    ends = [*(stage.files for stage in manifest.stages), len(known)]
    ordered = sorted(
        files, key=lambda file: bisect_right(ends, position.get(file.name, len(known)))
    )
    return replace(corpus, files=tuple(ordered))


def recognized_corpus(
    corpus: Corpus, facts: Mapping[str, Any], manifest: Manifest, index: CorpusIndex
) -> tuple[Corpus, dict[str, Any]]:
    """Return a corpus, and its facts, with what a store knows of the files that are unchanged.

    Parameters
    ----------
    corpus : Corpus
        As `in_known_order` returns it.
    facts : mapping
        See `manifest.facts_of`.
    index : CorpusIndex
        The one that belongs to the manifest.

    Raises
    ------
    StorageUnreachable, StorageRefused
        A file that may have changed could not be read.
    """
    known = {one.file.name: one.file for one in index.files}
    files, same = recognized(corpus.files, known, corpus.opener)
    every = manifest.facts["corpus"]["files"]
    stored = {name: fact for name, fact in every.items() if name in same}
    return replace(corpus, files=tuple(files)), with_files(facts, file_facts(files, stored))


def in_known_terms(
    target: Target, manifest: Manifest, corpus: Corpus, facts: Mapping[str, Any]
) -> tuple[Corpus, dict[str, Any]]:
    """Return a corpus and its facts as `recognized_corpus` does, reading no file needlessly.

    If the facts differ in more than files, the store is refused whatever its files are.
    """
    stored, given = (with_files(some, {}) for some in (manifest.facts, facts))
    if next(differences(stored, given), None) is not None:
        return corpus, with_files(facts, manifest.facts["corpus"]["files"])
    return recognized_corpus(corpus, facts, manifest, read_index(target, manifest))


def added_files(manifest: Manifest, facts: Mapping[str, Any]) -> list[str]:
    """Return the names of the files that are new to a store."""
    known = manifest.facts["corpus"]["files"]
    return [name for name in facts["corpus"]["files"] if name not in known]


def _require_extension(target: Target, manifest: Manifest, facts: Mapping[str, Any]) -> None:
    """Raise `ResultsMismatch` if facts differ from a store's in anything but new files."""
    known = manifest.facts["corpus"]["files"]
    files = {name: file for name, file in facts["corpus"]["files"].items() if name in known}
    if f", {VALUES}:" in known.get(IN_MEMORY, "") and files.get(IN_MEMORY) != known[IN_MEMORY]:
        raise ResultsMismatch(
            f"{target.url} holds the results of data in memory, which cannot be extended: the rows "
            "that it knows and those that were added must be in different files. Write both into a "
            "folder, and run that into another store"
        )
    require_same(target, manifest, with_files(facts, files))


def _refuse_implicit_extension(
    target: Target, manifest: Manifest, facts: Mapping[str, Any]
) -> None:
    """Raise `ResultsMismatch`, with a remedy, if facts differ from a store's only in new files."""
    added = added_files(manifest, facts)
    if added and len(list(differences(manifest.facts, facts))) == len(added):
        more = f" and {len(added) - 3} more" if len(added) > 3 else ""
        raise ResultsMismatch(
            f"{target.url} was begun without {', '.join(added[:3])}{more}; --extend (extend=True) "
            "appends the new files and keeps what is done, --fresh (fresh=True) starts over"
        )


def extend_manifest(
    manifest: Manifest, index: CorpusIndex, corpus: Corpus, facts: Mapping[str, Any]
) -> tuple[Manifest, CorpusIndex]:
    """Count a grown corpus's new files; return the manifest and the index that include them.

    Raises
    ------
    StorageUnreachable
        The new files could not be counted; nothing has been written.
    """
    known = index.moved_to(corpus.files[: len(index.files)])
    grown = extend_index(known, corpus.files[len(index.files) :], corpus.opener)
    files = [one.file for one in grown.files]
    facts = with_files(facts, file_facts(files, manifest.facts["corpus"]["files"]))
    stage = Stage(manifest.fingerprint, manifest.rows, len(index.files))
    new = replace(
        manifest,
        facts=facts,
        rows=grown.rows,
        stages=(*manifest.stages, stage),
        index_digest=grown.digest,
        summary=None,
    )
    return new, grown
