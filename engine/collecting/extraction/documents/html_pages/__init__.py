"""Pages of HTML: what all extractors of main texts share, and one file per extractor.

`html_extractors` lists them by name; `html_document` decodes and parses, and reads title, language
and licence. Imports what `documents` imports, and lxml and the extractors where they are used.
"""
