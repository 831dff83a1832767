"""The engine ``torch``: PyTorch on an NVIDIA GPU or on the CPU, by sentence-transformers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ....storage.errors import UsageError
from ..model_folder import ModelFolder

Ids = npt.NDArray[np.int64]

CPU_BUDGET = 512
"""Tokens of a batch on a CPU. Larger ones leave its caches: 1,024 tokens are 5 to 10 % slower and
4,096 a third (MiniLM, AMD Zen 4)."""

GPU_BUDGET = 16_384
"""Tokens of a batch on a GPU. Not measured: none has been available."""

GPU_MULTIPLE = 8
"""Lengths on a GPU are multiples of it, as matrix units take them, and there are fewer of them."""


class TorchEngine:
    """See `Engine`. On a CPU every call uses one thread: those of dask call side by side."""

    PACKAGES: ClassVar = ("torch", "sentence_transformers")
    DECIDING: ClassVar = ("torch", "transformers", "sentence-transformers", "tokenizers")
    DTYPES: ClassVar = ("float32", "bfloat16", "float16", "int8")
    LIBRARY_BYTES: ClassVar = 380 << 20
    WEIGHT_COPIES: ClassVar = 1.0

    def __init__(self, folder: ModelFolder, dtype: str) -> None:
        torch = import_module("torch")
        device = "cuda" if torch.cuda.is_available() else "cpu"
        if dtype == "int8" and device == "cuda":
            raise UsageError("dtype='int8' is for CPUs; on a GPU use 'bfloat16' or 'float16'")
        self._torch, self._device = torch, device
        self.model = load_module(folder, device, "float32" if dtype == "int8" else dtype)
        self.backend = backend_of(self.model)
        self.max_tokens = max_tokens_of(self.model)
        if dtype == "int8":
            quantize = torch.ao.quantization.quantize_dynamic
            self.model = quantize(self.model, {torch.nn.Linear}, dtype=torch.qint8)
        on_gpu = device == "cuda"
        self.budget, self.multiple = (GPU_BUDGET, GPU_MULTIPLE) if on_gpu else (CPU_BUDGET, 1)

    def vectors(self, ids: Ids, mask: Ids) -> npt.NDArray[np.float32]:
        """Return the vectors of a batch."""
        torch = self._torch
        features = {
            "input_ids": torch.from_numpy(ids).to(self._device),
            "attention_mask": torch.from_numpy(mask).to(self._device),
        }
        with torch.inference_mode(), one_thread(torch):
            found = self.model(features)["sentence_embedding"]
            return np.ascontiguousarray(found.float().cpu().numpy())

    def close(self) -> None:
        """Give its memory back."""
        del self.model
        if self._device == "cuda":
            self._torch.cuda.empty_cache()


@contextmanager
def one_thread(torch: Any) -> Iterator[None]:
    """Let this thread's calls of torch compute with one thread; the figure is one per thread."""
    before = torch.get_num_threads()
    if before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def load_module(folder: ModelFolder, device: str, dtype: str) -> Any:
    """Return the model as a module of torch, without anything printed or fetched."""
    torch = import_module("torch")
    transformers = import_module("transformers")
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
    model = import_module("sentence_transformers").SentenceTransformer(
        str(folder.path),
        device=device,
        local_files_only=True,
        trust_remote_code=False,
        model_kwargs={"dtype": getattr(torch, dtype)},
    )
    return model.eval()


def backend_of(model: Any) -> Any:
    """Return the tokenizer of the package tokenizers that a model has."""
    backend = getattr(model.tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise UsageError(
            f"the model's tokenizer, {type(model.tokenizer).__name__}, is not one of the package "
            "tokenizers"
        )
    return backend


def max_tokens_of(model: Any) -> int:
    """Return the most tokens that a model takes at once.

    The models of the family of RoBERTa count positions from behind the number of their padding, so
    that 514 of them are enough for 512 tokens. Not every such model says 512.
    """
    said = model.max_seq_length
    found = [] if said is None else [int(said)]
    positions = model[0].auto_model.config.max_position_embeddings
    embeddings = getattr(model[0].auto_model, "embeddings", None)
    offset = getattr(embeddings, "padding_idx", None)
    found.append(positions if offset is None else positions - offset - 1)
    return min(found)
