"""The engine ``openvino``: OpenVINO on the CPU, 1.7 times as fast there as sentence-transformers."""

from __future__ import annotations

import os
import threading
import warnings
from importlib import import_module
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ....storage.errors import UsageError
from ..model_folder import ModelFolder
from .conversion import check, traced
from .torch_engine import CPU_BUDGET, backend_of, load_module, max_tokens_of

Ids = npt.NDArray[np.int64]


class OpenVinoEngine:
    """See `Engine`. Each thread that calls computes on its own."""

    PACKAGES: ClassVar = ("openvino", "torch", "sentence_transformers")
    DTYPES: ClassVar = ("float32", "bfloat16")

    budget, multiple = CPU_BUDGET, 1

    def __init__(self, folder: ModelFolder, dtype: str) -> None:
        openvino = import_module("openvino")
        model = load_module(folder, "cpu", "float32")
        self.backend, self.max_tokens = backend_of(model), max_tokens_of(model)
        module, example = traced(model)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's tracing
            converted = openvino.convert_model(module, example_input=example)
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
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
