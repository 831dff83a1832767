"""Kinds of values that a field can have: in memory, on disk, and in tables of Arrow.

One file per kind, and `table` finds the kind of a declaration. Nothing here knows names, shapes or
files; `storage.field` declares arrays of these kinds, and `storage.store` writes them. Modules here
may import `storage.text` and `storage.errors`.
"""
