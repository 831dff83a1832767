"""`ENGINES`, and which of them a model uses unless another is named."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ....storage.errors import UsageError
from ..model_folder import ModelFolder

ENGINES = {
    "torch": "torch_engine.TorchEngine",
    "openvino": "openvino_engine.OpenVinoEngine",
    "onnx": "onnx_engine.OnnxEngine",
    "static": "static_engine.StaticModel",
}
"""The class of each engine. The last is for static models, the others for transformers."""

_DRIVER = ("/dev/nvidiactl", "/dev/dxg")
"""One of these exists where there is an NVIDIA driver: on Linux, and in Linux on Windows."""


def engine_class(name: str, dtype: str = "float32") -> Any:
    """Return the class of an engine.

    Raises
    ------
    UsageError
        There is none of that name, it does not compute in that type, or a package is missing.
    """
    if name not in ENGINES:
        raise UsageError(f"engine must be one of {', '.join(ENGINES)}, not {name!r}")
    module, _, attribute = ENGINES[name].partition(".")
    found = getattr(import_module(f".{module}", __package__), attribute)
    if dtype not in found.DTYPES:
        raise UsageError(f"engine={name!r} computes in {' or '.join(found.DTYPES)}, not {dtype!r}")
    missing = [package for package in found.PACKAGES if find_spec(package) is None]
    if missing:
        raise UsageError(
            f"engine={name!r} needs {missing[0]}, which is not installed: "
            "pip install 'paninifs[embed]'"
        )
    return found


def model_bytes(folder: ModelFolder, engine: str) -> int:
    """Return about how much memory a process needs for a model: its libraries, and its weights.

    Measured for models of 23, 110 and 335 million weights on Linux; within a tenth of these.
    """
    chosen = engine_class(engine)
    return int(chosen.LIBRARY_BYTES + chosen.WEIGHT_COPIES * folder.weight_bytes)


def default_engine(folder: ModelFolder, dtype: str) -> str:
    """Return the engine for a model: torch for a GPU, else the fastest that is installed."""
    if folder.kind == "static":
        return "static"
    if any(Path(one).exists() for one in _DRIVER):
        return "torch"
    fast = dtype in engine_dtypes("openvino") and find_spec("openvino") is not None
    return "openvino" if fast else "torch"


def engine_dtypes(name: str) -> tuple[str, ...]:
    """Return the types in which an engine computes."""
    module, _, attribute = ENGINES[name].partition(".")
    return tuple(getattr(import_module(f".{module}", __package__), attribute).DTYPES)
