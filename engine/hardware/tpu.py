"""The TPU. Only JAX can describe it, and JAX occupies it for the process that queries it.

Therefore a separate process queries JAX, for a few seconds, and only if there are signs of a TPU.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .unavailable import Unavailable

DEV = Path("/dev")
NODES = (
    "accel[0-9]*",
    "vfio/[0-9]*",
)  # /dev/accel/ without a number belongs to devices of other makers
VARIABLES = ("TPU_ACCELERATOR_TYPE", "TPU_NAME", "TPU_WORKER_ID", "COLAB_TPU_1VM")
TIMEOUT = 60.0  # seconds; a healthy TPU answers in about ten

_INSTALL = "pip install 'jax[tpu]'"
_ASK = """
import json
try:
    import jax
    found = jax.local_devices()
    try:
        memory = found[0].memory_stats()["bytes_limit"]
    except Exception:  # not every kind reports it
        memory = None
    answer = {"kind": found[0].device_kind, "devices": len(found), "memory": memory}
except Exception as error:
    answer = {"error": " ".join(str(error).split()) or repr(error)}
print(json.dumps(answer))
"""


@dataclass(frozen=True)
class Tpu:
    """The TPU of this machine, as JAX describes it."""

    kind: str  # such as "TPU v5 lite", commonly called v5e
    devices: int  # cores for v2 and v3, chips for later kinds
    memory: int | None  # bytes per device; None if JAX does not report it

    def __str__(self) -> str:
        memory = f", {self.memory / 2**30:.1f} GiB each" if self.memory else ""
        return f"{self.kind}, {self.devices} device{'s' * (self.devices != 1)}{memory}"


def find_tpu() -> Tpu | Unavailable:
    """Return the TPU, or why none can be used.

    If there are signs of a TPU, JAX is queried in a separate process. That takes a few seconds,
    during which no other process can use the TPU.
    """
    sign = sign_of_tpu()
    if sign is None:
        return Unavailable("there is no sign of a TPU in this machine")
    if find_spec("jax") is None:
        reason = (
            f"there is a sign of a TPU ({sign}), but JAX, which can confirm it, is not installed"
        )
        return Unavailable(reason, _INSTALL, there=True)
    answer = _ask_jax()
    return answer if isinstance(answer, Unavailable) else Tpu(**answer)


def sign_of_tpu() -> str | None:
    """Return a sign of a TPU: a device file, or an environment variable that a cloud sets."""
    for pattern in NODES:
        if node := next(iter(sorted(DEV.glob(pattern))), None):
            return str(node)
    # Colab also sets COLAB_TPU_1VM in runtimes without a TPU, to the empty string.
    return next((f"{name}={os.environ[name]}" for name in VARIABLES if os.environ.get(name)), None)


def _ask_jax() -> dict[str, Any] | Unavailable:
    """Query JAX in a separate process; return its answer, or why there is none."""
    try:
        ended = subprocess.run(  # noqa: S603 (the program is in this file)
            [sys.executable, "-P", "-c", _ASK],
            env={**os.environ, "JAX_PLATFORMS": "tpu"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        reason = f"JAX, queried for the TPU, did not answer within {TIMEOUT:.0f} s"
        return Unavailable(
            reason, "end other processes that use the TPU, or restart the machine", there=True
        )
    try:
        answer = dict(json.loads(ended.stdout.splitlines()[-1]))
    except (IndexError, ValueError):
        last = (ended.stderr.strip().splitlines() or ["no output"])[-1]
        return Unavailable(f"JAX, queried for the TPU, exited with code {ended.returncode}: {last}")
    return _explain(answer["error"]) if "error" in answer else answer


def _explain(error: str) -> Unavailable:
    """Return an explanation of an error of JAX."""
    if "already in use" in error or "resource busy" in error:
        holder = re.search(r"pid (\d+)", error)
        if holder and int(holder[1]) == os.getpid():
            return Unavailable("this process itself holds the TPU, through JAX", there=True)
        named = f" (process {holder[1]})" if holder else ""
        return Unavailable(
            f"another process holds the TPU{named}",
            "end that process: a TPU cannot be shared",
            there=True,
        )
    if "libtpu" in error and "open" in error:
        return Unavailable("JAX is installed without TPU support", _INSTALL, there=True)
    # JAX's advice is about a variable that was set here, not by the user.
    return Unavailable(f"JAX finds no TPU: {error.partition(' (set JAX_PLATFORMS')[0]}")
