"""Graphs that commands are given as FILE:NAME or MODULE:NAME.

`address` says which file or module is meant, `loading` runs it, `offered` finds blocks in it, and
`options` has the options of commands. Files of users fail in many ways; `failing` says how. May
import what `cli` may.
"""
