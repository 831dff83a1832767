"""The CUDA program for an inventory: macros, followed by the ``.cu`` files of this folder.

Groups, teams and midstates are computed here in plain integers; nothing touches a device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ..arithmetic import (
    ENTROPY_SHARE,
    EPSILON,
    LN2,
    LOG_SERIES,
    SQRT_HALF,
    VARIANCE_SHARE,
    prime_powers,
)
from ..chains import BLOCK, INITIAL, ROUND_CONSTANTS, Chain, chains_of
from ..reference import log

WARP = 32
"""Threads per warp."""

LARGEST = 4
"""Largest number of chains per group: more would not fit the registers beside their schedule."""

CHAIN_COST, SCHEDULE_COST = 640, 384
"""Integer ALU instructions per block, for the rounds of a chain and for a schedule."""


@dataclass(frozen=True)
class Specification:
    """What a program computes, and from which inputs."""

    dhatus: tuple[str, ...] = ()
    digest: bool = False
    primes: tuple[int, ...] = ()
    given: int = 0  # number of dhātus whose shares are an input, if they are not hashed


@dataclass(frozen=True)
class Group:
    """Chains that one thread hashes together, with one schedule after the prefix."""

    chains: tuple[Chain, ...]

    @property
    def whole(self) -> int:
        """Whole blocks of prefix."""
        return len(self.chains[0].prefix) // BLOCK

    @property
    def tail(self) -> int:
        """Bytes of prefix in the block where the text begins."""
        return len(self.chains[0].prefix) % BLOCK

    @property
    def cost(self) -> int:
        """ALU instructions per block of text."""
        return CHAIN_COST * len(self.chains) + SCHEDULE_COST


def groups_of(chains: Sequence[Chain]) -> list[Group]:
    """Group chains by prefix length, in groups of about equal sizes up to `LARGEST`.

    >>> [len(group.chains) for group in groups_of(chains_of("ABCDEFG", digest=True))]
    [1, 4, 3]
    """
    by_length: dict[int, list[Chain]] = {}
    for chain in chains:
        by_length.setdefault(len(chain.prefix), []).append(chain)
    groups = []
    for _, same in sorted(by_length.items()):
        parts = -(-len(same) // LARGEST)
        groups += [Group(tuple(part)) for part in _split(same, parts)]
    return groups


def _split(chains: Sequence[Chain], parts: int) -> list[Sequence[Chain]]:
    size, extra = divmod(len(chains), parts)
    ends = accumulate((size + (part < extra) for part in range(parts)), initial=0)
    return [chains[a:b] for a, b in pairwise(ends)]


def teams_of(groups: Sequence[Group]) -> list[list[Group]]:
    """Distribute groups over two teams of nearly equal costs, the most expensive group first.

    >>> from ...inventories import DHATUS
    >>> teams = teams_of(groups_of(chains_of(DHATUS, digest=True)))
    >>> [sum(group.cost for group in team) for team in teams]
    [3968, 3968]
    """
    teams: list[list[Group]] = [[] for _ in groups[:2]]
    for group in sorted(groups, key=lambda group: group.cost, reverse=True):
        min(teams, key=lambda team: sum(member.cost for member in team)).append(group)
    return teams


@cache
def threads_per_text(wanted: Specification) -> int:
    """Return the number of threads per text: one per team."""
    return len(teams_of(groups_of(chains_of(wanted.dhatus, digest=wanted.digest))))


@cache
def source_of(specification: Specification) -> str:
    """Return the whole program in CUDA C++."""
    beside = Path(__file__).parent
    parts = [f"#define {name} {value}" for name, value in _macros(specification).items()]
    names = ["sha256.cu", "moments.cu", "texts.cu"]
    parts += [(beside / name).read_text(encoding="utf-8") for name in names]
    return "\n".join(parts)


def _macros(wanted: Specification) -> dict[str, Any]:
    chains = chains_of(wanted.dhatus, digest=wanted.digest)
    teams = teams_of(groups_of(chains))
    ordered = [chain for team in teams for group in team for chain in group.chains]
    macros: dict[str, Any] = {
        "HASHES": len(ordered),
        "DHATUS": wanted.given or len(wanted.dhatus),
        "PRIMES": len(wanted.primes),
        "TEAMS": len(teams),
        "TEAM_WORK": _work_of(teams),
        "ROUND_WORDS": _list(ROUND_CONSTANTS),
        "COLUMNS": _list([chain.column for chain in ordered]),
        "START_WORDS": _list([_start(chain.prefix) for chain in ordered]),
        "ENTERED_WORDS": _list([_entered(chain.prefix) for chain in ordered]),
        "HEAD_WORDS": _list([_head(chain.prefix) for chain in ordered]),
    }
    if m := len(wanted.primes):
        macros |= {
            "LN2": LN2.hex(),
            "SQRT_HALF": SQRT_HALF.hex(),
            "SERIES_LENGTH": len(LOG_SERIES),
            "SERIES_TERMS": _list(LOG_SERIES),
            "EPSILON": EPSILON.hex(),
            "ENTROPY_SHARE": ENTROPY_SHARE.hex(),
            "VARIANCE_SHARE": VARIANCE_SHARE.hex(),
            "LOG_COUNT": float(log(np.array([float(m)]))[0]).hex(),
            "SPREAD_SCALE": (m * m / (m - 1)).hex(),
            "FACTORS": _list(prime_powers(macros["DHATUS"], wanted.primes)),
        }
    return macros


def _work_of(teams: Sequence[Sequence[Group]]) -> str:
    """Return the body of `work_of`, in which each team hashes its groups one after another."""
    first = 0
    branches = []
    for number, team in enumerate(teams):
        calls = []
        for group in team:
            shape = f"{len(group.chains)}, {first}, {group.whole}, {group.tail}"
            calls.append(f"hash_group<{shape}>(text, length, one, weights, digest);")
            first += len(group.chains)
        branches.append(f"if (team == {number}) {{ {' '.join(calls)} }}")
    return " else ".join(branches)


def _list(values: Any) -> str:
    if isinstance(values, Sequence):
        return f"{{{', '.join(_list(value) for value in values)}}}"
    return values.hex() if isinstance(values, float) else f"{values}"


# --- midstates ------------------------------------------------------------------------------------


def _start(prefix: bytes) -> list[int]:
    """Return the state after the whole blocks of prefix."""
    state = [int(word) for word in INITIAL]
    for begin in range(0, len(prefix) // BLOCK * BLOCK, BLOCK):
        words = _words(prefix[begin : begin + BLOCK])
        state = [a + b & 0xFFFFFFFF for a, b in zip(state, _rounds(state, words), strict=True)]
    return state


def _entered(prefix: bytes) -> list[int]:
    """Return a to h after the rounds whose words are all prefix, in the order `round` expects."""
    words = _head(prefix)[: len(prefix) % BLOCK // 4]
    after = _rounds(_start(prefix), words)
    return [after[(position + len(words)) % 8] for position in range(8)]


def _head(prefix: bytes) -> list[int]:
    """Return the words of the block in which the text begins, with zeros for the text."""
    tail = prefix[len(prefix) // BLOCK * BLOCK :]
    return _words(tail.ljust(BLOCK, b"\0"))


def _words(block: bytes) -> list[int]:
    return [int.from_bytes(block[i : i + 4], "big") for i in range(0, BLOCK, 4)]


def _rounds(state: Sequence[int], words: Sequence[int]) -> list[int]:
    """Return a to h after one round per word, or after all 64 rounds for sixteen words."""
    w = list(words)
    for t in range(16, 64 if len(words) == 16 else 0):
        s0 = _rotated(w[t - 15], 7) ^ _rotated(w[t - 15], 18) ^ w[t - 15] >> 3
        s1 = _rotated(w[t - 2], 17) ^ _rotated(w[t - 2], 19) ^ w[t - 2] >> 10
        w.append(w[t - 16] + s0 + w[t - 7] + s1 & 0xFFFFFFFF)
    a, b, c, d, e, f, g, h = state
    for word, constant in zip(w, ROUND_CONSTANTS, strict=False):
        s1 = _rotated(e, 6) ^ _rotated(e, 11) ^ _rotated(e, 25)
        t1 = h + s1 + (e & f ^ ~e & g) + word + constant
        s0 = _rotated(a, 2) ^ _rotated(a, 13) ^ _rotated(a, 22)
        t2 = s0 + (a & b ^ a & c ^ b & c)
        h, g, f, e, d, c, b, a = g, f, e, d + t1 & 0xFFFFFFFF, c, b, a, t1 + t2 & 0xFFFFFFFF
    return [a, b, c, d, e, f, g, h]


def _rotated(x: int, n: int) -> int:
    return (x >> n | x << 32 - n) & 0xFFFFFFFF
