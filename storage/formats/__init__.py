"""Corpus formats, one file per format, and their table.

No other folder refers to a format by name: everything that it needs is an attribute of
`format.Format`. Where the bytes come from is in `corpus`. Modules here may import `rows`,
`cleaning`, `filesystems` and what is below them.
"""
