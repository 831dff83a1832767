"""Growing corpora: files that came after those that a store knows, and the manifest that has both.

A store's rows keep their places for good. So the files that it knows stay in the order that they
had, and new ones come behind them in theirs.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from posixpath import join, normpath, relpath
from typing import Any

from ..corpus.corpus import Corpus
from ..corpus.index import CorpusIndex, extend_index
from ..errors import ResultsMismatch
from ..rows import SourceFile
from ..targets.target import Target
from .manifest import Manifest, Stage, differences, require_same


def as_known(corpus: Corpus, manifest: Manifest) -> Corpus:
    """Return a corpus with its files in a store's order, and called as they are called there.

    Within what was added at one time the order is the listing's, so that a resume whose files come
    in another order is still told so.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from paninifs.storage.corpus.corpus import open_corpus
    >>> from paninifs.storage.store.manifest import facts_of
    >>> folder = Path(mkdtemp())
    >>> _ = (folder / "b.txt").write_text("un")
    >>> first = open_corpus(folder)
    >>> manifest = Manifest(facts_of(first, {}, 1), (), 4096, 1, "", {})
    >>> _ = (folder / "a.txt").write_text("deux")
    >>> [file.name for file in as_known(open_corpus(folder), manifest).files]
    ['b.txt', 'a.txt']
    """
    known = list(manifest.facts["corpus"]["files"])
    files = _renamed(corpus.files, known)
    place = {name: number for number, name in enumerate(known)}
    ends = [*(stage.files for stage in manifest.stages), len(known)]
    ordered = sorted(files, key=lambda file: bisect_right(ends, place.get(file.name, len(known))))
    return replace(corpus, files=tuple(ordered))


def _renamed(files: Sequence[SourceFile], known: Sequence[str]) -> list[SourceFile]:
    """Name files from where a store's names start.

    Names are relative to what all files have in common, and that may change with a file more.
    """
    names = {file.name for file in files}
    if known[0] in names:
        return list(files)
    for name in names:
        folder = name.removesuffix(f"/{known[0]}")
        if folder != name and all(normpath(join(folder, one)) in names for one in known):
            return [replace(file, name=relpath(file.name, folder)) for file in files]
    return list(files)


def added_files(manifest: Manifest, facts: Mapping[str, Any]) -> list[str]:
    """Return the names of the files that a store does not know."""
    known = manifest.facts["corpus"]["files"]
    return [name for name in facts["corpus"]["files"] if name not in known]


def require_extension(target: Target, manifest: Manifest, facts: Mapping[str, Any]) -> None:
    """Raise `ResultsMismatch` unless facts differ from a store's by new files alone."""
    known = manifest.facts["corpus"]["files"]
    files = {name: said for name, said in facts["corpus"]["files"].items() if name in known}
    require_same(target, manifest, {**facts, "corpus": {**facts["corpus"], "files": files}})


def refuse_unasked_extension(target: Target, manifest: Manifest, facts: Mapping[str, Any]) -> None:
    """Raise `ResultsMismatch`, with what to do, where nothing but new files sets facts apart."""
    added = added_files(manifest, facts)
    if added and len(list(differences(manifest.facts, facts))) == len(added):
        more = f" and {len(added) - 3} more" if len(added) > 3 else ""
        raise ResultsMismatch(
            f"{target.url} was begun without {', '.join(added[:3])}{more}; --extend (extend=True) "
            "appends what is new and keeps what is done, --fresh (fresh=True) starts over"
        )


def extended(
    manifest: Manifest, index: CorpusIndex, corpus: Corpus, facts: Mapping[str, Any]
) -> tuple[Manifest, CorpusIndex]:
    """Return the manifest and the index of a store whose corpus has grown; counts the new files.

    Raises
    ------
    StorageUnreachable
        They could not be counted; nothing has been written.
    """
    at_hand = index.at(corpus.files[: len(index.files)])
    grown = extend_index(at_hand, corpus.files[len(index.files) :], corpus.opener)
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
