"""SHA-256 in vector registers, emitted through Numba: one text per lane, one chain at a time.

It is for processors without SHA instructions. Texts are processed in order of length, so that the
lanes of a vector end together; results of a lane after its last block are discarded. The chains of
a group share the words of a block and, after the prefix, their schedule. The number of lanes is a
parameter: 16 for AVX-512 and 8 for AVX2.
"""

from __future__ import annotations

from itertools import chain as joined
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ...chains import ROUND_CONSTANTS
from ..sha256 import HEAD, SLOT, WHOLE
from .numba_compiler import inlined, loop
from .sha256 import I1, I32, I64, blocks_of, call, constant, load, outlined, stage, store

# --- vectors of lanes -----------------------------------------------------------------------------


def _splat(value: int, lanes: int) -> Any:
    return constant([value] * lanes)


def _rotated(builder: Any, value: Any, by: int) -> Any:
    lanes = value.type.count
    return call(builder, f"llvm.fshr.v{lanes}i32", value, value, _splat(by, lanes))


def _shifted(builder: Any, value: Any, by: int) -> Any:
    return builder.lshr(value, _splat(by, value.type.count))


def _xor(builder: Any, first: Any, second: Any, third: Any) -> Any:
    return builder.xor(builder.xor(first, second), third)


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """Transpose n vectors of n lanes: halves are exchanged first, then quarters, and so on."""
    rows, count, step = list(rows), len(rows), len(rows) // 2
    while step:
        low = [i if not i & step else count + i - step for i in range(count)]
        high = [i + step if not i & step else count + i for i in range(count)]
        for i in range(count):
            if not i & step:
                pair = rows[i], rows[i + step]
                rows[i] = builder.shuffle_vector(*pair, constant(low))
                rows[i + step] = builder.shuffle_vector(*pair, constant(high))
        step //= 2
    return rows


@intrinsic(prefer_literal=True)
def _gather(typing: Any, lanes: Any, blocks: Any, bits: Any, words: Any) -> Any:
    """Write the sixteen words of each lane's block to `words`, word by word.

    `blocks` holds the blocks' addresses, and `bits` the values that are ORed into their last two
    words.
    """
    n = lanes.literal_value
    vector = ir.VectorType(I32, n)

    def body(builder: Any, blocks: Any, bits: Any, words: Any) -> None:
        addresses = [load(builder, blocks, 8 * lane, I64) for lane in range(n)]
        for first in range(0, 16, n):
            rows = [load(builder, address, 4 * first, vector) for address in addresses]
            for word, column in enumerate(_transposed(builder, rows), first):
                value = call(builder, f"llvm.bswap.v{n}i32", column)
                if word >= 14:
                    value = builder.or_(value, load(builder, bits, 4 * n * (word - 14), vector))
                store(builder, value, words, 4 * n * word)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        outlined(builder, arguments[1:], body)
        return context.get_dummy_value()

    return types.void(lanes, types.uint64, types.uint64, types.uint64), emit


@intrinsic(prefer_literal=True)
def _expand(typing: Any, lanes: Any, words: Any, overlay: Any, schedule: Any) -> Any:
    """Write the 64 words of a schedule plus their constants, with the prefix at `overlay`."""
    n = lanes.literal_value
    vector = ir.VectorType(I32, n)

    def body(builder: Any, words: Any, overlay: Any, schedule: Any) -> None:
        w: list[Any] = []
        for i in range(64):
            if i < 16:
                one = builder.insert_element(
                    _splat(0, n), load(builder, overlay, 4 * i, I32), I32(0)
                )
                prefix = builder.shuffle_vector(one, one, _splat(0, n))
                w.append(builder.or_(load(builder, words, 4 * n * i, vector), prefix))
            else:
                a, b = w[i - 15], w[i - 2]
                s0 = (_rotated(builder, a, 7), _rotated(builder, a, 18), _shifted(builder, a, 3))
                s1 = (_rotated(builder, b, 17), _rotated(builder, b, 19), _shifted(builder, b, 10))
                older = builder.add(w[i - 16], _xor(builder, *s0))
                w.append(builder.add(older, builder.add(w[i - 7], _xor(builder, *s1))))
            keyed = builder.add(w[i], _splat(ROUND_CONSTANTS[i], n))
            store(builder, keyed, schedule, 4 * n * i)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        outlined(builder, arguments[1:], body)
        return context.get_dummy_value()

    return types.void(lanes, types.uint64, types.uint64, types.uint64), emit


@intrinsic(prefer_literal=True)
def _compress(typing: Any, lanes: Any, before: Any, after: Any, schedules: Any, live: Any) -> Any:
    """Take one chain per item of `schedules` through a block, in the lanes that are live."""
    n = lanes.literal_value
    vector = ir.VectorType(I32, n)

    def body(builder: Any, before: Any, after: Any, live: Any, *schedules: Any) -> None:
        states = [
            [load(builder, before, 4 * n * (8 * chain + word), vector) for word in range(8)]
            for chain in range(len(schedules))
        ]
        for i in range(64):
            for chain, schedule in enumerate(schedules):
                word = load(builder, schedule, 4 * n * i, vector)
                states[chain] = _round(builder, states[chain], word)
        mask = builder.trunc(load(builder, live, 0, vector), ir.VectorType(I1, n))
        for i, rounds in enumerate(joined.from_iterable(states)):
            start = load(builder, before, 4 * n * i, vector)
            fed = builder.select(mask, builder.add(start, rounds), start)
            store(builder, fed, after, 4 * n * i)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, before, after, packed, live = arguments
        each = [builder.extract_value(packed, i) for i in range(schedules.count)]
        outlined(builder, [before, after, live, *each], body)
        return context.get_dummy_value()

    return types.void(lanes, types.uint64, types.uint64, schedules, types.uint64), emit


