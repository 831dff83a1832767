"""Corpus collection: items of a source are listed, fetched, turned into text, and written as parts.

A source (`source`, and the folder `sources`) lists items in a fixed order. `web` requests them from
servers, within the limits of each host, and `extraction` turns documents into text, in processes
that may crash. `ledger` records what was listed, fetched and decided, so that a killed collection
resumes at the next item; `parts` writes the rows, in listing order, as Parquet files that runs read
as a corpus, and `data_card` describes them. `collector` joins these, and `collect` is the public
function. Which rows are kept, and in which order, does not depend on the number of connections or
on timing.
May import `cluster`'s siblings below `run`: `monitoring`, `costs`, `rendering`, and `storage`; only
commands import it.
"""
