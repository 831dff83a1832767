"""Read, make and run notebooks.

nbformat and nbclient are imported where they are used. Importing nbformat takes four seconds of
processor time, most of it to build a grammar of URLs that no test needs.
"""

from __future__ import annotations

SECONDS = 120
"""Time limit of a cell, in seconds."""


def read(path):
    """Return the notebook in a file, as nbformat's object."""
    import nbformat

    return nbformat.read(path, as_version=4)


def written(notebook):
    """Validate a notebook and return its text."""
    import nbformat

    nbformat.validate(notebook)
    return nbformat.writes(notebook)


def of_cells(sources):
    """Return a notebook with one code cell per source."""
    import nbformat

    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    return nbformat.v4.new_notebook(cells=cells)


def client_of(notebook, folder):
    """Return a client that runs a notebook's cells in a kernel, with `folder` as its directory."""
    from nbclient import NotebookClient

    return NotebookClient(notebook, timeout=SECONDS, resources={"metadata": {"path": str(folder)}})
