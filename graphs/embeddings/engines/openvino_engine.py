"""The engine ``openvino``: OpenVINO on the CPU, the fastest there."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..model_folder import ModelFolder
from .conversion import check, quiet_tracing, traced
from .torch_engine import CPU_BUDGET, TorchEngine, backend_of, load_module, max_tokens_of

Ids = npt.NDArray[np.int64]


class OpenVinoEngine:
    """See `Engine`. Each thread that calls computes on its own."""

    PACKAGES: ClassVar = ("openvino", "torch", "sentence_transformers")
    DECIDING: ClassVar = ("openvino", *TorchEngine.DECIDING)
    DTYPES: ClassVar = ("float32", "bfloat16")
    LIBRARY_BYTES: ClassVar = 510 << 20
    WEIGHT_COPIES: ClassVar = 2.1

    budget, multiple = CPU_BUDGET, 1

    def __init__(self, folder: ModelFolder, dtype: str) -> None:
        with _no_telemetry():
            openvino = import_module("openvino")
        model = load_module(folder, "cpu", "float32")
        self.backend, self.max_tokens = backend_of(model), max_tokens_of(model)
        converted = _converted(model)
        threads = (
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        )
        self._compiled = openvino.Core().compile_model(
            converted,
            "CPU",
            {
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": threads,  # one thread each
                "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[dtype],
                "ENABLE_CPU_PINNING": False,  # workers share the cores
            },
        )
        self._of_thread = threading.local()
        if dtype == "float32":
            check(self.vectors, model)

    def vectors(self, ids: Ids, mask: Ids) -> npt.NDArray[np.float32]:
        """Return the vectors of a batch."""
        request = getattr(self._of_thread, "request", None)
        if request is None:
            request = self._of_thread.request = self._compiled.create_infer_request()
        found = request.infer({"input_ids": ids, "attention_mask": mask})
        return np.array(found[0], np.float32)

    def close(self) -> None:
        """Give its memory back."""
        self._of_thread = threading.local()
        del self._compiled


def _converted(model: Any) -> Any:
    """Return a model of OpenVINO, without `openvino.convert_model`, which reports to its makers."""
    with _no_telemetry():
        decoder = import_module("openvino.frontend.pytorch.ts_decoder").TorchScriptPythonDecoder
        frontend = import_module("openvino.frontend").FrontEndManager().load_by_framework("pytorch")
    module, example = traced(model)
    with quiet_tracing():
        kept = decoder(module, example_input=example)  # which the converted model does not keep
        return frontend.convert(frontend.load(kept))


@contextmanager
def _no_telemetry() -> Iterator[None]:
    """Import OpenVINO as if the package with which it reports its use were not installed.

    Otherwise a process that it starts sends a message about every model.
    """
    package = "openvino_telemetry"
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[package]
