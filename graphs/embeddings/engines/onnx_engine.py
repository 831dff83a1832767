"""The engine ``onnx``: ONNX Runtime on the CPU.

The model is exported once per machine, which takes a minute, and kept in the user's cache.
"""

from __future__ import annotations

import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..model_folder import ModelFolder
from ..model_sources import cache_folder
from .conversion import check, quiet_tracing, traced
from .torch_engine import CPU_BUDGET, TorchEngine, backend_of, load_module, max_tokens_of

Ids = npt.NDArray[np.int64]


class OnnxEngine:
    """See `Engine`. On every call the calling thread computes alone."""

    PACKAGES: ClassVar = ("onnxruntime", "onnx", "onnxscript", "torch", "sentence_transformers")
    DECIDING: ClassVar = ("onnxruntime", *TorchEngine.DECIDING)
    DTYPES: ClassVar = ("float32",)
    LIBRARY_BYTES: ClassVar = 350 << 20
    WEIGHT_COPIES: ClassVar = 2.1

    budget, multiple = CPU_BUDGET, 1

    def __init__(self, folder: ModelFolder, dtype: str) -> None:  # noqa: ARG002 (there is one)
        runtime = import_module("onnxruntime")
        model = load_module(folder, "cpu", "float32")
        self.backend, self.max_tokens = backend_of(model), max_tokens_of(model)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = runtime.InferenceSession(
            str(_exported(folder, model, self.max_tokens)), options, ["CPUExecutionProvider"]
        )
        check(self.vectors, model)

    def vectors(self, ids: Ids, mask: Ids) -> npt.NDArray[np.float32]:
        """Return the vectors of a batch."""
        (found,) = self._session.run(None, {"input_ids": ids, "attention_mask": mask})
        return np.asarray(found, np.float32)

    def close(self) -> None:
        """Give its memory back."""
        del self._session


def _exported(folder: ModelFolder, model: Any, max_tokens: int) -> Path:
    """Return the model as a file of ONNX, whose weights lie beside it."""
    torch = import_module("torch")
    made = cache_folder() / "onnx" / f"{folder.digest()}-{torch.__version__}"
    file = made / "model.onnx"
    if file.exists():
        return file
    made.parent.mkdir(parents=True, exist_ok=True)
    module, example = traced(model)
    texts, tokens = torch.export.Dim("texts"), torch.export.Dim("tokens", max=max_tokens)
    shape = {0: texts, 1: tokens}
    with tempfile.TemporaryDirectory(dir=made.parent) as temporary, quiet_tracing():
        made_here = Path(temporary) / "made"
        made_here.mkdir()
        torch.onnx.export(
            module,
            tuple(example.values()),
            str(made_here / file.name),
            input_names=list(example),
            output_names=["sentence_embedding"],
            dynamic_shapes=(shape, shape),
            dynamo=True,  # a trace by TorchScript is wrong at other shapes
            verbose=False,
        )
        try:
            made_here.rename(made)
        except OSError:
            if not file.exists():  # else another process was faster
                raise
    return file
