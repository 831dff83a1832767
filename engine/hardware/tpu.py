"""The TPU, which JAX alone can tell of; and JAX takes it for the process that asks.

So a process of its own is asked, for a few seconds, and only where something hints at a TPU.
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

from .unavailable import Missing

DEV = Path("/dev")
NODES = ("accel[0-9]*", "vfio/[0-9]*")  # /dev/accel/ without a number is of other makers' devices
VARIABLES = ("TPU_ACCELERATOR_TYPE", "TPU_NAME", "TPU_WORKER_ID", "COLAB_TPU_1VM")
TIMEOUT = 60.0  # seconds; one that is well answers in about ten

_INSTALL = "pip install 'jax[tpu]'"
_ASK = """
import json
try:
    import jax
    found = jax.local_devices()
    try:
        memory = found[0].memory_stats()["bytes_limit"]
    except Exception:  # not every kind tells
        memory = None
    told = {"kind": found[0].device_kind, "devices": len(found), "memory": memory}
except Exception as error:
    told = {"error": " ".join(str(error).split()) or repr(error)}
print(json.dumps(told))
"""


@dataclass(frozen=True)
class Tpu:
    """The TPU of this machine, as JAX describes it."""

    kind: str  # as "TPU v5 lite", which others call v5e
    devices: int  # cores of the kinds v2 and v3, chips of later ones
    memory: int | None  # bytes a device; None where JAX does not say

    def __str__(self) -> str:
        memory = f", {self.memory / 2**30:.1f} GiB each" if self.memory else ""
        return f"{self.kind}, {self.devices} device{'s' * (self.devices != 1)}{memory}"


def find_tpu() -> Tpu | Missing:
    """Return the TPU, or why there is none to compute with.

    Where something hints at one, a process is started that asks JAX: that takes some seconds, and
    in that time no other process gets the TPU.
    """
    found = sign()
    if found is None:
        return Missing("there is no sign of a TPU in this machine")
    if find_spec("jax") is None:
        reason = f"there is a sign of a TPU ({found}), and JAX, which would know, is not installed"
        return Missing(reason, _INSTALL, there=True)
    told = _ask_jax()
    return told if isinstance(told, Missing) else Tpu(**told)


def sign() -> str | None:
    """Return what hints at a TPU: a device of the kernel's, or a variable of a cloud's."""
    for pattern in NODES:
        if node := next(iter(sorted(DEV.glob(pattern))), None):
            return str(node)
    # Colab sets COLAB_TPU_1VM in runtimes without a TPU too, to nothing.
    return next((f"{name}={os.environ[name]}" for name in VARIABLES if os.environ.get(name)), None)


def _ask_jax() -> dict[str, Any] | Missing:
    """Have another process ask JAX; return its answer, or what went wrong."""
    try:
        asked = subprocess.run(  # noqa: S603 (what is run is in this file)
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
        reason = f"JAX, asked for the TPU, did not answer within {TIMEOUT:.0f} s"
        return Missing(reason, "end what else uses the TPU, or restart the machine", there=True)
    try:
        told = dict(json.loads(asked.stdout.splitlines()[-1]))
    except (IndexError, ValueError):
        last = (asked.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return Missing(f"JAX, asked for the TPU, ended with code {asked.returncode}: {last}")
    return _meaning(told["error"]) if "error" in told else told


def _meaning(error: str) -> Missing:
    """Return what an error of JAX's means."""
    if "already in use" in error or "resource busy" in error:
        holder = re.search(r"pid (\d+)", error)
        if holder and int(holder[1]) == os.getpid():
            return Missing("this very process holds the TPU, through JAX", there=True)
        named = f" (process {holder[1]})" if holder else ""
        return Missing(
            f"another process holds the TPU{named}", "end it: it has the TPU to itself", there=True
        )
    if "libtpu" in error and "open" in error:
        return Missing("JAX is installed without its part for TPUs", _INSTALL, there=True)
    # Its advice is about a variable that we have set, not the user.
    return Missing(f"JAX finds no TPU: {error.partition(' (set JAX_PLATFORMS')[0]}")
