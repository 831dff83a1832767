"""`Loader`: loads a block's model in a worker process, as a function of the block's ``setup``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ...storage.errors import UsageError
from ..block import MapBlock
from .embedding_model import EmbeddingModel
from .engines.registry import engine_class
from .model_folder import ModelFolder
from .model_sources import Source
from .settings import Settings


class Embedder(Protocol):
    """A loaded model, of tokens in context or static."""

    def embed(
        self, texts: Sequence[str], settings: Settings
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        """Return the vectors [n, d] and the number of tokens [n] of texts."""

    def close(self) -> None:
        """Give its memory back."""


class Loader:
    """Loads a model where it is called, and refuses one that has changed.

    It is pickled without the model. Where the model lies is not part of a block's identity, so this
    is no dataclass, whose parts would be (see `graphs.fingerprint.functions`).

    Parameters
    ----------
    source : Source
    settings : Settings
        Of which the digest, the engine, the type and exactness matter.
    found : Path, optional
        The folder in which the block's maker found the model.

    Attributes
    ----------
    shared_as : str
        Equal for loaders of equal models, so that blocks share one.
    """

    def __init__(self, source: Source, settings: Settings, found: Path | None = None) -> None:
        self.source, self.settings, self.found = source, settings, found
        self.shared_as = f"{settings.digest} {settings.engine} {settings.dtype} {settings.exact}"

    def __call__(self) -> Embedder:
        """Load the model.

        Raises
        ------
        UsageError
            It is not there, or not the one that the block was made with.
        """
        settings = self.settings
        folder = self.folder()
        engine = engine_class(settings.engine, settings.dtype)(folder, settings.dtype)
        if settings.engine == "static":
            found: Embedder = engine
            return found
        return EmbeddingModel(engine, exact=settings.exact)

    def folder(self) -> ModelFolder:
        """Return the folder of the model, whose files have the expected digest."""
        path, _ = self.source.fetch()
        folder = ModelFolder.read(path)
        found = folder.digest()
        if found != self.settings.digest:
            raise UsageError(
                f"the model in {path} is not the one that the block was made with: its files have "
                f"the digest {found[:12]}…, not {self.settings.digest[:12]}…"
            )
        return folder


def loaders_in(blocks: Iterable[MapBlock]) -> Iterator[Loader]:
    """Yield what loads the models of blocks, also of those that compute with another's model."""
    for block in blocks:
        yield from (make for make in block.setup.values() if isinstance(make, Loader))
