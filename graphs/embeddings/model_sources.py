"""Where models come from: a folder, a hub of models, or a URL. Each gives a local folder."""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import platformdirs

from ...storage.errors import UsageError
from ...storage.filesystems.filesystem import files_below, filesystem_of
from ...storage.filesystems.redaction import shown

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")

_LEFT_OUT = ["*.bin", "*.h5", "*.msgpack", "*.ot", "onnx/*", "openvino/*", "*/.*", ".*"]
"""Files of a hub's models that no engine here reads."""


class Source(Protocol):
    """Where a model is."""

    @property
    def name(self) -> str:
        """The model's name, for people; empty if it has none that lasts."""

    def fetch(self) -> tuple[Path, str]:
        """Return a local folder with the model, and its revision, if it has one.

        Raises
        ------
        UsageError
            There is no such model, or it cannot be fetched.
        """


@dataclass(frozen=True)
class LocalSource:
    """A folder on a disk that every worker sees. Its path may change between runs."""

    path: str
    name: str = ""

    def fetch(self) -> tuple[Path, str]:
        """Return the folder."""
        path = Path(self.path).expanduser().absolute()
        if not path.is_dir():
            raise UsageError(f"there is no folder {path} with a model on this machine")
        return path, ""


@dataclass(frozen=True)
class HubSource:
    """A model of the Hugging Face hub, kept in its cache."""

    name: str
    revision: str = ""

    def fetch(self) -> tuple[Path, str]:
        """Return the folder in the hub's cache; what is missing there is downloaded."""
        try:
            hub = import_module("huggingface_hub")
        except ImportError as error:
            raise UsageError(
                f"model {self.name!r} is on a hub: pip install 'paninifs[embed]'"
            ) from error
        try:
            folder = self._snapshot(hub, ignore_patterns=_LEFT_OUT)
            if not any(folder.glob("*.safetensors")):
                folder = self._snapshot(hub, allow_patterns=["*.json", "*.txt", "*.model", "*.bin"])
        except Exception as error:  # of the hub, of httpx and of the system
            said = str(error).strip().splitlines()
            raise UsageError(
                f"model {self.name!r} cannot be fetched from the hub: "
                f"{said[0] if said else type(error).__name__}"
            ) from error
        return folder, folder.name

    def _snapshot(self, hub: Any, **patterns: Any) -> Path:
        found = hub.snapshot_download(self.name, revision=self.revision or None, **patterns)
        return Path(found)


@dataclass(frozen=True)
class UrlSource:
    """A folder or an archive at a URL, kept in the user's cache."""

    url: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    name: str = ""

    def fetch(self) -> tuple[Path, str]:
        """Return the folder in the cache, after a download if it is not there."""
        kept = cache_folder() / "models" / hashlib.sha256(self.url.encode()).hexdigest()[:32]
        if not kept.is_dir():
            kept.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=kept.parent) as temporary:
                made = Path(temporary) / "model"
                made.mkdir()
                self._download(made)
                try:
                    made.rename(kept)
                except OSError:
                    if not kept.is_dir():  # else another process was faster
                        raise
        inside = [one for one in kept.iterdir() if one.is_dir()]
        alone = len(inside) == 1 and not any(one.is_file() for one in kept.iterdir())
        return (inside[0] if alone else kept), ""

    def _download(self, made: Path) -> None:
        fs, path = filesystem_of(self.url, self.options)
        ending = next((one for one in ARCHIVES if path.split("?")[0].endswith(one)), None)
        try:
            if ending is None:
                self._copy(fs, path.rstrip("/"), made)
                return
            archive = made.parent / f"archive{ending}"
            fs.get_file(path, str(archive))
            if ending == ".zip":
                with zipfile.ZipFile(archive) as opened:
                    opened.extractall(made)  # noqa: S202 (it keeps names inside)
            else:
                with tarfile.open(archive) as opened:
                    opened.extractall(made, filter="data")
        except (OSError, zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
            where = shown(self.url)
            raise UsageError(f"the model at {where} cannot be fetched: {error}") from error

    def _copy(self, fs: Any, path: str, made: Path) -> None:
        found = files_below(fs, path)
        if not found:
            raise UsageError(
                f"there is no model at {shown(self.url)}: a URL leads to a folder that can be "
                f"listed, or to an archive ({', '.join(ARCHIVES)})"
            )
        for file in found:
            target = made / file[len(path) :].lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            fs.get_file(file, str(target))


def source_of(
    model: str | os.PathLike[str], revision: str, options: Mapping[str, Any] | None
) -> Source:
    """Return where a model is, from what the user calls it.

    Raises
    ------
    UsageError
        It is none of the three.
    """
    name = os.fspath(model)
    if "://" in name:
        return UrlSource(name, dict(options or {}))
    if not isinstance(model, str) or Path(name).expanduser().is_dir():
        return LocalSource(str(Path(name).expanduser().absolute()))
    if name.startswith((".", "/", "~")) or "\\" in name:
        raise UsageError(f"there is no folder {name}")
    if not re.fullmatch(r"[\w][\w.-]*(/[\w][\w.-]*)?", name):
        raise UsageError(f"{name!r} is neither a folder, a URL nor the name of a model on a hub")
    return HubSource(name, revision)


def cache_folder() -> Path:
    """Return the user's cache folder of this package."""
    return platformdirs.user_cache_path("paninifs")
