"""SHA-256 by x86's SHA instructions, emitted through Numba: the chains of a text interleaved.

The instructions of one chain depend on each other, with a latency of four cycles, and the registers
hold up to five chains. The chains that go through a block together are a *lot*. The schedules of
the next lot are computed between the rounds of the current one, because they have latencies too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ...chains import DIGEST, ROUND_CONSTANTS
from ..sha256 import HEAD, SLOT, WHOLE
from ..sha_ni import AHEAD, HELD, LOT, SCHEDULE
from .numba_compiler import inlined, loop
from .sha256 import I8, I32, I64, blocks_of, call, constant, load, outlined, stage, store

_X4, _X16 = ir.VectorType(I32, 4), ir.VectorType(I8, 16)
_PLACE = tuple(np.argsort(HELD).tolist())
"""Position of each of the words A to H in a state."""


# --- one lot, one block ---------------------------------------------------------------------------


@intrinsic(prefer_literal=True)
def _step(typing: Any, chains: Any, blocks: Any, rounds: Any, expansion: Any) -> Any:
    """Take `chains` through a block and, between their rounds, write the schedules of `blocks`.

    Both tuples hold addresses. `rounds`: the chains' states before and after, the schedules, and
    each chain's offset in the schedules. `expansion`: where the new schedules go; where the block's
    text would be without a prefix; for each schedule, the bytes of its prefix and the address of
    its overlay; and for each schedule, the message's length in bits, or zero before the last block.
    """
    n, m = chains.literal_value, blocks.literal_value

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        addresses = [
            address for packed in arguments[2:] for address in cgutils.unpack_tuple(builder, packed)
        ]
        outlined(builder, addresses, lambda inner, *inside: _emit_step(inner, n, m, *inside))
        return context.get_dummy_value()

    return types.void(chains, blocks, rounds, expansion), emit


def _emit_step(
    builder: Any,
    n: int,
    m: int,
    before: Any,
    after: Any,
    schedules: Any,
    slots: Any,
    into: Any,
    text: Any,
    leaders: Any,
    bits: Any,
) -> None:
    mine = [builder.add(schedules, load(builder, slots, 8 * c, I64)) for c in range(n)]
    abef = [load(builder, before, 32 * c, _X4) for c in range(n)]
    cdgh = [load(builder, before, 32 * c + 16, _X4) for c in range(n)]
    words = []
    for b in range(m):
        block = builder.sub(text, load(builder, leaders, 16 * b, I64))
        overlay = load(builder, leaders, 16 * b + 8, I64)
        words.append(_message(builder, block, overlay, load(builder, bits, 8 * b, I64)))
    for step in range(16):
        for c in range(n):
            cdgh[c] = _rounds(builder, cdgh[c], abef[c], mine[c], 16 * step)
        for b in range(m):
            store(builder, _expand(builder, words[b], step), into, SCHEDULE * b + 16 * step)
        for c in range(n):
            abef[c] = _rounds(builder, abef[c], cdgh[c], mine[c], 16 * step + 8)
    for c in range(n):
        for offset, rounds in ((32 * c, abef[c]), (32 * c + 16, cdgh[c])):
            fed = builder.add(load(builder, before, offset, _X4), rounds)
            store(builder, fed, after, offset)


def _rounds(builder: Any, old: Any, new: Any, schedule: Any, offset: int) -> Any:
    """Do two rounds. Their words are loaded straight into the register that the instruction reads.

    Four words loaded together would have to be moved to that register, and the upper two shuffled.
    """
    words = load(builder, schedule, offset, I64)
    pair = builder.bitcast(builder.insert_element(constant([0, 0], I64), words, I32(0)), _X4)
    return call(builder, "llvm.x86.sha256rnds2", old, new, pair)


def _pick(builder: Any, low: Any, high: Any, lanes: Sequence[int]) -> Any:
    return builder.shuffle_vector(low, high, constant(lanes))


def _message(builder: Any, block: Any, overlay: Any, bits: Any) -> list[Any]:
    """Return a block's sixteen words: its bytes ORed with a prefix and the message's length."""
    words = []
    for i in range(4):
        raw = load(builder, block, 16 * i, _X16)
        swapped = _pick(builder, raw, raw, [4 * (i // 4) + 3 - i % 4 for i in range(16)])
        prefix = load(builder, overlay, 16 * i, _X4)
        words.append(builder.or_(builder.bitcast(swapped, _X4), prefix))
    halves = builder.insert_element(constant([0, 0], I64), bits, I32(1))
    length = builder.bitcast(halves, _X4)
    words[3] = builder.or_(words[3], _pick(builder, length, length, (0, 1, 3, 2)))
    return words


def _expand(builder: Any, words: list[Any], step: int) -> Any:
    """Return four words of the schedule plus constants; append the four that follow from them."""
    if step < 12:
        first, second, third, fourth = words[step : step + 4]
        between = _pick(builder, third, fourth, (1, 2, 3, 4))
        mixed = builder.add(call(builder, "llvm.x86.sha256msg1", first, second), between)
        words.append(call(builder, "llvm.x86.sha256msg2", mixed, fourth))
    return builder.add(words[step], constant(ROUND_CONSTANTS[4 * step : 4 * step + 4]))


@intrinsic
def _weight(typing: Any, state: Any) -> Any:
    """Sum bytes 0, 5, 13, 21 and 29 of a final state."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        zero = constant([0] * 16, I8)
        total = constant([0, 0], I64)
        # F E B A: byte 0 is the highest of A, and 5 and 21 are the second of B and F.
        # H G D C: 13 and 29 are the second of D and H.
        for offset, mask in (
            (0, (0xFF0000, 0, 0xFF0000, 0xFF000000)),
            (16, (0xFF0000, 0, 0xFF0000, 0)),
        ):
            kept = builder.and_(load(builder, arguments[0], offset, _X4), constant(mask))
            sums = call(
                builder,
                "llvm.x86.sse2.psad.bw",
                builder.bitcast(kept, _X16),
                zero,
                returns=total.type,
            )
            total = builder.add(total, sums)
        halves = [builder.extract_element(total, I32(i)) for i in (0, 1)]
        return builder.trunc(builder.add(*halves), I32)

    return types.int32(types.uint64), emit


