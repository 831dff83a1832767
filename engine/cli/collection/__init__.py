"""The command ``paninifs collect``, which collects a corpus from the web or from documents.

Like the other commands it only parses options and prints results; `collect_options` parses values
such as ``export.arxiv.org=0.3``, `collect_summary` prints the summary. May import what `cli` may.
"""
