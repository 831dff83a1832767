"""Models that are known by name, and what each of them needs."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, kw_only=True)
class KnownModel:
    """A model of the catalogue.

    Attributes
    ----------
    name : str
        Its name on the Hugging Face hub.
    aliases : tuple of str
        Short names.
    parameters : int
        In millions.
    dimension : int
    max_tokens : int
    languages : str
        In words.
    licence : str
    prefix : str
        Put before every text that is compared with others of its kind.
    pooling : str
        How the vectors of tokens become one: ``mean``, ``cls``, or ``static``.
    normalizes : bool
        Whether the model itself returns vectors of length one.
    note : str
        What users should know.
    source : str
        Where these facts are from.
    """

    name: str
    aliases: tuple[str, ...] = ()
    parameters: int
    dimension: int
    max_tokens: int
    languages: str
    licence: str
    prefix: str = ""
    pooling: str
    normalizes: bool
    note: str = ""
    source: str


@cache
def models() -> tuple[KnownModel, ...]:
    """Return the models of the catalogue.

    Examples
    --------
    >>> [one.name for one in models() if "e5-large-v2" in one.aliases]
    ['intfloat/e5-large-v2']
    """
    text = (files(__package__) / "catalogue.toml").read_text(encoding="utf-8")
    return tuple(_model(one) for one in tomllib.loads(text)["model"])


def known_model(name: str | os.PathLike[str]) -> KnownModel | None:
    """Return the model of the catalogue that has a name, in full or short."""
    return next((one for one in models() if name in (one.name, *one.aliases)), None)


def _model(found: dict[str, Any]) -> KnownModel:
    return KnownModel(**found | {"aliases": tuple(found.get("aliases", ()))})