# --- all texts ------------------------------------------------------------------------------------


@inlined
def _dispatch(chains: int, blocks: int, rounds: Any, expansion: Any) -> None:
    """Call the step compiled for these numbers; if no chains are pending, only write schedules."""
    if chains == 5:
        if blocks == 1:
            _step(5, 1, rounds, expansion)
        elif blocks == 2:
            _step(5, 2, rounds, expansion)
        elif blocks == 3:
            _step(5, 3, rounds, expansion)
        elif blocks == 4:
            _step(5, 4, rounds, expansion)
        else:
            _step(5, 5, rounds, expansion)
    elif chains == 4:
        if blocks == 1:
            _step(4, 1, rounds, expansion)
        elif blocks == 2:
            _step(4, 2, rounds, expansion)
        elif blocks == 3:
            _step(4, 3, rounds, expansion)
        elif blocks == 4:
            _step(4, 4, rounds, expansion)
        else:
            _step(4, 5, rounds, expansion)
    else:
        _step(0, 5, rounds, expansion)


@inlined
def _close(leaders: Any, lengths: Any, block: int, length: int, bits: Any) -> None:
    """Write the message length in bits for each leader whose last block this is, else zero."""
    for e in range(len(leaders)):
        prefix = lengths[leaders[e]]
        ends = block + 1 == blocks_of(prefix, length)
        bits[e] = np.uint64(8 * (prefix + length) if ends else 0)


