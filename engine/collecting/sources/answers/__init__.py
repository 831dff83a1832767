"""The answers of services, parsed and checked: from bytes to items and cursors.

One module per documented format, and two for the formats below them, XML and JSON. Nothing in this
folder sends requests: `sources` does. Missing or malformed data end in a reason of `outcome`.
Imports `listed_item` and `outcome`, and lxml where it is used.
"""
