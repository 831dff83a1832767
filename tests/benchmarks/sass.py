"""The gauge of our GPU code without a GPU: it is compiled, and its instructions are counted.

NVRTC and nvdisasm come from PyPI; which NVRTC is pinned in the requirements, so that figures can be
compared. The bound of a hashed block is the integer ALU, which takes 64 lanes a clock and
multiprocessor; multiplications run beside it.
"""

from __future__ import annotations

import ctypes
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import files
from pathlib import Path

from paninifs.graphs.kernels.chains import chains_of
from paninifs.graphs.kernels.cuda.program import OPTIONS
from paninifs.graphs.kernels.cuda.source import Specification, groups_of, source_of

ARCHITECTURES = (70, 75, 80, 86, 89, 90, 100, 120)
"""V100, T4, A100, A10, L4, H100 and H200, B200, RTX PRO 6000."""

CUPYS = ("-ftz=true", "--device-as-default-execution-space")
"""What CuPy adds to the options of every program."""

ROUNDS_A_TURN = 16  # of the loop that is rolled up
TURNS = 64 // ROUNDS_A_TURN

# By the first part of an instruction's name; whatever is in none of these counts as ALU.
MULTIPLIER = ("IMAD", "FFMA", "FMUL", "FADD")
MEMORY = ("LD", "LDG", "LDC", "LDCU", "LDL", "LDS", "ST", "STG", "STL", "STS", "ULDC", "ATOM")
FLOAT64 = ("DADD", "DMUL", "DFMA", "DSETP", "F2F", "I2F")
CONTROL = ("BRA", "BSSY", "BSYNC", "BAR", "BREAK", "EXIT", "NOP", "WARPSYNC", "YIELD", "CALL")


@dataclass(frozen=True)
class Compiled:
    """A program for one architecture, and what the compiler says of its kernels."""

    architecture: int
    cubin: bytes
    registers: dict[str, int]  # by kernel
    spilled: dict[str, int]  # bytes, by kernel


@dataclass(frozen=True)
class Steady:
    """The loop over the blocks of a text behind its first, for one group of chains."""

    chains: int
    pipes: Counter[str]  # instructions a block of text, every branch of the loop counted

    @property
    def alu(self) -> float:
        """Instructions of the integer ALU a hashed block."""
        return self.pipes["ALU"] / self.chains


@dataclass(frozen=True, kw_only=True)
class Executed:
    """Instructions of the integer ALU that a hashed block executes, for one group of chains.

    A text's first block is hashed after the rest of the prefix, its last one with the padding. The
    digest has no prefix and thus no such first block.
    """

    chains: int
    first: float
    middle: float
    last: float


def _carried(package: str, name: str) -> Path:
    for file in files(package) or ():
        if file.name == name:
            return Path(str(file.locate()))
    raise FileNotFoundError(f"{package} has no {name}")


@cache
def _nvrtc() -> ctypes.CDLL:
    ctypes.CDLL(str(_carried("nvidia-cuda-nvrtc-cu12", "libnvrtc-builtins.so.12.9")))
    return ctypes.CDLL(str(_carried("nvidia-cuda-nvrtc-cu12", "libnvrtc.so.12")))


def compiler() -> str:
    """Return the compiler's name and version."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    _nvrtc().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    return f"NVRTC {major.value}.{minor.value}"


def compiled(specification: Specification, architecture: int) -> Compiled:
    """Compile a program as the backend does, to machine code."""
    nvrtc, program = _nvrtc(), ctypes.c_void_p()
    options = [*OPTIONS, *CUPYS, f"--gpu-architecture=sm_{architecture}", "--ptxas-options=-v"]
    given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    source = source_of(specification).encode()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), source, b"texts.cu", 0, None, None)
    failed = nvrtc.nvrtcCompileProgram(program, len(options), given)
    log = _read(program, "ProgramLog").decode()
    if failed:
        raise RuntimeError(f"sm_{architecture}: {log}")
    cubin = _read(program, "CUBIN")
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    reports = re.findall(
        r"entry function '(\w+)'.*?(\d+) bytes spill stores, (\d+) bytes spill loads"
        r".*?Used (\d+) registers",
        log,
        re.DOTALL,
    )
    return Compiled(
        architecture,
        cubin,
        {kernel: int(registers) for kernel, _, _, registers in reports},
        {kernel: int(stores) + int(loads) for kernel, stores, loads, _ in reports},
    )


def _read(program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    getattr(_nvrtc(), f"nvrtcGet{what}Size")(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    getattr(_nvrtc(), f"nvrtcGet{what}")(program, text)
    return text.raw


def steady_loops(specification: Specification, architecture: int) -> list[Steady]:
    """Return the steady loop of every group, the smallest group first."""
    listing = _disassembled(specification, architecture)
    loops = [loop for loop in _outer_loops(_instructions(listing)) if loop["TURN"]]
    sizes = _sizes(specification)
    assert len(loops) == len(sizes), f"{len(loops)} loops for {len(sizes)} groups"
    return [
        Steady(size, loop)
        for size, loop in zip(sizes, sorted(loops, key=lambda loop: loop["ALU"]), strict=True)
    ]


def executed(specification: Specification, architecture: int) -> list[Executed]:
    """Return what the blocks of a text execute, by group, the smallest group first.

    Of a branch only the side that is taken counts: the first sixteen rounds need no new words, and
    a block's words are assembled either for a whole block or for the end of a text.
    """
    names, labels = _instructions(_disassembled(specification, architecture))
    loops = _loops(names, labels)
    alone = [one for one in loops if not any(_is_within(one, other) for other in loops)]
    outer = [one for one in alone if any(_is_within(other, one) for other in loops)]
    counted, end = [], -1
    for begin, last in outer:
        inner = next(one for one in loops if _is_within(one, (begin, last)))
        heads = [one for one in alone if end < one[0] and one[1] < begin]
        (ends, wholes) = _sides(names, labels, (begin, inner[0]))
        rounds = _rounds_of(names, labels, inner)
        rest = _alu(names, begin, last) - _alu(names, *inner) + rounds
        straight = _alu(names, end + 1, begin - 1) - sum(_alu(names, *one) for one in heads)
        first = sum(_rounds_of(names, labels, one) for one in heads) + straight
        counted.append((len(heads) or 1, first if heads else rest, rest - ends, rest - wholes))
        end = last
    assert sorted(chains for chains, *_ in counted) == _sizes(specification)
    return [
        Executed(chains=chains, first=first / chains, middle=middle / chains, last=last / chains)
        for chains, first, middle, last in sorted(counted)
    ]


def float64_per_text(specification: Specification, architecture: int) -> int:
    """Count the float64 instructions of a text's statistics, with conversions, every branch."""
    names, _ = _instructions(_disassembled(specification, architecture))
    return sum(_opcode(name) in FLOAT64 for name in names)


