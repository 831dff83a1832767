"""Whether the texts of a stage are decoded in the backend's memory, and why not.

A backend whose memory is a device's may decode the texts of some formats there, so that they never
come to the host. That is of use only if nothing on the host reads them. What a file or a row group
is left to the host for is up to its format, and to the backend.
"""

from __future__ import annotations

import logging

from ...graphs.block import TEXT
from ...graphs.graph import Graph
from ...graphs.kernels import Kernels
from ...storage.cleaning.steps import Cleaning
from ...storage.rows import TextDecoder
from .micro_batches.budget import memory_budget
from .values.compute_spec import ComputeSpec

BUDGET_SHARE = 16
"""Part of a thread's memory on the device for the texts decoded at once, one in so many. Several
such parts wait to be computed, and libcudf needs a multiple of one to decode it."""

MOST_BYTES, LEAST_BYTES = 256 << 20, 16 << 20
"""Most and least bytes of text that are decoded at once."""

_log = logging.getLogger(__name__)


def text_decoder(spec: ComputeSpec, kernels: Kernels) -> TextDecoder | None:
    """Return what decodes the texts of a stage; None if the host does. The log says why."""
    found = reason = why_on_host(spec.graph, spec.columns.cleaning)
    if reason is None:
        if kernels.free_memory() is None:
            return None  # the host's is the only memory there is
        limit = min(MOST_BYTES, max(LEAST_BYTES, memory_budget(kernels) // BUDGET_SHARE))
        decoder = kernels.text_decoder(limit)
        if not isinstance(decoder, str):
            _log.info("texts are decoded on the device, about %d MiB at once", limit >> 20)
            return decoder
        found = decoder
    _log.info("texts are decoded on the host: %s", found)
    return None


def why_on_host(graph: Graph, cleaning: Cleaning) -> str | None:
    """Return what on the host reads the texts; None if nothing does.

    >>> from ...graphs.blocks.fused import default_graph
    """
    if cleaning.reads_texts:
        return f"they are cleaned ({', '.join(cleaning.describe())})"
    for block in graph.maps:
        if TEXT in block.inputs and block.function is not None and not block.cuda:
            return f"the function of block {block.name!r} may read them"
    return None
