"""`reduce`: computes a reduction on the run's cluster, within the memory of one worker.

dask and xarray do the work. `later` decides which values it receives, and `storage.store.stages`
stores its result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.utils import format_bytes

from ....graphs.reductions.reduce_block import ReduceBlock
from ....storage.errors import BlockError, PaniniError, RunFailed
from ....storage.store.layout import TEXT
from ...worker.user_code import frames_of, in_words, sources_of_functions
from ..background.completion import Completed
from .growth import MemoryGrowth

if TYPE_CHECKING:
    import xarray as xr
    from distributed import Client

MAX_RESULT_BYTES = 256 << 20
"""Maximum bytes of a result, and of every intermediate value of a reduction. They pass through the
client, and a result is in the memory of every worker that takes it."""

SPLIT_EVERY = 8
"""Number of partial results combined at once. It is the same everywhere, because the bits of the
result depend on it."""


class Reducer:
    """Computes reductions on a cluster.

    Parameters
    ----------
    priority : int
        Priority of the run's tasks.
    worker_memory : int or None
        Bytes that a worker may hold.
    hold : callable
        Called with the futures that are cancelled if the run is stopped.
    stopped : callable
        Returns why the run was stopped, if it was.
    """

    def __init__(
        self,
        client: Client,
        *,
        priority: int,
        worker_memory: int | None,
        hold: Callable[[Sequence[Any]], object],
        stopped: Callable[[], PaniniError | None],
    ) -> None:
        self._client, self._priority, self._stopped = client, priority, stopped
        self._worker_memory, self._hold = worker_memory, hold

    def result(
        self,
        block: ReduceBlock,
        results: xr.Dataset,
        sample: Callable[[int], xr.Dataset],
        others: Mapping[str, Any],
    ) -> xr.Dataset | xr.DataArray:
        """Return the result of a reduction, in memory.

        Parameters
        ----------
        results : Dataset
            What the graph has computed so far; see `lazy_results`.
        sample : callable
            Returns the beginning of `results`, in the given number of small chunks.
        others : mapping
            Results of the earlier reductions that the block takes.

        Raises
        ------
        BlockError
            The function raised an exception, or returned something that cannot be stored.
        RunFailed
            It needs more memory than one worker has.
        """
        arguments = [others[name] for name in block.inputs]
        with self._settings(block):
            MemoryGrowth(block.name, self._worker_memory).require_bounded(
                lambda chunks: _called(block, sample(chunks), arguments), results.sizes[TEXT]
            )
            lazy = _called(block, results, arguments)
            _require_result(block, lazy)
            return self._computed(block, lazy)

    def _settings(self, block: ReduceBlock) -> ExitStack:
        import dask
        import xarray as xr

        entered = ExitStack()
        entered.enter_context(self._client.as_current())
        options = {"split_every": SPLIT_EVERY, "scheduler": self._get_for(block)}
        entered.enter_context(dask.config.set(options))
        # If installed, these packages add in another order.
        adds_in_order = xr.set_options(use_bottleneck=False, use_numbagg=False)  # type: ignore[no-untyped-call]
        entered.enter_context(adds_in_order)
        return entered

    def _get_for(self, block: ReduceBlock) -> Callable[..., Any]:
        """Return a dask scheduler that uses the cluster, and refuses values that are too large."""

        def get(graph: Any, keys: Any, **_: Any) -> Any:
            from dask.core import flatten

            nested = self._client.get(graph, keys, sync=False, retries=3, priority=self._priority)
            futures = list(flatten([nested]))
            self._hold(futures)
            try:
                for _future in Completed(self._client, futures):
                    pass
                held = self._client.nbytes([future.key for future in futures], summary=False)
                nbytes = sum(held.values())
                if nbytes > MAX_RESULT_BYTES:
                    raise RunFailed(
                        f"reduction {block.name!r} would bring {format_bytes(nbytes)} into one "
                        f"process, and at most {format_bytes(MAX_RESULT_BYTES)} are allowed; "
                        "reduce further on the workers, over the dimension 'text'"
                    )
                return self._client.gather(nested)
            finally:
                self._hold([])

        return get

    def _computed(
        self, block: ReduceBlock, lazy: xr.Dataset | xr.DataArray
    ) -> xr.Dataset | xr.DataArray:
        from dask import base
        from distributed import CancelledError, KilledWorker

        try:
            (computed,) = base.compute(lazy)
        except PaniniError:
            raise
        except KilledWorker as error:
            raise RunFailed(
                f"reduction {block.name!r} ended its worker {error.allowed_failures + 1} times, "
                "perhaps for lack of memory: give workers more (--memory, fewer --workers), and "
                "run again to resume"
            ) from error
        except CancelledError as error:
            gone = RunFailed(
                f"the cluster went away during reduction {block.name!r}; run again to resume"
            )
            raise (self._stopped() or gone) from error
        except Exception as error:
            raise _failed(block, error) from error
        result: xr.Dataset | xr.DataArray = computed
        return result


def _called(block: ReduceBlock, results: xr.Dataset, arguments: list[Any]) -> Any:
    try:
        return block.function(results, *arguments, **block.params)
    except PaniniError:
        raise
    except Exception as error:
        raise _failed(block, error) from error


def _failed(block: ReduceBlock, error: BaseException) -> BlockError:
    sources = sources_of_functions([block.function])
    frames = "".join(f"\n{frame}" for frame in frames_of(error, sources))
    return BlockError(f"reduction {block.name!r} raised {in_words(error)}{frames}")


def _require_result(block: ReduceBlock, lazy: Any) -> None:
    """Raise `BlockError` unless a value can be the result of a reduction."""
    import xarray as xr

    name = f"reduction {block.name!r}"
    if not isinstance(lazy, xr.Dataset | xr.DataArray):
        raise BlockError(
            f"{name} returned {type(lazy).__name__}; return a DataArray or a Dataset of xarray"
        )
    if TEXT in lazy.dims:
        raise BlockError(
            f"{name} returned values along the dimension {TEXT!r}, one per text; reduce over it, "
            f"for example with .mean({TEXT!r}), or use @pf.map_block for values per text"
        )
    dataset = lazy if isinstance(lazy, xr.Dataset) else lazy.to_dataset(name=block.name)
    if not dataset.data_vars:
        raise BlockError(f"{name} returned a Dataset without variables")
    for one in dataset.variables:
        kind = dataset[one].dtype.kind
        if not isinstance(one, str) or not one.isidentifier() or kind not in "biufUSOTMm":
            raise BlockError(
                f"{name} returned the variable {one!r} of dtype {dataset[one].dtype}; use names of "
                "letters, digits and _, and numbers or strings"
            )
    nbytes = dataset.nbytes
    if not np.isnan(nbytes) and nbytes > MAX_RESULT_BYTES:
        raise RunFailed(
            f"{name} returned {format_bytes(int(nbytes))}, and a result has at most "
            f"{format_bytes(MAX_RESULT_BYTES)}: it is in the memory of every worker that takes it"
        )
