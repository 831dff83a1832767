"""The ready-made sources, one file each, and the registry that makes them from names and options.

A source knows its API or file format, but neither the ledger nor limits nor clusters. `answers`
parses the answers of services; `bulk` reads large files. Imports `source`, `listed_item`, `outcome`
and `web`, and storage; parsers where they are used.
"""