def _round(builder: Any, state: list[Any], word: Any) -> list[Any]:
    a, b, c, d, e, f, g, h = state
    s1 = _xor(builder, *(_rotated(builder, e, by) for by in (6, 11, 25)))
    choice = builder.xor(g, builder.and_(e, builder.xor(f, g)))
    first = builder.add(builder.add(h, word), builder.add(s1, choice))
    s0 = _xor(builder, *(_rotated(builder, a, by) for by in (2, 13, 22)))
    # A round's second XOR equals the first of the round before, so LLVM computes it once.
    majority = builder.xor(b, builder.and_(builder.xor(a, b), builder.xor(b, c)))
    second = builder.add(s0, majority)
    return [builder.add(first, second), a, b, c, builder.add(d, first), e, f, g]


# --- all texts ------------------------------------------------------------------------------------


@inlined
def _collect(
    lanes: int, state: Any, columns: Any, rows: Any, count: int, weights: Any, digests: Any
) -> None:
    for chain in range(len(columns)):
        column, base = columns[chain], chain * 8 * lanes
        for lane in range(count):
            row = rows[lane]
            if column >= 0:
                total = state[base + lane] >> np.uint32(24)
                for word in (1, 3, 5, 7):  # bytes 5, 13, 21 and 29
                    value = state[base + word * lanes + lane]
                    total += (value >> np.uint32(16)) & np.uint32(255)
                weights[row, column] = total
            else:
                for word in range(8):
                    value = state[base + word * lanes + lane]
                    for byte in range(4):
                        shifted = value >> np.uint32(24 - 8 * byte)
                        digests[row, 4 * word + byte] = shifted & np.uint32(255)


@inlined
def _locate(
    block: int, prefix: int, texts: Any, stages_at: int, places: Any, bits: Any, live: Any
) -> None:
    """Write each lane's block: its address, the length in its padding, and whether it exists."""
    addresses, lengths = texts
    lanes = len(lengths)
    at = 64 * block - prefix
    for lane in range(lanes):
        slot = stages_at + np.uint64(lane * SLOT + HEAD)
        length = lengths[lane]
        count = blocks_of(prefix, length)
        where = slot + np.uint64(at)
        if block >= count:
            where = slot
        elif length > WHOLE and block:
            if at + 64 <= length:
                where = addresses[lane] + np.uint64(at)
            else:
                where += np.uint64(WHOLE - length)
        places[lane] = where
        live[lane] = -1 if block < count else 0
        total = np.uint64(8 * (prefix + length) if block + 1 == count else 0)
        bits[lane] = total >> np.uint64(32)
        bits[lanes + lane] = total & np.uint64(0xFFFFFFFF)


def _hash_texts(lanes: int, abreast: int) -> Any:
    vector = 4 * lanes  # bytes

    @loop
    def hash_texts(
        data_at: int,
        offsets: Any,
        order: Any,
        plan: Any,
        scratch: Any,
        weights: Any,
        digests: Any,
    ) -> None:
        overlays, lengths, columns, groups, initial = plan
        texts = len(order)
        stages, words, schedules, state, bits, live, places, addresses, sizes, rows = scratch
        stages_at = np.uint64(stages.ctypes.data)
        words_at, bits_at = np.uint64(words.ctypes.data), np.uint64(bits.ctypes.data)
        places_at, live_at = np.uint64(places.ctypes.data), np.uint64(live.ctypes.data)
        state_at, initial_at = np.uint64(state.ctypes.data), np.uint64(initial.ctypes.data)
        first_at, overlays_at = np.uint64(schedules.ctypes.data), np.uint64(overlays.ctypes.data)
        second_at = first_at + np.uint64(64 * vector)
        for begin in range(0, texts, lanes):
            longest = np.int64(0)
            for lane in range(lanes):
                row = order[min(begin + lane, texts - 1)]
                length = offsets[row + 1] - offsets[row]
                rows[lane], sizes[lane] = row, length
                addresses[lane] = data_at + np.uint64(offsets[row])
                longest = max(longest, length)
                stage(stages_at + np.uint64(lane * SLOT + HEAD), addresses[lane], length)
            for group in range(len(groups) - 1):
                prefix = lengths[groups[group]]
                for block in range(blocks_of(prefix, longest)):
                    _locate(block, prefix, (addresses, sizes), stages_at, places, bits, live)
                    _gather(lanes, places_at, bits_at, words_at)
                    if block:
                        _expand(
                            lanes, words_at, overlays_at + np.uint64(64 * len(lengths)), first_at
                        )
                    chain = groups[group]
                    while chain < groups[group + 1]:
                        after = state_at + np.uint64(8 * vector * chain)
                        before, other_at = after, first_at
                        both = abreast == 2 and chain + 1 < groups[group + 1]
                        if not block:
                            before = initial_at
                            overlay = overlays_at + np.uint64(64 * chain)
                            _expand(lanes, words_at, overlay, first_at)
                            if both:
                                other_at = second_at
                                _expand(lanes, words_at, overlay + np.uint64(64), other_at)
                        if both:
                            _compress(lanes, before, after, (first_at, other_at), live_at)
                            chain += 2
                        else:
                            _compress(lanes, before, after, (first_at,), live_at)
                            chain += 1
            count = min(lanes, texts - begin)
            _collect(lanes, state, columns, rows, count, weights, digests)

    return hash_texts


avx512 = _hash_texts(lanes=16, abreast=2)  # 32 registers: two chains keep the units busy
avx2 = _hash_texts(lanes=8, abreast=1)