@inlined
def _collect(
    state: Any,
    at: int,
    lengths: Any,
    columns: Any,
    chains: Any,
    text: Any,
    weights: Any,
    digests: Any,
) -> None:
    """Store the hashes of those chains of a lot whose last block this was."""
    row, block, length = text
    for chain in range(chains[0], chains[0] + chains[1]):
        if block + 1 == blocks_of(lengths[chain], length):
            column = columns[chain]
            if column >= 0:
                weights[row, column] = _weight(at + np.uint64(32 * chain))
            elif column == DIGEST:
                for word in range(8):
                    value = state[8 * chain + _PLACE[word]]
                    for byte in range(4):
                        shifted = value >> np.uint32(24 - 8 * byte)
                        digests[row, 4 * word + byte] = shifted & np.uint32(255)


@loop
def hash_texts(
    data_at: int, offsets: Any, plan: Any, scratch: Any, weights: Any, digests: Any
) -> None:
    """Fill weights and digests; `kernels.cpu.sha_ni` makes plan and scratch."""
    states, _, lengths, extent, columns, lots, counts, leaders, places, slots = plan
    rows = len(offsets) - 1
    stages, schedules, state, none, bits = scratch
    stages_at = np.uint64(stages.ctypes.data)
    initial_at, state_at = np.uint64(states.ctypes.data), np.uint64(state.ctypes.data)
    schedules_at, slots_at = np.uint64(schedules.ctypes.data), np.uint64(slots.ctypes.data)
    none_at, bits_at = np.uint64(none.ctypes.data), np.uint64(bits.ctypes.data)
    places_at = np.uint64(places.ctypes.data)
    shortest, longest = extent
    # The held lot is the one whose schedules are written and whose rounds come next.
    held, held_text, held_least = (np.int64(0), np.int64(0)), (0, 0, np.int64(0)), np.int64(2)
    rounds = (state_at, state_at, schedules_at, slots_at)
    half = np.uint64(0)
    for begin in range(0, rows, AHEAD):
        end = min(begin + AHEAD, rows)
        for row in range(begin, end):
            slot = stages_at + np.uint64((row - begin) * SLOT + HEAD)
            length = offsets[row + 1] - offsets[row]
            stage(slot, data_at + np.uint64(offsets[row]), length)
        # After the last text comes an empty one, so that the held lot is finished.
        for row in range(begin, end + (1 if end == rows else 0)):
            slot = stages_at + np.uint64((row - begin) * SLOT + HEAD)
            where, tail = slot, slot
            length, inside = np.int64(0), np.int64(0)
            most, least, lot_count = np.int64(1), np.int64(1), 1
            if row < rows:
                length = offsets[row + 1] - offsets[row]
                least, most = blocks_of(shortest, length), blocks_of(longest, length)
                lot_count = len(lots) - 1
                if length > WHOLE:
                    # Blocks 1 to `inside` - 1 lie inside the text for every chain.
                    inside = (length + shortest) >> 6
                    tail = slot + np.uint64(WHOLE - length)
            for block in range(most):
                if block == 1 and inside:
                    where = data_at + np.uint64(offsets[row]) + np.uint64(64)
                elif block == inside:
                    where = tail + np.uint64(64 * block)
                for lot in range(lot_count):
                    item = 2 * lot + (1 if block else 0)
                    half ^= np.uint64(1)
                    into = schedules_at + half * np.uint64(LOT * SCHEDULE)
                    sizes = none_at
                    if block + 1 >= least:
                        sizes = bits_at
                        _close(leaders[item, : counts[item]], lengths, block, length, bits)
                    here = places_at + np.uint64(16 * LOT * item)
                    _dispatch(held[1], counts[item], rounds, (into, where, here, sizes))
                    if held_text[1] + 1 >= held_least:
                        _collect(
                            state, state_at, lengths, columns, held, held_text, weights, digests
                        )
                    held, held_least = (lots[lot], lots[lot + 1] - lots[lot]), least
                    held_text = (row, block, length)
                    after = state_at + np.uint64(32 * lots[lot])
                    before = after if block else initial_at + np.uint64(32 * lots[lot])
                    rounds = (before, after, into, slots_at + np.uint64(8 * LOT * item))
                where += np.uint64(64)
