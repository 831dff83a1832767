"""One file per type of document: a function from its bytes to `Extracted`, used by the registry.

Several of them share the safe parsing of XML (`xml_trees`), the text of a tree of
markup (`markup_text`), and ZIP archives within limits (`zip_archive`). Parsers are imported where
they are used. Imports `charsets`, `compressed` and `extracted` of the folder above, and `outcome`.
"""
