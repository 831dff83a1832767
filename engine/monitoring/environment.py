"""What a run records about its environment, because it decides about bits: versions and models.

Nothing is imported for it: a version is read from the metadata of what is installed.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version

from ... import __version__
from ...graphs.embeddings.loading import loaders_in
from ...graphs.graph import Graph
from ..hardware.cpu import processor
from ..hardware.nvml import nvidia

_PACKAGES = (
    "dask",
    "distributed",
    "numpy",
    "pyarrow",
    "zarr",
    "numba",
    "cupy",
    "cudf",
    "torch",
    "openvino",
    "onnxruntime",
    "model2vec",
    "tokenizers",
    "transformers",
    "sentence-transformers",
)


def versions(packages: Iterable[str] = _PACKAGES) -> dict[str, str]:
    """Return the versions of Python and of those packages that are installed.

    >>> "numpy" in versions()
    True
    """
    found = {"paninifs": __version__, "python": platform.python_version()}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def models_of(graph: Graph, *, here: bool) -> dict[str, Mapping[str, str]]:
    """Return where the models of a graph are, and what computes with them, by their digests.

    Parameters
    ----------
    here : bool
        Whether the workers are on this machine. What other machines have is unknown.
    """
    found: dict[str, Mapping[str, str]] = {}
    for loader in loaders_in(graph.maps):
        settings = loader.settings
        device = device_of(settings.engine) if here else ""
        found[settings.digest] = {"folder": str(loader.found or ""), "device": device}
    return found


def device_of(engine: str) -> str:
    """Return what an engine computes on here; empty if its vectors are the same everywhere."""
    if engine == "static":
        return ""
    gpus = {gpu.name for gpu in nvidia().gpus} if engine == "torch" and not _is_for_cpus() else ()
    return ", ".join(sorted(gpus)) or processor_name()


def _is_for_cpus() -> bool:
    """Return whether the installed torch is built without CUDA, by its version."""
    return versions().get("torch", "").endswith("+cpu")


def processor_name() -> str:
    """Return the name of the processor."""
    return processor().name
