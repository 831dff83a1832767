"""`memory_file`: a table as a file of a corpus, which lies in memory and travels with the run.

The file is Parquet, so that its rows are read as those of any other. It is known by the digest of
its columns (`canonical`), not of its bytes, which depend on the version of Arrow.
"""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq

from ...errors import CorpusChanged, CorpusEmpty, UsageError
from ...rows import SourceFile
from ...rows.in_memory import InMemory, held, hold
from .canonical import digest_and_size

NAME = "in-memory"
"""Name of the file within its corpus, which is the only one there."""

MOST_BYTES = 64 << 20
"""Largest size in bytes, as Parquet, of data that travel with a run."""

ROW_GROUP_ROWS = 1024
"""Rows that are decoded together, few so that slow blocks have many tasks. Stores know rows by the
number of their group: do not change."""


def memory_file(table: pa.Table, instead: str) -> SourceFile:
    """Return the file with the rows of a table.

    Its size is that of the values, not of the Parquet file, on which nothing else may depend.

    Parameters
    ----------
    instead : str
        What to advise if the data are too large.

    Raises
    ------
    CorpusEmpty
        The table has no rows.
    UsageError
        The data are too large, or have a type that cannot be stored.
    """
    if not table.num_rows:
        raise CorpusEmpty("the data have no rows, so there is nothing to run on")
    data = _parquet(table, instead)
    digest, size = digest_and_size(table)
    content = hold(digest, data)
    return SourceFile(
        url=content.url,
        name=NAME,
        size=size,
        version="",  # so that nothing is kept of the file when the corpus is gone
        format="parquet",
        compression=None,
        digest=digest,
        content=content,
    )


def _parquet(table: pa.Table, instead: str) -> bytes:
    sink = io.BytesIO()
    try:
        with pq.ParquetWriter(sink, table.schema, compression="zstd") as writer:
            for start in range(0, table.num_rows, ROW_GROUP_ROWS):
                writer.write_table(table.slice(start, ROW_GROUP_ROWS))
                if sink.tell() > MOST_BYTES:  # so what is too large is not packed to its end
                    raise UsageError(
                        f"{table.num_rows:,} rows take more than {MOST_BYTES >> 20} MiB, too much "
                        f"to travel with a run; put them where the workers can read: {instead}"
                    )
    except pa.ArrowException as error:
        raise UsageError(f"the data cannot be written as Parquet: {error}") from error
    return sink.getvalue()


def content_of(file: SourceFile) -> InMemory:
    """Return the content of a file that lies in memory.

    Raises
    ------
    CorpusChanged
        This process does not have it, or it is not what was indexed.
    """
    content = file.content if isinstance(file.content, InMemory) else held(file.url)
    again = "(corpus=paninifs.open_corpus(data), with text=, id= and keep= as they were)"
    if content is None:
        raise CorpusChanged(
            f"{file.url}: the texts lay in memory and are not in this process; give the same data "
            f"again {again}"
        )
    if file.digest is not None and content.digest != file.digest:
        raise CorpusChanged(
            f"{file.name}: these data are not the ones that were indexed {again}; a fresh run "
            "(fresh=True) takes them as they are now and discards the existing results"
        )
    return content
