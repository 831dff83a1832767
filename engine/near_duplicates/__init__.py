"""Near-duplicates of a corpus: which texts are nearly equal, and which one of each cluster to keep.

`find` is the public function, `found` its result. Signatures and band keys are fields that blocks
compute in a run; here, `key_blocks` reads the keys, `key_partitions` partitions them on disk,
`buckets` groups texts with equal keys, `connecting` connects the similar ones, and `state` stores
the clusters, so that an extended store is clustered incrementally. `similar_pairs` lists pairs,
`exactness` computes exact Jaccard similarities, `kept_corpus` writes the texts that are kept, and
`temporary_folder` holds the store if the caller names none.
Modules here may import `run`, `results` and `cluster`, and everything below them.
"""
