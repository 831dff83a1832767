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
from paninifs.graphs.kernels.cuda.source import OPTIONS, Specification, groups_of, source_of

ARCHITECTURES = (70, 75, 80, 86, 89, 90, 100, 120)
"""V100, T4, A100, A10, L4, H100 and H200, B200, RTX PRO 6000."""

CUPYS = ("-ftz=true", "--device-as-default-execution-space")
"""What CuPy adds to the options of every program."""

ROUNDS_A_TURN = 16  # of the loop that is rolled up

# By the first part of an instruction's name; whatever is in none of these counts as ALU.
MULTIPLIER = ("IMAD", "FFMA", "FMUL", "FADD")
MEMORY = ("LD", "LDG", "LDC", "LDCU", "LDL", "LDS", "ST", "STG", "STL", "STS", "ULDC", "ATOM")
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
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled(specification, architecture).cubin)
        file.flush()
        command = [_carried("nvidia-cuda-nvdisasm", "nvdisasm"), "-c", file.name]
        listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    loops = [loop for loop in _outer_loops(_instructions(listing)) if loop["TURN"]]
    sizes = sorted(
        len(group.chains)
        for group in groups_of(chains_of(specification.dhatus, digest=specification.digest))
    )
    assert len(loops) == len(sizes), f"{len(loops)} loops for {len(sizes)} groups"
    return [
        Steady(size, loop)
        for size, loop in zip(sizes, sorted(loops, key=lambda loop: loop["ALU"]), strict=True)
    ]


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
    loops = []
    for end, name in enumerate(names):
        target = re.search(r"BRA.*`\((\.L_\w+)\)", name)
        if target and labels[target[1]] < end:
            loops.append((labels[target[1]], end))
    counted = []
    for begin, end in loops:
        inner = [(a, b) for a, b in loops if begin <= a and b < end and (a, b) != (begin, end)]
        if not inner:
            continue
        pipes = _pipes(names[begin : end + 1])
        for a, b in inner:
            turn = _pipes(names[a : b + 1])
            pipes += Counter(
                {pipe: count * (64 // ROUNDS_A_TURN - 1) for pipe, count in turn.items()}
            )
        pipes["TURN"] = len(inner)
        counted.append(pipes)
    return counted


def _pipes(names: Sequence[str]) -> Counter[str]:
    return Counter(map(_pipe, names))


def _pipe(instruction: str) -> str:
    name = re.sub(r"^@!?U?P\w+\s+", "", instruction).split()[0].split(".")[0]
    if name in MULTIPLIER:
        return "multiplier"
    if name in MEMORY or name in CONTROL or name.startswith("U"):  # U: the uniform datapath
        return "other"
    return "ALU"
