"""The engine ``static``: a text's vector is the mean of its tokens' vectors.

For models of model2vec, and the module StaticEmbedding of sentence-transformers. The tokens'
vectors are kept as integers, whose sums do not depend on their order; the division and the length
are computed in float64, one step after another. So vectors are the same bits on every machine.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ....storage.errors import UsageError
from ..model_folder import ModelFolder
from ..settings import Settings

WHOLE_BITS = 30
"""Bits of the largest of the integers, so that 2³³ tokens can be summed in int64."""


class StaticModel:
    """Vectors of tokens, and how a text is cut into them; for any number of threads at once."""

    PACKAGES: ClassVar = ("tokenizers", "safetensors")
    DECIDING: ClassVar = ("tokenizers",)
    DTYPES: ClassVar = ("float32",)
    LIBRARY_BYTES: ClassVar = 30 << 20
    WEIGHT_COPIES: ClassVar = 1.0

    def __init__(self, folder: ModelFolder, dtype: str) -> None:  # noqa: ARG002 (there is one)
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        vectors, unknown = _vectors_of(folder)
        largest = float(np.abs(vectors).max(initial=0.0))
        if not np.isfinite(largest):
            raise UsageError(f"{folder.path}: the vectors are not finite")
        self._shift = WHOLE_BITS - (int(np.frexp(largest)[1]) if largest else 0)
        self._table = np.rint(np.ldexp(vectors.astype(np.float64), self._shift)).astype(np.int32)
        self._words = WordTokens(folder, unknown)
        self._normalizes = folder.normalizes

    def embed(
        self, texts: Sequence[str], settings: Settings
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        """Return the vectors [n, d] and the number of tokens [n] of texts.

        A text without tokens that the model knows has the vector zero.
        """
        if settings.prefix:
            texts = [settings.prefix + text for text in texts]
        ids, offsets = self._words(texts)
        out = np.empty((len(texts), self._table.shape[1]), np.float32)
        normalize = settings.normalize or self._normalizes
        _means()(self._table, ids, offsets, -self._shift, normalize, out)
        return out, np.diff(offsets).astype(np.int32)

    def close(self) -> None:
        """Give its memory back."""
        del self._table, self._words


class WordTokens:
    """The tokens of texts, found word by word if the tokenizer allows it, as most do.

    A tokenizer that never looks beyond white space gives a word the same tokens in every text. Then
    each word is given to it once: texts repeat their words, so this is several times as fast.
    """

    def __init__(self, folder: ModelFolder, unknown: bool) -> None:
        tokenizers = import_module("tokenizers")
        file = folder.path / "tokenizer.json"
        if not file.exists():
            raise UsageError(f"{folder.path} has no tokenizer.json")
        self._backend = tokenizers.Tokenizer.from_file(str(file))
        self._backend.no_padding()
        self._backend.no_truncation()
        described = json.loads(self._backend.to_str())
        self._left_out = None if unknown else _unknown_token(self._backend, described)
        self._by_word = _is_by_word(described)
        self._known: dict[str, list[int]] = {}

    def __call__(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the tokens of all texts, one after another, and where each text's begin."""
        if self._by_word:
            known = self._known
            split = [_BETWEEN_SPACES(text) for text in texts]
            if new := list({word for words in split for word in words} - known.keys()):
                known.update(zip(new, self._tokens(new), strict=True))
            found = [[token for word in words for token in known[word]] for words in split]
            if len(known) > MOST_WORDS:
                self._known = {}
        else:
            found = self._tokens(texts)
        offsets = np.zeros(len(texts) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, found), np.int64, len(found)), out=offsets[1:])
        ids = np.fromiter((token for one in found for token in one), np.int64, int(offsets[-1]))
        return ids, offsets

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        found = self._backend.encode_batch_fast(list(texts), add_special_tokens=False)
        left_out = self._left_out
        return [[token for token in one.ids if token != left_out] for one in found]


MOST_WORDS = 1_000_000
"""Words that are remembered: about 200 MB."""

_BETWEEN_SPACES = re.compile(r"[^ \t\r\n]+").findall
"""Only at these is a text cut: tokenizers disagree on other white space, and may drop it."""

_LOCAL_NORMALIZERS = {"BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "StripAccents"}
_LOCAL_SPLITS = {"BertPreTokenizer", "Whitespace", "WhitespaceSplit", "Punctuation", "Digits"}


def _is_by_word(described: dict[str, Any]) -> bool:
    """Return whether a tokenizer, as JSON, gives a word the same tokens whatever is beside it.

    White space must separate words for it, and its own special words must not span several.
    """
    steps = _parts(described.get("normalizer"), "normalizers")
    splits = _parts(described.get("pre_tokenizer"), "pretokenizers")
    added = [str(one.get("content", "")) for one in described.get("added_tokens") or []]
    return (
        {one["type"] for one in steps} <= _LOCAL_NORMALIZERS
        and {one["type"] for one in splits} <= _LOCAL_SPLITS
        and bool({one["type"] for one in splits} - {"Punctuation", "Digits"})
        and not any(word != "".join(word.split()) for word in added)
    )


def _parts(described: dict[str, Any] | None, inside: str) -> list[dict[str, Any]]:
    if described is None:
        return []
    if described.get("type") == "Sequence":
        return [part for one in described[inside] for part in _parts(one, inside)]
    return [described]


def _unknown_token(backend: Any, described: dict[str, Any]) -> int | None:
    """Return the number of the token for what is not in the vocabulary, if there is one."""
    model = described["model"]
    if model.get("unk_id") is not None:
        return int(model["unk_id"])
    token = model.get("unk_token")
    return None if token is None else backend.token_to_id(token)


def _vectors_of(folder: ModelFolder) -> tuple[npt.NDArray[np.float32], bool]:
    """Return a vector for every token, and whether the one for unknown words counts."""
    load = import_module("safetensors.numpy").load_file
    weights = load(str(folder.path / "model.safetensors"))
    if "embedding.weight" in weights:
        return weights["embedding.weight"].astype(np.float32), True
    vectors = weights["embeddings"].astype(np.float32)
    if "mapping" in weights:
        vectors = vectors[weights["mapping"].astype(np.int64)]
    if "weights" in weights:
        vectors = vectors * weights["weights"].astype(np.float32)[:, None]
    return vectors, False


@cache
def _means() -> Any:
    """Return the compiled loop that sums, divides and measures."""
    numba = import_module("numba")

    @numba.njit(nogil=True, cache=False)  # type: ignore[untyped-decorator, unused-ignore]
    def means(table, ids, offsets, exponent, normalize, out):  # type: ignore[no-untyped-def]
        width = table.shape[1]
        sums = np.empty(width, np.int64)
        scale = 2.0**exponent
        for row in range(len(offsets) - 1):
            sums[:] = 0
            for at in range(offsets[row], offsets[row + 1]):
                token = ids[at]
                for column in range(width):
                    sums[column] += table[token, column]
            count = max(offsets[row + 1] - offsets[row], 1)
            square = 0.0
            for column in range(width):
                value = sums[column] * scale / count
                square += value * value
            length = np.sqrt(square) if normalize and square > 0.0 else 1.0
            for column in range(width):
                out[row, column] = np.float32(sums[column] * scale / count / length)

    return means
