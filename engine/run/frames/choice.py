"""`frame_of_run`: whether a run reads a frame partition by partition, or stages it first.

A store that was begun decides: its rows must be read again in the same way.
"""

from __future__ import annotations

from ....storage.corpus.corpus import Corpus
from ....storage.corpus.tables.frame_parts import require_same_frame
from ....storage.corpus.tables.frame_source import FrameSource
from ....storage.errors import CorpusChanged, ResultsMismatch, UsageError
from ....storage.store.manifest import Manifest, read_index
from ....storage.targets.target import Target


def frame_of_run(
    corpus: Corpus, begun: Target, manifest: Manifest | None, stage: bool | None
) -> tuple[FrameSource | None, Corpus]:
    """Return the frame whose partitions a run reads, and the corpus as far as it is known.

    Returns
    -------
    frame : FrameSource or None
        None if the corpus has files, or is staged first.
    corpus : Corpus
        Of partitions that the store knows, with its index.

    Raises
    ------
    UsageError
        What `stage` demands does not apply to the corpus.
    ResultsMismatch
        The store was begun with another frame, or in the other way.
    """
    if not isinstance(stage, bool | None):
        raise UsageError(f"stage must be True, False or None, not {stage!r}")
    source = corpus.source
    if not isinstance(source, FrameSource):
        if stage is not None and source is None:
            raise UsageError("stage= applies to dask frames; leave it out for other corpora")
        if stage is False:
            raise UsageError(f"{source!r} must be staged; leave out stage=False")
        return None, corpus
    if manifest is not None:
        return _as_before(corpus, source, begun, manifest, stage)
    if source.token is None and stage is False:
        raise UsageError(
            "dask has no token for the frame that is the same in every process, so a run cannot "
            "tell it from another when it is resumed; leave out stage=False"
        )
    return (None if stage or source.token is None else source), corpus


def _as_before(
    corpus: Corpus, source: FrameSource, begun: Target, manifest: Manifest, stage: bool | None
) -> tuple[FrameSource | None, Corpus]:
    """Return what `frame_of_run` does for a store that was begun."""
    index = read_index(begun, manifest)
    files = [one.file for one in index.files]
    in_frame = any(file.in_frame for file in files)
    if stage is in_frame:  # the opposite is asked for
        how = "without staging a frame" if in_frame else "with files, as a frame is once staged"
        raise ResultsMismatch(
            f"{begun.url} was begun {how}; leave out stage={stage}, write elsewhere, or start over "
            "with fresh=True"
        )
    if not in_frame:
        return None, corpus
    try:
        require_same_frame(files, source.token, begun.url)
    except CorpusChanged as error:
        remedy = "or write elsewhere, or start over with fresh=True"
        raise ResultsMismatch(f"{error}; {remedy}") from None
    return source, corpus.counted(index.moved_to(source.brought(files)))
