"""A results store: its keys, manifest, shards and lease, from the first write to the last.

Stores are also read here: by `reader` for the engine, and by `dataset` for users. Nothing is
computed or displayed here. Modules here may import every other part of `storage`.
"""
