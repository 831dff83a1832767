"""Notebooks for tests to read and run.

nbformat and nbclient are imported when a test needs them: to import the first takes four seconds of
processor time, for a grammar of URLs that no test looks at.
"""

from __future__ import annotations

SECONDS = 120
"""What a cell may take."""


def read(path):
    """Return the notebook in a file; it is what `nbformat.read` returns."""
    import nbformat

    return nbformat.read(path, as_version=4)


def written(notebook):
    """Return a notebook's text, once it is found to be one."""
    import nbformat

    nbformat.validate(notebook)
    return nbformat.writes(notebook)


def of_cells(sources):
    """Return a notebook with a cell of code for each source."""
    import nbformat

    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    return nbformat.v4.new_notebook(cells=cells)


def client_of(notebook, folder):
    """Return what runs a notebook's cells in a kernel, a process that works in a folder."""
    from nbclient import NotebookClient

    return NotebookClient(notebook, timeout=SECONDS, resources={"metadata": {"path": str(folder)}})
