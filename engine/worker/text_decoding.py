"""Whether the texts of a stage are decoded in the backend's memory, and why not.

A backend whose memory is a device's may decode the texts of some formats there, so that they never
come to the host. That is of use only if nothing on the host reads them. What a file or a row group
is left to the host for is up to its format, and to the backend.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ...graphs.block import TEXT
from ...graphs.graph import Graph
from ...graphs.kernels import Kernels
from ...storage.cleaning.steps import Cleaning
from ...storage.corpus.reading import can_hand_over
from ...storage.rows import Stretch, TextDecoder
from .micro_batches.budget import memory_budget
from .values.compute_spec import ComputeSpec

BUDGET_SHARE = 16
"""Part of a thread's memory on the device for the texts decoded at once, one in so many. Several
such parts wait to be computed, and libcudf needs a multiple of one to decode it."""

MOST_BYTES, LEAST_BYTES = 256 << 20, 16 << 20
"""Most and least bytes of text that are decoded at once."""

_log = logging.getLogger(__name__)


def text_decoder(
    spec: ComputeSpec, kernels: Kernels, stretches: Sequence[Stretch]
) -> TextDecoder | None:
    """Return what decodes the texts of a task; None if the host does. The log says why."""
    reason = why_on_host(spec.graph, spec.columns.cleaning)
    if reason is None and not can_hand_over(stretches):
        reason = "the format of the files is read there"
    if reason is None:
        limit = min(MOST_BYTES, max(LEAST_BYTES, memory_budget(kernels) // BUDGET_SHARE))
        decoder = kernels.text_decoder(limit)
        if not isinstance(decoder, str):
            _log.info("texts are decoded on the device, about %d bytes at once", limit)
            return decoder
        reason = decoder
    _log.info("texts are decoded on the host: %s", reason)
    return None


def why_on_host(graph: Graph, cleaning: Cleaning) -> str | None:
    """Return what on the host reads the texts; None if nothing does.

    >>> import paninifs as pf
    >>> why_on_host(pf.default_graph(), pf.Cleaning(whitespace=True))
    'they are cleaned (whitespace)'
    >>> why_on_host(pf.default_graph(), pf.Cleaning()) is None
    True
    """
    if cleaning.reads_texts:
        return f"they are cleaned ({', '.join(cleaning.describe())})"
    for block in graph.maps:
        if TEXT in block.inputs and block.function is not None and not block.cuda:
            return f"the function of block {block.name!r} may read them"
    return None
