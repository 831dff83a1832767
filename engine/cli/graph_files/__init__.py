"""Graphs that commands are given as FILE:NAME or MODULE:NAME.

`address` finds the file or module, `loading` runs it, `offered` finds blocks in it, and `options`
has the options of commands. `failing` reports errors in users' files. May import what `cli` may.
"""
