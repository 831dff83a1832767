"""Words of a fixed list, held and stored as their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .kind import PlainKind

if TYPE_CHECKING:
    import pyarrow as pa

NO_CATEGORY = -1
"""The code of a value that is missing, as in pandas."""


class Category(PlainKind):
    """Codes of categories: positions in their list, or -1.

    The attributes of the stored array name the categories, also as the CF conventions do
    (``flag_values``, ``flag_meanings``) if none of them contains white space.

    >>> kind = Category(("fr", "en"))
    >>> kind.array_dtype, kind.fill, kind.readable(np.array([1, 0, -1], "int8")).tolist()
    (dtype('int8'), -1, ['en', 'fr', ''])
    """

    def __init__(self, categories: tuple[str, ...]) -> None:
        self.categories = categories
        self.array_dtype = np.min_scalar_type(-max(len(categories), 1))
        self.width = self.array_dtype.itemsize
        self.zarr_dtype = self.array_dtype.name

    @property
    def fill(self) -> Any:
        """No category."""
        return NO_CATEGORY

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The categories in the order of their codes."""
        named: dict[str, Any] = {"categories": list(self.categories)}
        if all(len(name.split()) == 1 for name in self.categories):
            named["flag_values"] = list(range(len(self.categories)))
            named["flag_meanings"] = " ".join(self.categories)
        return named

    def readable(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the categories as objects; an empty string where there is none."""
        words = np.array([*self.categories, ""], object)
        read: npt.NDArray[Any] = words[values]
        return read

    @property
    def arrow_type(self) -> pa.DataType:
        """A dictionary of strings."""
        import pyarrow as pa

        return pa.dictionary(pa.int32(), pa.string())

    def to_arrow(self, values: npt.NDArray[Any], known: npt.NDArray[np.bool_]) -> pa.Array:
        """Return a column of categories."""
        import pyarrow as pa

        missing = ~known | (values == NO_CATEGORY)
        codes = pa.array(values.astype(np.int32), mask=missing)
        return pa.DictionaryArray.from_arrays(codes, pa.array(self.categories, pa.string()))
