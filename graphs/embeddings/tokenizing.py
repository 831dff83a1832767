"""`Tokenizing`: turns texts into the tokens that a transformer is given, cut or in windows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Tokens:
    """The tokens of some texts, each in one window or more.

    Attributes
    ----------
    windows : list of array of int64 [m]
        What the model is given at once.
    text_of : array of int64 [w]
        The text of each window, ascending.
    weights : array of int64 [w]
        Number of a window's tokens without the model's own, such as ``[CLS]``.
    counts : array of int32 [n]
        Number of tokens of each text, whether they are used or not.
    """

    windows: list[Ids]
    text_of: npt.NDArray[np.int64]
    weights: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int32]


class Tokenizing:
    """A model's tokenizer, on one thread.

    Parameters
    ----------
    backend : tokenizers.Tokenizer
        A copy of it is used.
    max_tokens : int
        Most tokens of a window, the model's own included.

    Raises
    ------
    ValueError
        The model's own tokens leave none for a text.
    """

    def __init__(self, backend: Any, max_tokens: int) -> None:
        # Rust's threads would compete with those that compute, and hang in a forked process.
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        self._backend = type(backend).from_str(backend.to_str())
        self._backend.no_padding()
        self._own = self._backend.num_special_tokens_to_add(is_pair=False)
        if max_tokens <= self._own:
            raise ValueError(f"at most {max_tokens} tokens leave none for a text")
        self._backend.enable_truncation(max_tokens)

    def __call__(self, texts: Sequence[str], *, prefix: str, average: bool) -> Tokens:
        """Return the tokens of texts: their first window each, or all windows for `average`."""
        windows: list[Ids] = []
        text_of: list[int] = []
        weights: list[int] = []
        counts = np.zeros(len(texts), np.int32)
        whole = self._backend.encode_batch_fast([prefix + text for text in texts])
        for number, first in enumerate(whole):
            parts = [first, *first.overflowing]
            lengths = [len(part.ids) - self._own for part in parts]
            counts[number] = sum(lengths) + self._own
            for part, length in zip(parts[: None if average else 1], lengths, strict=False):
                windows.append(np.array(part.ids, np.int64))
                text_of.append(number)
                weights.append(length)
        return Tokens(windows, np.array(text_of, np.int64), np.array(weights, np.int64), counts)
