"""`Field`: the declaration of one output array, without values or files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import index
from reprlib import repr as abridged
from typing import Any

import numpy as np

from .errors import GraphError

STRING = "string"
_KINDS = frozenset("biuf")
_LABEL_KINDS = _KINDS | {"U"}


# This class is public, so its first arguments stay positional; later ones are keyword-only.
@dataclass(frozen=True, kw_only=True)
class Field:
    """One output array: a value per text, or a small fixed-shape array of values per text.

    Parameters
    ----------
    name : str
        An identifier; also the array's name in the results.
    dtype : str
        A NumPy boolean, integer or float dtype (``"float32"``), or ``"string"``.
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

    Raises
    ------
    GraphError
        The declared array cannot be stored.

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
    """

    name: str = field(kw_only=False)
    dtype: str = field(kw_only=False)
    shape: tuple[int, ...] = field(default=(), kw_only=False)
    dims: tuple[str, ...] | None = field(default=None, kw_only=False)
    labels: Mapping[str, tuple[Any, ...]] = field(default_factory=dict, kw_only=False)
    description: str = field(default="", kw_only=False)
    compress: bool = field(default=True, kw_only=False)

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or self.name.startswith("_"):
            raise GraphError(
                f"{self.name!r} is not a valid field name: use letters, digits and _, no leading _"
            )
        if self.dtype != STRING:
            object.__setattr__(self, "dtype", self._numeric_dtype())
        shape = self._lengths()
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

    def _numeric_dtype(self) -> str:
        """Return the name of the declared NumPy dtype."""
        try:
            dtype = np.dtype(self.dtype)
        except TypeError as error:
            hint = "; for text use 'string'" if _names_text(self.dtype) else ""
            raise GraphError(
                f"field {self.name!r}: {self.dtype!r} is not a NumPy dtype{hint}"
            ) from error
        if self.dtype is None or dtype.kind not in _KINDS or dtype.itemsize > 8:
            raise GraphError(
                f"field {self.name!r}: {self.dtype!r} cannot be stored; use 'string', or a "
                "boolean, integer or float dtype of at most 64 bits"
            )
        return dtype.name

    def _lengths(self) -> tuple[int, ...]:
        given = self.shape if isinstance(self.shape, Iterable) else (self.shape,)
        try:
            shape = tuple(index(length) for length in given)
        except TypeError as error:
            raise GraphError(
                f"field {self.name!r}: shape {self.shape!r} must consist of whole numbers; values "
                "of varying length cannot be stored, so fill them up to a fixed length"
            ) from error
        if any(length < 1 for length in shape):
            raise GraphError(f"field {self.name!r}: every length in shape {shape} must be positive")
        return shape

    def _require_storable(self, dim: str, labels: Sequence[Any]) -> None:
        """Raise `GraphError` for labels that cannot be stored as an array of the dimension."""
        if len(set(labels)) < len(labels):
            raise GraphError(f"field {self.name!r}: labels of dimension {dim!r} are repeated")
        values = np.asarray(labels)
        unicode = values.dtype.kind != "U" or _is_unicode(values.ravel().tolist())
        if values.ndim != 1 or values.dtype.kind not in _LABEL_KINDS or not unicode:
            raise GraphError(
                f"field {self.name!r}: the labels of dimension {dim!r} must be all strings or all "
                f"numbers, not {abridged(tuple(labels))}"
            )

    @property
    def row_bytes(self) -> int:
        """Bytes per text, before compression; a string counts as 32."""
        width = 32 if self.dtype == STRING else np.dtype(self.dtype).itemsize
        return width * math.prod(self.shape)

    @property
    def fill(self) -> Any:
        """The value of a row that is not computed yet or is quarantined: zero, false or empty."""
        return "" if self.dtype == STRING else np.dtype(self.dtype).type(0).item()

    @property
    def array_dtype(self) -> np.dtype[Any]:
        """The NumPy dtype of an in-memory array of this field (strings are objects)."""
        return np.dtype(object) if self.dtype == STRING else np.dtype(self.dtype)

    @classmethod
    def described(cls, found: Mapping[str, Any]) -> Field:
        """Rebuild a field from the result of `describe`, without its labels and `description`."""
        shape, dims = tuple(found["shape"]), tuple(found["dims"])
        return cls(found["name"], found["dtype"], shape, dims, compress=found["compress"])

    def describe(self) -> dict[str, Any]:
        """Return the part of the declaration that belongs in a manifest, as JSON."""
        return {
            "name": self.name,
            "dtype": self.dtype,
            "shape": list(self.shape),
            "dims": list(self.dims or ()),
            "compress": self.compress,
        }


def _names_text(dtype: Any) -> bool:
    return isinstance(dtype, str) and any(word in dtype.lower() for word in ("text", "str", "utf"))


def _is_unicode(strings: Iterable[str]) -> bool:
    try:
        "".join(strings).encode()
    except UnicodeEncodeError:
        return False
    return True
