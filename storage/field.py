"""`Field`: the declaration of one output array, without values or files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import index
from reprlib import repr as abridged
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import GraphError
from .kinds.declared import declared_categories, declared_dtype, is_unicode, require_list
from .kinds.kind import Kind
from .kinds.table import BYTES, CATEGORY, STRING, kind_of

__all__ = ["BYTES", "CATEGORY", "STRING", "Field"]

_LABEL_KINDS = frozenset("biufU")


# This class is public, so its first arguments stay positional; later ones are keyword-only.
@dataclass(frozen=True, kw_only=True)
class Field:
    """One output array: a value per text, or a fixed-shape array or a list of values per text.

    Parameters
    ----------
    name : str
        An identifier; also the array's name in the results.
    dtype : str
        A NumPy boolean, integer or float dtype (``"float32"``); ``"datetime64[s]"``, or ``ms``,
        ``us`` or ``ns``; ``"string"`` or ``"bytes"``, of any length; ``"U8"`` or ``"S8"``, at most
        8 characters or bytes; or ``"category"``.
    shape : tuple of int
        The shape of one text's value; ``()`` for a scalar.
    dims : tuple of str, optional
        A name for each axis of `shape`; by default ``NAME_axis0`` and so on.
    labels : mapping of str to sequence, optional
        Names of the positions along a dimension; stored as its coordinate.
    description : str
        One line, stored with the array.
    compress : bool
        Whether to compress the values. Compressing hashes is not worth the time.
    nullable : bool
        Whether a text's value may be missing. A second array, ``NAME_valid``, says which are known.
    ragged : bool
        Whether each text has a list of values, of its own length.
    categories : tuple of str, optional
        The values of a ``"category"``. In memory and in the store they are integers that count
        them from 0; -1 is none of them.

    Raises
    ------
    GraphError
        The declared array cannot be stored.

    Notes
    -----
    In memory, where blocks return values and later blocks receive them, a field is a NumPy array
    of n rows, of dtype `array_dtype`. Strings and bytes of any length are objects. A ragged field
    is an array of objects, each a one-dimensional NumPy array. `fill` stands for values that do not
    exist: ``array[mask] = field.fill`` works for every kind, as ``array[row : row + 1]`` does.

    Examples
    --------
    >>> Field(
    ...     "dhatu",
    ...     "float32",
    ...     (2,),
    ...     dims=("dhatu_name",),
    ...     labels={"dhatu_name": ("RELATE", "MODAL")},
    ... ).row_bytes
    8
    >>> [one.name for one in Field("year", "int16", nullable=True).arrays]
    ['year', 'year_valid']
    >>> Field("tokens", "int32", ragged=True).type_name
    'lists of int32'
    """

    name: str = field(kw_only=False)
    dtype: str = field(kw_only=False)
    shape: tuple[int, ...] = field(default=(), kw_only=False)
    dims: tuple[str, ...] | None = field(default=None, kw_only=False)
    labels: Mapping[str, tuple[Any, ...]] = field(default_factory=dict, kw_only=False)
    description: str = field(default="", kw_only=False)
    compress: bool = field(default=True, kw_only=False)
    nullable: bool = False
    ragged: bool = False
    categories: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or self.name.startswith("_"):
            raise GraphError(
                f"{self.name!r} is not a valid field name: use letters, digits and _, no leading _"
            )
        object.__setattr__(self, "dtype", declared_dtype(self.name, self.dtype))
        shape = self._lengths()
        categories = declared_categories(self.name, self.dtype, self.categories)
        object.__setattr__(self, "categories", categories)
        if self.ragged:
            require_list(self.name, self.dtype, shape)
        given = (self.dims,) if isinstance(self.dims, str) else self.dims
        dims = given or tuple(f"{self.name}_axis{axis}" for axis in range(len(shape)))
        if len(dims) != len(shape) or len({"text", *dims}) != len(dims) + 1 or self.name in dims:
            raise GraphError(
                f"field {self.name!r}: dims {dims} must name each axis of shape {shape} once, "
                f"none of them 'text' or {self.name!r}"
            )
        # A dimension with labels is also stored as an array.
        if not all(dim.isidentifier() for dim in dims):
            raise GraphError(
                f"field {self.name!r}: each dim of {dims} must consist of letters, digits and _"
            )
        lengths = dict(zip(dims, shape, strict=True))
        for dim, labels in self.labels.items():
            if lengths.get(dim) != len(labels):
                raise GraphError(
                    f"field {self.name!r}: {len(labels)} labels for dimension {dim!r} "
                    f"of length {lengths.get(dim)}"
                )
            self._require_storable(dim, labels)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "dims", tuple(dims))

    def _lengths(self) -> tuple[int, ...]:
        given = self.shape if isinstance(self.shape, Iterable) else (self.shape,)
        try:
            shape = tuple(index(length) for length in given)
        except TypeError as error:
            raise GraphError(
                f"field {self.name!r}: shape {self.shape!r} must consist of whole numbers; for "
                "values of varying length leave it out, and declare ragged=True"
            ) from error
        if any(length < 1 for length in shape):
            raise GraphError(f"field {self.name!r}: every length in shape {shape} must be positive")
        return shape

    def _require_storable(self, dim: str, labels: Sequence[Any]) -> None:
        """Raise `GraphError` for labels that cannot be stored as an array of the dimension."""
        if len(set(labels)) < len(labels):
            raise GraphError(f"field {self.name!r}: labels of dimension {dim!r} are repeated")
        values = np.asarray(labels)
        unicode = values.dtype.kind != "U" or is_unicode(values.ravel().tolist())
        if values.ndim != 1 or values.dtype.kind not in _LABEL_KINDS or not unicode:
            raise GraphError(
                f"field {self.name!r}: the labels of dimension {dim!r} must be all strings or all "
                f"numbers, not {abridged(tuple(labels))}"
            )

    @property
    def kind(self) -> Kind:
        """How values are held in memory, and stored."""
        return kind_of(self.dtype, self.ragged, self.categories)

    @property
    def arrays(self) -> tuple[Field, ...]:
        """The arrays that the field is stored as: itself and, if it is nullable, its mask."""
        if not self.nullable:
            return (self,)
        known = f"whether {self.name} is known (it was not missing)"
        return self, Field(self.mask, "bool", description=known)

    @property
    def mask(self) -> str:
        """Name of the array that says which values of a nullable field are known."""
        return f"{self.name}_valid"

    @property
    def row_bytes(self) -> int:
        """Bytes per text, before compression, without the mask of a nullable field.

        Values of varying length are estimated: 32 bytes per string, 256 for bytes, 128 items per
        list.
        """
        return self.kind.width * math.prod(self.shape)

    @property
    def fill(self) -> Any:
        """The value of a row that is not computed yet, quarantined or missing.

        It is zero, false or empty; NaT for datetimes, -1 for categories.
        """
        return self.kind.fill

    def filled(self, rows: int) -> npt.NDArray[Any]:
        """Return an array of rows that all have the fill.

        >>> Field("tokens", "int32", ragged=True).filled(1)[0]
        array([], dtype=int32)
        """
        return self.kind.filled((rows, *self.shape))

    @property
    def array_dtype(self) -> np.dtype[Any]:
        """The NumPy dtype of an in-memory array of this field; see the notes of the class."""
        return self.kind.array_dtype

    @property
    def item_dtype(self) -> np.dtype[Any]:
        """The NumPy dtype of a single value, also within a list."""
        return (kind_of(self.dtype) if self.ragged else self.kind).array_dtype

    @property
    def is_number(self) -> bool:
        """Whether its values can be averaged: booleans, integers and floats."""
        return self.kind.is_number

    @property
    def type_name(self) -> str:
        """The dtype in words.

        >>> Field("lang", "category", categories=("fr", "en"), nullable=True).type_name
        'nullable category of 2'
        """
        name = f"{self.dtype} of {len(self.categories)}" if self.categories else self.dtype
        name = f"lists of {name}" if self.ragged else name
        return f"nullable {name}" if self.nullable else name

    @classmethod
    def described(cls, found: Mapping[str, Any]) -> Field:
        """Rebuild a field from the result of `describe`, without its labels and `description`."""
        shape, dims = tuple(found["shape"]), tuple(found["dims"])
        options = {name: found[name] for name in _OPTIONS if name in found}
        return cls(
            found["name"], found["dtype"], shape, dims, compress=found["compress"], **options
        )

    def describe(self) -> dict[str, Any]:
        """Return the part of the declaration that belongs in a manifest, as JSON."""
        return {
            "name": self.name,
            "dtype": self.dtype,
            "shape": list(self.shape),
            "dims": list(self.dims or ()),
            "compress": self.compress,
            **{name: _as_json(getattr(self, name)) for name in _OPTIONS if getattr(self, name)},
        }


_OPTIONS = ("nullable", "ragged", "categories")
"""Options that are described only where they are set, as fields were before there were any."""


def _as_json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
