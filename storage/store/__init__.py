"""A results store: its keys, manifest, shards and lease, from the first write to the last.

Also reading one: `reader` for the engine, `dataset` for users. Nothing is computed or displayed
here. May import every other part of `storage`.
"""
