"""Runs over dask frames: partitions are counted first and sent with the tasks, or staged as files.

`choice` decides which of the two, `count_first` counts, `partitions` has dask compute partitions
for the tasks that read them, and `stage_first` stages. May import what `run` may import.
"""
