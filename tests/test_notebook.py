"""A run in a notebook: returns at once, and shows its progress without an open port."""

from __future__ import annotations

import nbformat
from nbclient import NotebookClient

NOTEBOOK = """
import paninifs as pf
client = pf.connect(workers=1)
corpus = pf.open_corpus("c.txt")
# %%
@pf.map_block(fields=[pf.Field("n_bytes", "int32")])
def n_bytes(text): return (text.offsets[1:] - text.offsets[:-1]).astype("int32")
run = pf.submit(pf.default_graph() + n_bytes, corpus, "results.zarr")
# %%
run.result()
# %%
ds = pf.open_results("results.zarr")
ds.n_bytes.values.tolist()
# %%
client.close()
"""


def test_notebook_runs_from_connect_to_dataset_with_a_live_display(tmp_path):
    (tmp_path / "c.txt").write_text("un\ndhātu\n")
    cells = NOTEBOOK.split("# %%\n")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = notebook.cells[1].outputs[0]
    assert shown.output_type == "display_data"
    page = shown.data["text/html"]
    assert '<progress max="2" value="2">' in page  # replaced in place, up to the end
    assert "finished, 2 of 2 texts" in page
    assert notebook.cells[3].outputs[0].data["text/plain"] == "[2, 6]"
