"""The real pynvml with a fake driver that has one H100, whose clock, power and use are known."""

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from types import SimpleNamespace

HERE = str(Path(__file__).parent)
_spec = PathFinder.find_spec("pynvml", [path for path in sys.path if path != HERE])
_real, _own = module_from_spec(_spec), sys.modules[__name__]
sys.modules[__name__] = _real  # it makes classes of errors in the module of its name
_spec.loader.exec_module(_real)
sys.modules[__name__] = _own
globals().update({name: value for name, value in vars(_real).items() if name[:4] != "nvml"})

from fake_nvml import H100, FakeNvml  # noqa: E402 (it imports this module)

_driver = FakeNvml((H100,))
_names = {*dir(FakeNvml), *vars(_driver)}  # `dir` of a module leaves out those of its class
globals().update({name: getattr(_driver, name) for name in _names if name[:4] == "nvml"})


def nvmlDeviceGetMemoryInfo(device):  # noqa: N802 (NVML's own name; distributed wants `used`)
    found = _driver.nvmlDeviceGetMemoryInfo(device)
    return SimpleNamespace(total=found.total, free=found.free, used=found.total - found.free)


def nvmlDeviceGetUtilizationRates(device):  # noqa: N802
    return SimpleNamespace(gpu=3, memory=1)


def nvmlDeviceGetClockInfo(device, what):  # noqa: N802
    return 1980


def nvmlDeviceGetPowerUsage(device):  # noqa: N802
    return 300_000
