"""Extraction of text from documents, one file per document type, in processes that may crash.

The collector calls `ExtractionPool` (`pool`). Its processes run `extraction_worker`, which calls
`extract`: it recognises the document's type (`recognition`, with the registry `document_types`),
calls the type's function in `documents`, and tidies the text (`tidying`). Nothing in a document is
executed, fetched or written to disk. Imports `outcome` and storage; parsers where they are used.
"""
