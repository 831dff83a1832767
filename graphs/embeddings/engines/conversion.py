"""Models of sentence-transformers as modules that other libraries convert, and the check of these.

A conversion can be silently wrong at other shapes than those of its example, if the example did not
use the mask. So the example has padding, and what was converted is compared with torch.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from ....storage.errors import UsageError

Ids = npt.NDArray[np.int64]

TOLERANCE = 1e-4
"""Largest difference between a converted model's vectors and torch's, in parts of their length."""


@contextmanager
def quiet_tracing() -> Iterator[None]:
    """Leave out what is said where a library looks at every attribute of a model.

    These are warnings of torch's tracing, of its exporter about packages that models do not need,
    and those of transformers about attributes that only training uses.
    """
    loggers = [logging.getLogger(name) for name in ("transformers", "torch.onnx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def traced(model: Any) -> tuple[Any, dict[str, Any]]:
    """Return a module from ``input_ids`` and ``attention_mask`` to vectors, and example inputs."""
    torch = import_module("torch")
    # Other kinds of attention leave the mask out if the example's allows it.
    model[0].auto_model.set_attn_implementation("eager")

    class Vectors(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            features = {"input_ids": input_ids, "attention_mask": attention_mask}
            return self.model(features)["sentence_embedding"]

    ids, mask = (torch.from_numpy(array) for array in _probe(model, rows=2, length=8))
    return Vectors().eval(), {"input_ids": ids, "attention_mask": mask}


def check(vectors: Callable[[Ids, Ids], npt.NDArray[np.float32]], model: Any) -> None:
    """Compare what was converted with torch, at shapes and masks other than the example's.

    Raises
    ------
    UsageError
        They differ.
    """
    torch = import_module("torch")
    for rows, length in ((1, 3), (3, 11)):
        ids, mask = _probe(model, rows, length)
        with torch.inference_mode():
            features = {
                "input_ids": torch.from_numpy(ids),
                "attention_mask": torch.from_numpy(mask),
            }
            expected = model(features)["sentence_embedding"].numpy()
        off = np.abs(vectors(ids, mask) - expected).max() / np.abs(expected).max()
        if not off <= TOLERANCE:
            raise UsageError(
                f"the converted model differs from torch's by {off:.1g}; use engine='torch'"
            )


def _probe(model: Any, rows: int, length: int) -> tuple[Ids, Ids]:
    """Return tokens spread over the vocabulary, and a mask that leaves out some at the ends."""
    known = model[0].auto_model.config.vocab_size
    ids = (np.arange(rows * length, dtype=np.int64).reshape(rows, length) * 37 + 5) % known
    mask = np.ones_like(ids)
    for row in range(rows):
        mask[row, length - row % (length - 1) :] = 0
    return ids, mask
