"""`near_duplicates`: computes signatures of a corpus, and finds the texts that are nearly equal."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...graphs.block import MapBlock
from ...graphs.blocks.band_keys import band_keys, bands_for
from ...graphs.blocks.minhash import SIGNATURE, minhash
from ...graphs.graph import Graph
from ...storage.corpus.open_corpus import opened
from ...storage.errors import LeaseHeld, UsageError
from ...storage.messages.tracebacks import short_traceback
from ...storage.store.leases.lease import Lease
from ...storage.store.manifest import read_manifest
from ...storage.store.reader import ResultsStore
from ...storage.targets.open import open_target
from ..run.submit import submit
from .by_signature import BySignature
from .connecting import Verifier, clusters_of
from .exactness import ExactJaccard
from .found import NearDuplicates, require_similarity
from .key_blocks import KeyBlocks, params_of
from .state import read_clusters, write_clusters
from .temporary_folder import TemporaryFolder

if TYPE_CHECKING:
    from distributed import Client

    from ...storage.corpus.corpus import Corpus

_log = logging.getLogger(__name__)

SMALLEST_MEMORY = 1 << 20
"""Minimum memory budget, in bytes."""


@short_traceback
def near_duplicates(
    corpus: Corpus | Any = None,
    threshold: float = 0.8,
    *,
    store: str | os.PathLike[str] | None = None,
    permutations: int = 128,
    shingles: str = "words",
    size: int | None = None,
    seed: int = 1,
    exact: bool = False,
    extend: bool = False,
    client: Client | None = None,
    memory: int | str = "1GiB",
    scratch: str | os.PathLike[str] | None = None,
    storage_options: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> NearDuplicates:
    """Find the texts of a corpus that are nearly equal, in clusters.

    There are two steps. A run computes the fields ``minhash`` and ``band_keys`` of every text into
    a store, on the cluster; see `minhash` and `band_keys`. Then this process sorts the keys. Texts
    that share a key are candidates; those whose signatures agree in a share of at least `threshold`
    of their values are near-duplicates. Clusters are connected components of near-duplicates.

    The clusters do not depend on the number of workers, on how the corpus is divided, or on
    `memory`. In another order of the texts they are the same sets. They are kept in the store, so
    the same call again only reads them, and after ``extend=True`` only new texts are compared.

    Parameters
    ----------
    corpus : Corpus, or a frame or table, optional
        As for `submit`. If it is not given, `store` must have signatures already.
    threshold : float
        Jaccard similarity of the sets of shingles, more than 0 and at most 1.
    store : str or path, optional
        Where the results are, or will be. By default a temporary folder, which is removed with the
        returned object. To a store of the same corpus that has other results, signatures are added.
    permutations, shingles, size, seed
        See `minhash`. Ignored without a corpus.
    exact : bool
        Compare candidates by their exact similarity, instead of its estimate. Their texts are read
        from the corpus, which is much slower.
    extend : bool
        Append the texts of files that were added to the corpus; see `submit`.
    client : distributed.Client, optional
        The cluster to run on. By default the most recent client.
    memory : int or str
        Bytes that this process may use for keys, signatures and clusters, such as ``"4GiB"``; at
        least 1 MiB. What does not fit is kept in scratch files: 16 bytes per text and band, and 8
        bytes per text. Beyond this budget come about 64 MiB for blocks that are read; the largest
        bucket (texts with an equal key), 48 bytes for each text that it has, and 512 bytes (with
        128 permutations) for each different signature; and 16 bytes for each near-duplicate.
    scratch : str or path, optional
        Folder for scratch files; by default the system's.
    storage_options : mapping, optional
        For fsspec, if `store` is a URL.
    progress : bool
        Show the progress of the run.

    Raises
    ------
    UsageError
        A parameter is not valid, or neither a corpus nor a store with signatures is given.
    ResultsMismatch
        The store holds results of another corpus or of other parameters.
    LeaseHeld
        Another run is writing the store.

    Examples
    --------
    >>> import pandas as pd
    >>> import paninifs as pf
    >>> texts = ["le mot juste et le sens", "Le mot juste, et le sens.", "une racine"]
    >>> with pf.connect("threads", quiet=True):
    ...     found = pf.near_duplicates(pd.DataFrame({"text": texts}), progress=False)
    >>> found.labels().tolist(), found.kept().tolist()
    ([0, 0, 2], [True, False, True])
    """
    require_similarity(threshold)
    budget = _bytes(memory)
    source = None if corpus is None else opened(corpus)
    folder = None
    if store is None:
        if source is None:
            raise UsageError("give near_duplicates a corpus, or a store that has signatures")
        folder = TemporaryFolder()
        store = os.path.join(folder.path, "signatures.zarr")  # noqa: PTH118 (may be a URL)
    if source is not None:
        signature = minhash(permutations, shingles, size, seed)
        submit(
            _graph(signature, threshold, store, storage_options),
            source,
            store,
            client=client,
            extend=extend,
            storage_options=storage_options,
            progress=progress,
        ).result()
    place = None if scratch is None else os.fspath(scratch)
    computed = ResultsStore.open(store, storage_options, source)
    return _found(
        computed, float(threshold), exact=exact, memory=budget, scratch=place, folder=folder
    )


def _found(
    store: ResultsStore,
    threshold: float,
    *,
    exact: bool,
    memory: int,
    scratch: str | None,
    folder: TemporaryFolder | None,
) -> NearDuplicates:
    params = params_of(store, SIGNATURE)
    bands, rows = bands_for(threshold, params["permutations"])
    blocks = KeyBlocks(store, bands, rows)
    settings = {"threshold": threshold, "exact": exact, "bands": bands, "rows": rows, **params}
    name = f"jaccard-{threshold:.6g}{'-exact' if exact else ''}"
    verifier: Verifier = (
        ExactJaccard(store, params, threshold) if exact else BySignature(blocks, threshold, memory)
    )
    former = read_clusters(store.target, name, settings)
    clusters = clusters_of(blocks, verifier, settings, former, memory=memory, scratch=scratch)
    if clusters is not former:
        try:
            with Lease.acquire(store.target):
                write_clusters(store.target, name, clusters)
        except LeaseHeld as error:
            _log.warning("the clusters are found, but not kept in the store: %s", error)
    return NearDuplicates(store, blocks, clusters, memory=memory, scratch=scratch, folder=folder)


def _graph(
    signature: MapBlock,
    threshold: float,
    store: str | os.PathLike[str],
    storage_options: Mapping[str, Any] | None,
) -> Graph:
    """Return the graph of a store with signatures; of a new one, signatures and their keys.

    Raises
    ------
    UsageError
        The store has blocks of the caller's own, and no signatures.
    """
    keys = band_keys(*bands_for(threshold, signature.fields[0].shape[0]))
    target = open_target(store, storage_options)
    if read_manifest(target) is None:
        return Graph((signature, keys))
    from ..results.recomputing import recomputed_blocks  # it imports what only embeddings need

    begun = ResultsStore.at(target, storage_options)
    again = recomputed_blocks(begun, (), storage_options)
    if again.others:
        raise UsageError(
            f"{begun.url} has the block {next(iter(again.others))!r}, which only its graph can "
            "compute; submit this graph with pf.minhash() added, and then call near_duplicates "
            "with the store and no corpus"
        )
    present = [signature if one.name == SIGNATURE else one for one in again.blocks]
    return Graph((*present, *(() if SIGNATURE in begun.blocks else (signature, keys))))


def _bytes(memory: int | str) -> int:
    from dask.utils import parse_bytes

    try:
        budget = int(parse_bytes(memory))
    except (ValueError, TypeError, AttributeError):
        budget = 0
    if budget < SMALLEST_MEMORY:
        raise UsageError(f"memory must be a size of at least 1 MiB, such as '4GiB', not {memory!r}")
    return budget
