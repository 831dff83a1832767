"""A stand-in for dask-cuda: its cluster with worker processes that have the stand-in for CuPy."""

import distributed

FOR_DEVICES = {
    "CUDA_VISIBLE_DEVICES",
    "device_memory_limit",
    "enable_cudf_spill",
    "pre_import",
    "rmm_allocator_external_lib_list",
    "rmm_maximum_pool_size",
    "rmm_pool_size",
}


class LocalCUDACluster(distributed.LocalCluster):
    """Takes the arguments of dask-cuda's; those for devices have no effect."""

    def __init__(self, **arguments):
        assert arguments["rmm_allocator_external_lib_list"] == ["cupy"]
        assert "cudf" not in arguments["pre_import"]
        super().__init__(**{k: v for k, v in arguments.items() if k not in FOR_DEVICES})
