"""What pins down values of common types that are neither plain nor code: patterns, paths, enums...

Each is described by its type and by parts that determine it. Plain values, arrays, containers and
code are described in `functions`, which also describes the parts.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import fractions
import hashlib
import logging
import operator
import re
import sys
import types
import uuid
from collections.abc import Callable
from pathlib import PurePath
from typing import Any

import numpy as np

Parts = tuple[Any, ...]

# The labels are fixed: where a library defines a type changes between its versions.
_PARTS: tuple[tuple[str, Any, Callable[[Any], Parts]], ...] = (
    ("re.Pattern", re.Pattern, lambda value: (value.pattern, value.flags)),
    ("pathlib.Path", PurePath, lambda value: (str(value),)),
    ("enum.Enum", enum.Enum, lambda value: (type(value), value.name, value.value)),
    ("decimal.Decimal", decimal.Decimal, lambda value: (str(value),)),
    ("fractions.Fraction", fractions.Fraction, lambda value: (str(value),)),
    ("uuid.UUID", uuid.UUID, lambda value: (value.hex,)),
    ("datetime.date", dt.date, lambda value: (repr(value),)),  # or a datetime
    ("datetime.time", dt.time, lambda value: (repr(value),)),
    ("datetime.timedelta", dt.timedelta, lambda value: (repr(value),)),
    ("datetime.timezone", dt.timezone, lambda value: (repr(value),)),
    ("numpy.dtype", np.dtype, lambda value: (repr(value.descr if value.fields else value.str),)),
    ("slice", slice, lambda value: (value.start, value.stop, value.step)),
    ("types.SimpleNamespace", types.SimpleNamespace, lambda value: (vars(value),)),
    ("Ellipsis", types.EllipsisType, lambda _: ()),
    ("logging.Logger", logging.Logger, lambda value: (value.name,)),  # it changes no result
    ("operator.attrgetter", operator.attrgetter, lambda value: value.__reduce__()),
    ("operator.itemgetter", operator.itemgetter, lambda value: value.__reduce__()),
    ("operator.methodcaller", operator.methodcaller, lambda value: value.__reduce__()),
)

_PLAIN = {str, bytes, int, float, bool, type(None)}


def parts_of(value: Any) -> tuple[str, Parts] | None:
    """Return the label of a value's type, and parts that determine the value; None if unknown.

    Examples
    --------
    >>> parts_of(re.compile("a+", re.I))
    ('re.Pattern', ('a+', 34))
    >>> parts_of(decimal.Decimal("0.10"))
    ('decimal.Decimal', ('0.10',))
    """
    for label, kind, parts in _PARTS:
        if isinstance(value, kind):
            return label, parts(value)
    if type(value) is np.ndarray:
        return _object_array(value)
    return _pandas(value)


def _object_array(value: Any) -> tuple[str, Parts] | None:
    """Describe an array of strings and other plain objects."""
    items = value.ravel().tolist()
    if value.dtype != object or not {*map(type, items)} <= _PLAIN:
        return None
    digest = hashlib.sha256(repr(items).encode("utf-8", "surrogatepass")).hexdigest()
    return "array object", (value.shape, digest)


def _pandas(value: Any) -> tuple[str, Parts] | None:
    pandas = sys.modules.get("pandas")  # not imported: without it, nothing is a frame
    if pandas is None:
        return None
    if isinstance(value, pandas.DataFrame):
        columns = (value.iloc[:, n] for n in range(value.shape[1]))
        return "pandas.DataFrame", (value.index, value.columns, *columns)
    if isinstance(value, pandas.Series):
        return "pandas.Series", (value.name, value.index, str(value.dtype), value.to_numpy())
    if isinstance(value, pandas.Index) and value.nlevels == 1:
        return "pandas.Index", (value.name, str(value.dtype), value.to_numpy())
    return None
