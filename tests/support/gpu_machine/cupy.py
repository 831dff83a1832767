"""The stand-in of `cuda_on_host`, with what benchmarks ask of a device beside what the engine uses.

Times are those of the host. A kernel that writes to an address of no allocation fails as on a
device, and so does every later call of the process.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace

_spec = spec_from_file_location(
    "cupy_of_cuda_on_host", Path(__file__).parents[1] / "cuda_on_host" / "cupy.py"
)
base = module_from_spec(_spec)
_spec.loader.exec_module(base)
globals().update({name: value for name, value in vars(base).items() if name[:1] != "_"})

__version__ = "0 (a stand-in)"

WILD = "(volatile int *)16"
"""How a kernel writes to an address of no allocation."""

HANGING = os.environ.get("PANINIFS_HANGING_SUBJECT", "")
"""Subject of `gpu.py` in which copies never end and SIGTERM is ignored, as while a device hangs."""


class Event(base.cuda.Event):
    """A point in a stream, with the time at which it was recorded."""

    def __init__(self, block=False, disable_timing=False):
        super().__init__(block, disable_timing)
        self._untimed, self._at = disable_timing, 0.0

    def record(self, stream=None):
        super().record(stream)
        self._at = time.perf_counter()


def _elapsed(begin, end):
    assert not begin._untimed, "the first event has no time"
    assert not end._untimed, "the second event has no time"
    return (end._at - begin._at) * 1e3


class Device:
    """An H100, says its driver."""

    compute_capability = "90"

    @property
    def attributes(self):
        return {"MultiProcessorCount": 132, "ClockRate": 1_980_000, "L2CacheSize": 50 << 20}

    def synchronize(self):
        base.cuda.runtime.deviceSynchronize()


class _Pool:
    """CuPy's own pool; its limit is that of the whole stand-in."""

    def free_all_blocks(self):
        pass

    def free_bytes(self):
        return 0

    def used_bytes(self):
        return base.device.taken

    def get_limit(self):
        return 0

    def set_limit(self, size):
        base.device.total = size or 1 << 50


def get_default_memory_pool():
    return _Pool()


class RawModule(base.RawModule):
    """A program that may reach where it must not."""

    def compile(self):
        if WILD not in self._code:
            super().compile()

    def get_function(self, name):
        function = _wild if WILD in self._code else super().get_function(name)

        def launch(*arguments):
            base.cuda.runtime.deviceSynchronize()  # raises what the process is left with
            function(*arguments)

        return launch


def _wild(*_):
    raise base.CUDADriverError(700)  # an illegal address


def _set(self, values, stream=None, _set=base.ndarray.set):
    if HANGING and HANGING in sys.argv:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(3600)
    _set(self, values, stream)


base.ndarray.set = _set
cuda = base.cuda
cuda.Event, cuda.Device, cuda.get_elapsed_time = Event, Device, _elapsed
cuda.alloc_pinned_memory = bytearray
cuda.set_allocator = lambda allocator: None
cuda.nvrtc = SimpleNamespace(getVersion=lambda: (0, 0))
