"""A results store: its keys, manifest, shards and lease, from its first write to its last.

Nothing is computed here, and nobody is shown anything. May import every other part of `storage`.
"""
