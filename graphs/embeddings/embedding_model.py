"""`EmbeddingModel`: a transformer that is loaded, from texts to vectors.

It cuts texts into batches of tokens, has them computed by an engine, and puts the vectors back into
the texts' order. Static models need none of this: see `engines.static_engine`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from .engines.engine import Engine
from .settings import Settings
from .token_batches import SHORTEST, token_batches
from .tokenizing import Tokenizing, Tokens

CHUNK_TEXTS = 1024
"""Texts that are grouped by length; meanwhile the next ones become tokens on another thread."""

Vectors = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]


class EmbeddingModel:
    """A loaded model, for any number of threads at once.

    Parameters
    ----------
    engine : Engine
    exact : bool
        Whether a text's vector must not depend on the texts beside it. If the engine is found not
        to guarantee that, every text is computed alone.

    Attributes
    ----------
    alone : bool
        Whether every text is computed alone.
    """

    def __init__(self, engine: Engine, *, exact: bool) -> None:
        self._engine = engine
        self._tokenizing: dict[int, Tokenizing] = {}
        self._ahead = ThreadPoolExecutor(1, "paninifs-tokens")
        self.alone = exact and depends_on_batch(engine)

    def embed(
        self, texts: Sequence[str], settings: Settings
    ) -> tuple[Vectors, npt.NDArray[np.int32]]:
        """Return the vectors [n, d] and the number of tokens [n] of texts."""
        vectors: list[Vectors] = []
        counts: list[npt.NDArray[np.int32]] = []
        for tokens in self._tokens(texts, settings):
            windows = self._windows(tokens.windows)
            vectors.append(_of_texts(windows, tokens, normalize=settings.normalize))
            counts.append(tokens.counts)
        return np.concatenate(vectors), np.concatenate(counts)

    def close(self) -> None:
        """Give the model's memory back."""
        self._ahead.shutdown(wait=True)
        self._engine.close()

    def _tokens(self, texts: Sequence[str], settings: Settings) -> Iterator[Tokens]:
        """Yield the tokens of chunks of texts; those of the next one are made meanwhile."""
        most = self._engine.max_tokens
        if settings.max_tokens is not None:
            most = min(settings.max_tokens, most)
        if most not in self._tokenizing:
            self._tokenizing[most] = Tokenizing(self._engine.backend, most)
        cut, average = self._tokenizing[most], settings.long_texts == "average"

        def begun(start: int) -> Future[Tokens]:
            chunk = texts[start : start + CHUNK_TEXTS]
            return self._ahead.submit(cut, chunk, prefix=settings.prefix, average=average)

        coming = begun(0)
        for start in range(CHUNK_TEXTS, len(texts) + CHUNK_TEXTS, CHUNK_TEXTS):
            tokens = coming.result()
            if start < len(texts):
                coming = begun(start)
            yield tokens

    def _windows(self, windows: Sequence[Ids]) -> Vectors:
        engine, made = self._engine, None
        most_rows = 1 if self.alone else None
        for rows, ids, mask in token_batches(windows, engine.budget, engine.multiple, most_rows):
            found = engine.vectors(ids, mask)
            if made is None:
                made = np.empty((len(windows), found.shape[1]), np.float32)
            made[rows] = found
        assert made is not None  # every text has a window
        return made


def _of_texts(windows: Vectors, tokens: Tokens, *, normalize: bool) -> Vectors:
    """Return the vectors of texts from those of their windows."""
    if len(windows) > len(tokens.counts):
        starts = np.searchsorted(tokens.text_of, np.arange(len(tokens.counts)))
        weights = np.maximum(tokens.weights, 1).astype(np.float64)  # 1: of a text without tokens
        # Sums within each text, in the order of its windows: they depend on nothing else.
        sums = np.add.reduceat(windows * weights[:, None], starts, axis=0)
        means = (sums / np.add.reduceat(weights, starts)[:, None]).astype(np.float32)
        alone = np.diff(starts, append=len(windows)) == 1
        means[alone] = windows[starts[alone]]
        windows = means
    if normalize:
        lengths = np.sqrt(np.square(windows, dtype=np.float64).sum(axis=1, keepdims=True))
        windows = (windows / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
    return windows


PROBED = ((SHORTEST, (2, 3)), (18, (2, 7, 28)))
"""Lengths in tokens and numbers of texts with which an engine is tried."""


def depends_on_batch(engine: Engine) -> bool:
    """Return whether a text's vector changes with the texts beside it, its place or their number.

    Tried with a few shapes when a model is loaded, because it depends on the machine too.
    """
    for length, sizes in PROBED:
        text = np.arange(length, dtype=np.int64) * 7 + 3
        alone = _computed(engine, text[None])[0]
        for size in sizes:
            for place in {0, size // 2, size - 1}:
                others = (np.arange(size * length, dtype=np.int64) * 11 + place).reshape(size, -1)
                batch = others % SMALLEST_VOCABULARY
                batch[place] = text
                if not np.array_equal(_computed(engine, batch)[place], alone):
                    return True
    return False


SMALLEST_VOCABULARY = 256
"""Numbers of tokens that every model has."""


def _computed(engine: Engine, ids: Ids) -> Vectors:
    padding = -ids.shape[1] % engine.multiple
    mask = np.pad(np.ones_like(ids), ((0, 0), (0, padding)))
    return engine.vectors(np.pad(ids, ((0, 0), (0, padding))), mask)