def _sizes(specification: Specification) -> list[int]:
    groups = groups_of(chains_of(specification.dhatus, digest=specification.digest))
    return sorted(len(group.chains) for group in groups)


def _disassembled(specification: Specification, architecture: int) -> str:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled(specification, architecture).cubin)
        file.flush()
        command = [_carried("nvidia-cuda-nvdisasm", "nvdisasm"), "-c", file.name]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def weighted(loops: Iterable[Steady]) -> float:
    """Return the mean over the hashes: instructions of the ALU a hashed block."""
    loops = list(loops)
    return sum(loop.pipes["ALU"] for loop in loops) / sum(loop.chains for loop in loops)


def _instructions(listing: str) -> tuple[list[str], dict[str, int]]:
    """Return the main kernel's instructions, and the number of that behind every label."""
    section = listing.split(".text.compute_texts:", 1)[1].split("\t.section", 1)[0]
    names: list[str] = []
    labels: dict[str, int] = {}
    for line in section.splitlines():
        if label := re.match(r"(\.L_\w+):", line):
            labels[label[1]] = len(names)
        elif found := re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(.*?)\s*;", line):
            names.append(found[1])
    return names, labels


def _outer_loops(listing: tuple[list[str], dict[str, int]]) -> list[Counter[str]]:
    """Count the loops that hold a loop of rounds, which goes round four times a block."""
    names, labels = listing
    loops = _loops(names, labels)
    counted = []
    for begin, end in loops:
        inner = [(a, b) for a, b in loops if begin <= a and b < end and (a, b) != (begin, end)]
        if not inner:
            continue
        pipes = _pipes(names[begin : end + 1])
        for a, b in inner:
            turn = _pipes(names[a : b + 1])
            pipes += Counter({pipe: count * (TURNS - 1) for pipe, count in turn.items()})
        pipes["TURN"] = len(inner)
        counted.append(pipes)
    return counted


def _target(name: str) -> str | None:
    found = re.search(r"BRA.*`\((\.L_\w+)\)", name)
    return found[1] if found else None


def _loops(names: Sequence[str], labels: dict[str, int]) -> list[tuple[int, int]]:
    """Return the first and the last instruction of every loop."""
    ends = [(labels[found], end) for end, name in enumerate(names) if (found := _target(name))]
    return [(begin, end) for begin, end in ends if begin < end]


def _is_within(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one != other and other[0] <= one[0] and one[1] <= other[1]


def _rounds_of(names: Sequence[str], labels: dict[str, int], loop: tuple[int, int]) -> int:
    """Count the 64 rounds of a loop, whose first turn jumps over the next sixteen words."""
    begin, end = loop
    jump, to = next(
        (at, labels[found])
        for at in range(begin, end)
        if (found := _target(names[at])) and labels[found] > at
    )
    return TURNS * _alu(names, begin, end) - _alu(names, jump + 1, to - 1)


def _sides(names: Sequence[str], labels: dict[str, int], span: tuple[int, int]) -> tuple[int, int]:
    """Count both sides of the branch before the rounds: for the end of a text, then for a block."""
    begin, end = span
    jump, to = next(
        (at, labels[found]) for at in range(begin, end) if (found := _target(names[at]))
    )
    done = next(labels[found] for at in range(to - 1, to) if (found := _target(names[at])))
    return tuple(sorted((_alu(names, jump + 1, to - 1), _alu(names, to, done - 1)), reverse=True))


def _alu(names: Sequence[str], first: int, last: int) -> int:
    return _pipes(names[first : last + 1])["ALU"]


def _pipes(names: Sequence[str]) -> Counter[str]:
    return Counter(map(_pipe, names))


def _opcode(instruction: str) -> str:
    return re.sub(r"^@!?U?P\w+\s+", "", instruction).split()[0].split(".")[0]


def _pipe(instruction: str) -> str:
    name = _opcode(instruction)
    if name in MULTIPLIER:
        return "multiplier"
    if name in MEMORY or name in CONTROL or name.startswith("U"):  # U: the uniform datapath
        return "other"
    return "ALU"
