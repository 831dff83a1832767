"""The later stages of a store: passes over its shards, and reductions, that follow the first pass.

Which stages a graph has is planned in `graphs`. How a shard of a pass is written is in
`store.shards`, and when its arrays are listed is decided in `store.lifecycle`. May import what
`store` may import.
"""
