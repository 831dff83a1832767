"""`map_block`: makes a block from a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from ..storage.errors import GraphError
from ..storage.field import Field
from .block import MapBlock


def map_block(
    function: Any = None,
    /,
    *,
    fields: Iterable[Field] | Field = (),
    name: str | None = None,
    version: str = "",
    exact: bool = True,
    cuda: str = "",
    text_seconds: float = 0.0,
    when: str = "",
    setup: Mapping[str, Callable[[], Any]] | None = None,
    per_thread: bool = False,
) -> Callable[[Callable[..., Any]], MapBlock]:
    """Make a block from a function, whose parameter names are the block's inputs.

    The function is called with a micro-batch of n texts. A parameter is, by its name:

    - ``text``: a `PackedText`;
    - a field of an earlier block: an array of n rows;
    - a kept column of the corpus (``keep=``): an array of n values. Strings are an object array, in
      which a missing value is None; a missing float is NaN, a missing integer 0 and a missing bool
      False. ``NAME_valid`` is the bool array that says which values are known;
    - ``id``: the texts' identifiers, int64 or an object array of strings;
    - ``length``: the texts' lengths in bytes of UTF-8, int64;
    - an earlier reduction (see `reduce_block`): its array, or its `xarray.Dataset`, the same for
      all texts. The block then runs in a later stage.

    It returns one array per field, with n rows each. The number of texts in a micro-batch varies,
    so a row's result must depend on that row alone.

    On the backend ``cuda`` the arrays are CuPy arrays. NumPy's functions accept them
    (``np.max(dhatu, axis=1)``), except for functions that create arrays, where CuPy's own are
    needed. Code that cannot be written with arrays can call `PackedText.to_strings`, which copies
    texts to the host, and return NumPy arrays. A function must not keep device memory between
    calls.

    Objects that take long to make, such as a model, belong in ``setup=``. Other objects that the
    function refers to are sent to the workers as they are when the run is submitted, and changes
    to them stay there.

    Parameters
    ----------
    fields : sequence of Field
        Fields that the function returns.
    name : str, optional
        Defaults to the function's name.
    version, exact
        See `MapBlock`.
    cuda : str, optional
        CUDA C++ with an ``extern "C" __global__`` kernel that has the block's name. A GPU runs it
        instead of the function, with one thread per text and 256 threads per thread block. Its
        parameters are, for each input, ``const unsigned char *data, const long long *offsets`` if
        it is ``text``, or else a pointer to the field's values; then ``long long n``; then a
        pointer for each field that the kernel fills. CuPy compiles it so that subnormal floats are
        flushed to zero.
    text_seconds : float, optional
        Seconds per text of a slow block, e.g. an embedding, on the slowest machine that will run
        it. Shards are made small enough that at most five minutes of a worker's work are in flight.
    when : str, optional
        Name of an earlier bool field, or of a kept bool column. The block runs only for the texts
        for which it is true; the others have the fields' fill value (zero, false or empty).
    setup : mapping of str to callable, optional
        Functions without arguments, by the name of the parameter that takes what they return. Each
        is called once per worker process, before the first micro-batch, and its time is reported
        separately. What it returned is closed (``close()``) once no run uses it. The
        function's source and what it refers to, such as the arguments of a `functools.partial`, are
        part of the block's identity.
    per_thread : bool
        Whether each thread of a worker calls the functions of ``setup``, for what threads cannot
        share.

    Examples
    --------
    >>> import numpy as np
    >>> @map_block(fields=[Field("n_bytes", "int32")])
    ... def n_bytes(text):
    ...     return (text.offsets[1:] - text.offsets[:-1]).astype("int32")
    >>> n_bytes(["a", "dhātu"]).tolist()  # tried on a few texts
    [1, 6]
    >>> @map_block(fields=[Field("known", "int32")], setup={"words": lambda: {"mot", "racine"}})
    ... def known(text, words):
    ...     return np.array([len(words & {*one.split()}) for one in text.to_strings()], "int32")
    >>> known(["le mot", "un"]).tolist()
    [1, 0]
    """
    declared = (fields,) if isinstance(fields, Field) else tuple(fields)
    if function is not None and not declared:  # the decorator was written without brackets
        raise GraphError(
            "map_block needs the fields that the function returns: "
            f"@map_block(fields=[Field('{getattr(function, '__name__', 'n')}', 'int32')])"
        )

    def decorate(function: Callable[..., Any]) -> MapBlock:
        label = name or getattr(function, "__name__", "")
        if not label:
            raise GraphError(f"{function!r} has no name; give the block one: name=")
        if inspect.iscoroutinefunction(function):
            raise GraphError(f"block {label!r}: an async function cannot be a block")
        parameters = inspect.signature(function).parameters.values()
        if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD, p.KEYWORD_ONLY) for p in parameters):
            raise GraphError(
                f"block {label!r}: use plain parameters only, not *args, **kwargs or keyword-only "
                "parameters"
            )
        made = dict(setup or {})
        named = {p.name for p in parameters if p.kind is not p.POSITIONAL_ONLY}
        if unknown := sorted(made.keys() - named):
            raise GraphError(
                f"block {label!r}: setup= makes {unknown[0]!r}, which is not a parameter of the "
                "function"
            )
        inputs = tuple(p.name for p in parameters if p.default is p.empty and p.name not in made)
        return MapBlock(
            name=label,
            inputs=inputs,
            fields=declared,
            function=function,
            version=version,
            exact=exact,
            cuda=cuda,
            text_seconds=text_seconds,
            when=when,
            setup=made,
            per_thread=per_thread,
        )

    return decorate if function is None else cast("Any", decorate(function))
