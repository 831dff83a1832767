"""Corpus formats, one file per format, and their table.

No other folder knows a format by name: what it needs to know is an attribute of `format.Format`.
Where the bytes come from is in `corpus`. May import `rows`, `cleaning`, `filesystems` and what is
below them.
"""
