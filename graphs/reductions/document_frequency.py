"""`document_frequency`: the number of texts that contain each token."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...storage.errors import GraphError
from .chunks import array_of, fold, is_missing, validity_of, whole_number
from .reduce_block import ReduceBlock

if TYPE_CHECKING:
    import xarray as xr

MOST_TOKENS = 10_000_000


def document_frequency(
    field: str, *, limit: int = 1_000_000, name: str | None = None
) -> ReduceBlock:
    """Return the reduction to the number of texts that contain each token.

    The counts are exact. The number of tokens must be known before the result can be described, so
    tokens are counted when the reduction is called; only the counts are brought together.

    Parameters
    ----------
    field : str
        Tokens: a field with several numbers or strings per text, also of varying length; or with
        one string per text, whose tokens are separated by white space.
    limit : int
        Maximum number of different tokens, at most 10 million. One task may hold eight times as
        many counts.
    name : str, optional
        Name of the reduction. By default ``FIELD_document_frequency``.

    Returns
    -------
    ReduceBlock
        Its result is a Dataset:

        - ``documents``: int64 [token], number of texts that contain the token. The coordinate
          ``token`` is sorted, strings by code point;
        - ``texts``: int64, the number of texts.

        Missing values, None, NaN and empty strings are not tokens.

    Raises
    ------
    GraphError
        `limit` is not valid. When it is computed: there are more tokens than `limit`.

    Examples
    --------
    >>> import xarray as xr
    >>> texts = xr.Dataset({"tokens": ("text", ["the cat sat", "the the", ""])})
    >>> found = document_frequency("tokens")(texts)
    >>> dict(zip(found.token.values.tolist(), found.documents.values.tolist()))
    {'cat': 1, 'sat': 1, 'the': 2}
    """
    number = whole_number("limit", limit, 1, MOST_TOKENS)
    return ReduceBlock(
        name=name or f"{field}_document_frequency",
        function=_document_frequency,
        params={"field": field, "limit": number},
        version="1",
    )


def _document_frequency(results: xr.Dataset, *, field: str, limit: int) -> xr.Dataset:
    import xarray as xr

    values = array_of(results, field)
    known = validity_of(results, field)
    arrays = [values.data] if known is None else [values.data, known.data]
    counts = fold(_Counts(field, limit), _Total(field, limit), arrays).compute()
    tokens = sorted(counts)
    numbers = bool(tokens) and not isinstance(tokens[0], str)
    return xr.Dataset(
        {
            "documents": ("token", np.array([counts[token] for token in tokens], "int64")),
            "texts": ((), np.int64(values.shape[0])),
        },
        {"token": np.array(tokens, dtype=None if numbers else object)},
    )


class _Limited:
    """Counts of tokens, which may exceed the limit."""

    def __init__(self, field: str, limit: int) -> None:
        self._field, self._limit = field, limit

    def _checked(self, counts: Counter[Any]) -> Counter[Any]:
        if len(counts) > self._limit:
            raise GraphError(
                f"{self._field!r} has at least {len(counts):,} different tokens; the limit is "
                f"{self._limit:,}. Raise it (limit=) if the workers have the memory, or leave out "
                "rare tokens in a map-block"
            )
        return counts


class _Counts(_Limited):
    """Counts the tokens of a chunk."""

    def __call__(
        self, values: npt.NDArray[Any], known: npt.NDArray[np.bool_] | None = None
    ) -> Counter[Any]:
        counts: Counter[Any] = Counter()
        for row in (values if known is None else values[known]).tolist():
            counts.update(_tokens(row))
        return self._checked(counts)


class _Total(_Limited):
    """Adds the counts of chunks."""

    def __call__(self, states: list[Counter[Any]]) -> Counter[Any]:
        total: Counter[Any] = Counter()
        for state in states:
            total.update(state)
            self._checked(total)
        return total


def _tokens(row: Any) -> set[Any]:
    """Return the different tokens of one text."""
    if isinstance(row, str):
        return set(row.split())
    if isinstance(row, np.ndarray):
        row = row.ravel().tolist()
    found = set(row) if isinstance(row, Iterable) else {row}
    return {token for token in found if not is_missing(token) and token != ""}
