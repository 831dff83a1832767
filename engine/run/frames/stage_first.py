"""`staged_first`: the first stage of a run over a frame that is staged next to the results.

Everything after it sees a corpus of files. What is staged, and how it is resumed, is in
`engine.staged`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from ....storage.errors import PaniniError, RunFailed
from ....storage.targets.open import open_target
from ....storage.targets.target import Target
from ...monitoring.events import Event, Notice, Staged
from ...staged.folder import Part, remove_staged
from ...staged.parts import stage_into, unloadable
from ..dispatch import Dispatch
from ..spec import RunSpec
from .computing import compute_each

ENDING = ".staged"
"""Ending of the folder's name, in place of the ``.zarr`` of the results."""


def folder_beside(results: str | os.PathLike[str]) -> str:
    """Return the folder for the files of a frame, next to its results.

    >>> folder_beside("out/results.zarr/"), folder_beside("gs://bucket/results")
    ('out/results.staged', 'gs://bucket/results.staged')
    """
    return os.fspath(results).rstrip("/").removesuffix(".zarr") + ENDING


def staged_first(spec: RunSpec, dispatch: Dispatch, publish: Callable[[Event], None]) -> RunSpec:
    """Stage the frame of a run on its cluster; return the specification over the staged files.

    Raises
    ------
    ResultsMismatch
        Another frame is staged there, or the store was begun with another.
    RunFailed
        The frame cannot be computed.
    """
    target = _target(spec)
    source = spec.corpus.source
    assert source is not None
    for note in (*spec.corpus.notes, *source.notes):  # of the corpus that is split
        publish(Notice(note))
    staging = _Staging(spec, dispatch, publish, source.name, target.url)
    fresh = spec.existing == "discard"
    return spec.over(stage_into(target, spec.corpus, staging.compute, fresh=fresh))


def remove_after(spec: RunSpec) -> None:
    """Remove what was staged for a run."""
    remove_staged(_target(spec))


def _target(spec: RunSpec) -> Target:
    return open_target(folder_beside(spec.beside), spec.target.storage_options)


class _Staging:
    """Computes parts on the cluster of a run, and publishes how many are done."""

    def __init__(
        self,
        spec: RunSpec,
        dispatch: Dispatch,
        publish: Callable[[Event], None],
        what: str,
        folder: str,
    ) -> None:
        self._spec, self._dispatch, self._publish = spec, dispatch, publish
        self._what, self._folder = what, folder

    def compute(self, tasks: Sequence[Any], parts: int) -> list[Part]:
        before = parts - len(tasks)
        again = f", of which {before:,} are done" if before else ""
        every = f"{parts:,} partition{'s' * (parts != 1)}"
        self._publish(Notice(f"staging the {self._what}, {every}, into {self._folder}{again}"))
        done: list[Part] = []

        def add(part: Part) -> None:
            done.append(part)
            self._publish(Staged(parts, before + len(done), self._folder))

        self._publish(Staged(parts, before, self._folder))
        try:
            compute_each(self._spec, self._dispatch, tasks, add)
        except PaniniError:
            raise
        except Exception as error:
            failed = unloadable(error) or RunFailed(
                f"the {self._what} could not be computed ({type(error).__name__}: {error}); "
                f"{before + len(done):,} of {parts:,} partitions are in {self._folder}, and "
                "submitting the same again resumes there"
            )
            raise failed from error
        return done
