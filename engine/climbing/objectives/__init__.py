"""Objectives that come with the engine: models of meaning that are climbed.

`dictionary_ambiguity` decomposes concepts into atoms; `concepts` reads them, and `decompositions`
counts what is ambiguous. `signature_separation` weighs dhātus and chooses exponents of primes;
`labelled_shares` reads the texts, `group_moments` scores candidates, and `kept_out` says what a
summit is worth. `items` reads columns of any package, and `on_host` arrays of any. May import
`spaces`, `objective`, `nsm`, and what is below them.
"""
