"""`ModelFolder`: what a folder with a model says about it, read without torch.

The formats are those of sentence-transformers (``modules.json``), of a bare transformers model
(``config.json``) and of model2vec. Where folders come from is in `model_sources`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...storage.errors import UsageError

_READ = (".json", ".txt", ".model", ".safetensors")
"""Endings of the files that loading a model reads."""

_PICKLED = "pytorch_model*.bin"
"""Weights of older models, which are read if there are no safetensors."""

_MAX_HEADER = 100 << 20
"""Maximum bytes of the header of a safetensors file, as its own library has it."""

_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I8": 1, "U8": 1}


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """A model on a local disk.

    Attributes
    ----------
    path : Path
    kind : {"transformer", "static"}
        A static model has one vector per token, and a text's vector is their mean.
    dimension : int
        Length of the vectors.
    weight_bytes : int
        Bytes of the weights in float32.
    body_parameters : int
        Number of weights that are used for every token: all but the tokens' own vectors.
    normalizes : bool
        Whether the model itself returns vectors of length one.
    """

    path: Path
    kind: str
    dimension: int
    weight_bytes: int
    body_parameters: int
    normalizes: bool

    @classmethod
    def read(cls, path: Path) -> ModelFolder:
        """Read what a folder says about its model.

        Raises
        ------
        UsageError
            It has no model, one of another kind than text embeddings, or damaged files.
        """
        shapes = list(_shapes(path))
        total = sum(math.prod(shape) for _, shape in shapes)
        modules = _modules(path)
        kind, dimension = _kind_and_dimension(path, modules, dict(shapes))
        vectors = sum(math.prod(shape) for name, shape in shapes if _is_token_table(name))
        return cls(
            path=path,
            kind=kind,
            dimension=dimension,
            weight_bytes=4 * total,
            body_parameters=0 if kind == "static" else total - vectors,
            normalizes=_normalizes(path, modules),
        )

    def digest(self) -> str:
        """Return the SHA-256 of the files that loading the model reads, with their names.

        It reads all of them: seconds for a large model.
        """
        whole = hashlib.sha256()
        for file in _files(self.path):
            with file.open("rb") as opened:
                found = hashlib.file_digest(opened, "sha256").hexdigest()
            whole.update(f"{found}  {file.relative_to(self.path).as_posix()}\n".encode())
        return whole.hexdigest()


def _files(path: Path) -> list[Path]:
    """Return the files that loading reads: those of the folder and of its modules' folders."""
    folders = [path, *(path / one["path"] for one in _modules(path) if one.get("path"))]
    found = [
        file
        for folder in dict.fromkeys(folders)
        if folder.is_dir()
        for file in folder.iterdir()
        if file.is_file() and (file.suffix in _READ or file.match(_PICKLED))
    ]
    if any(file.suffix == ".safetensors" for file in found):
        found = [file for file in found if not file.match(_PICKLED)]
    return sorted(found)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error


def _modules(path: Path) -> list[dict[str, Any]]:
    found = _json(path / "modules.json")
    if found is None:
        return []
    if not isinstance(found, list) or not all(
        isinstance(one, dict) and isinstance(one.get("type"), str) for one in found
    ):
        raise UsageError(f"{path / 'modules.json'} is not a list of modules")
    inside = path.resolve()
    for one in found:
        if not (path / str(one.get("path", ""))).resolve().is_relative_to(inside):
            raise UsageError(f"{path / 'modules.json'} names a folder outside of the model's")
    return found


def _type(module: dict[str, Any]) -> str:
    return str(module["type"]).rpartition(".")[2]


def _normalizes(path: Path, modules: list[dict[str, Any]]) -> bool:
    if modules:
        return _type(modules[-1]) == "Normalize"
    return bool((_json(path / "config.json") or {}).get("normalize", False))


def _kind_and_dimension(
    path: Path, modules: list[dict[str, Any]], shapes: dict[str, tuple[int, ...]]
) -> tuple[str, int]:
    table = shapes.get("embedding.weight") or shapes.get("embeddings")
    types = [_type(one) for one in modules]
    config = _json(path / "config.json")
    is_static = "StaticEmbedding" in types or "embeddings" in shapes  # of model2vec
    if is_static and table is not None and len(table) == 2:
        return "static", table[1]
    if not isinstance(config, dict):
        raise UsageError(
            f"{path} has no model: a folder of sentence-transformers, transformers or model2vec "
            "has a config.json"
        )
    hidden = config.get("hidden_size") or config.get("dim") or config.get("d_model")
    if not isinstance(hidden, int) or hidden < 1:
        raise UsageError(
            f"{path}: config.json has no hidden_size, so this is not a model of texts "
            f"({config.get('model_type', 'unknown type')})"
        )
    dimension = hidden
    for module in modules:
        described = _json(path / str(module.get("path", "")) / "config.json") or {}
        match _type(module):
            case "Pooling":
                dimension *= max(1, _pooled_modes(described))
            case "Dense":
                dimension = int(described["out_features"])
            case "Transformer" | "Normalize" | "Dropout" | "LayerNorm":
                pass
            case other:
                raise UsageError(f"{path}: a model with a module {other} is not supported")
    return "transformer", dimension


def _pooled_modes(described: dict[str, Any]) -> int:
    """Return how many vectors pooling puts side by side."""
    mode = described.get("pooling_mode")
    if mode is not None:
        return 1 if isinstance(mode, str) else len(mode)
    return sum(bool(on) for name, on in described.items() if name.startswith("pooling_mode_"))


def _is_token_table(name: str) -> bool:
    return name.endswith(("word_embeddings.weight", "embed_tokens.weight", "wte.weight"))


def _shapes(path: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the name and shape of every weight."""
    files = [file for file in _files(path) if file.suffix == ".safetensors"]
    for file in files:
        for name, described in _header(file).items():
            if name != "__metadata__":
                yield name, tuple(described["shape"])
    if not files:
        pickled = [file for file in _files(path) if file.match(_PICKLED)]
        if not pickled:
            raise UsageError(
                f"{path} has no model: there is no file *.safetensors or {_PICKLED} in it"
            )
        for file in pickled:
            yield file.name, (file.stat().st_size // 4,)


def _header(file: Path) -> dict[str, Any]:
    """Return the header of a safetensors file: JSON behind its length, before the data."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if size < 8 or length > min(size - 8, _MAX_HEADER):
            head = file.read_bytes()[:40] if size < 1000 else b""
            pointer = head.startswith(b"version https://git-lfs")
            raise UsageError(
                f"{file} is a pointer of Git LFS, not the weights: run 'git lfs pull' there"
                if pointer
                else f"{file} is damaged: its header does not fit into it"
            )
        try:
            header = json.loads(opened.read(length))
            ends = [
                one["data_offsets"][1]
                for name, one in header.items()
                if name != "__metadata__" and one["dtype"] in _BYTES
            ]
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise UsageError(f"{file} is damaged: its header cannot be read ({error})") from error
    if max(ends, default=0) > size - 8 - length:
        raise UsageError(f"{file} is damaged: it is shorter than its header says")
    return dict(header)
