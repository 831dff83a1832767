"""The conformance suite of test_kernels.py, on a device; needs the packages named below."""

from __future__ import annotations

import inspect

import pytest

for package in ("cloudpickle", "hypothesis", "locket", "numba", "platformdirs", "pyarrow"):
    pytest.importorskip(package)

import test_kernels  # noqa: E402

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def kernels():
    with test_kernels.variant("cuda") as found:
        yield found


for _name, _test in list(vars(test_kernels).items()):
    if _name.startswith("test_") and "kernels" in inspect.signature(_test).parameters:
        globals()[_name] = _test
