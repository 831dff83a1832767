"""A stand-in for RMM, installed but without a pool."""

from types import SimpleNamespace


class CudaMemoryResource:
    """RMM's resource where nothing was set up."""


mr = SimpleNamespace(get_current_device_resource=CudaMemoryResource)
