"""A run in a notebook: returns at once, and shows its progress without an open port."""

from __future__ import annotations

import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
from notebooks import client_of, of_cells
from paths import REPOSITORY

NOTEBOOK = """
import paninifs as pf
client = pf.connect(workers=1)
corpus = pf.open_corpus("c.txt")
# %%
from functools import cache
class Lengths:
    def of(self, text): return text.offsets[1:] - text.offsets[:-1]
@cache
def model(): return Lengths()  # a worker looks up neither in its __main__
@pf.map_block(fields=[pf.Field("n_bytes", "int32")])
def n_bytes(text): return model().of(text).astype("int32")
run = pf.submit(pf.default_graph() + n_bytes, corpus, "results.zarr", shard_rows=1)
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
    notebook = of_cells(cells)
    client_of(notebook, tmp_path).execute()
    shown = notebook.cells[1].outputs[0]
    assert shown.output_type == "display_data"
    page = shown.data["text/html"]
    assert '<progress max="2" value="2" ' in page  # replaced in place, up to the end
    assert "finished, 2 of 2 texts" in page
    assert "note: " not in page  # a small run needs none
    assert notebook.cells[3].outputs[0].data["text/plain"] == "[2, 6]"


def python_blocks(document, heading):
    """Return the blocks of Python in a section of a document."""
    page = (REPOSITORY / document).read_text("utf-8")
    section = page.split(f"{heading}\n")[1].split("\n## ")[0]
    return [part.split("```")[0] for part in section.split("```python")[1:]]


def test_documented_notebook_and_script_run(tmp_path, glosses):
    cells = python_blocks("README.md", "## In a notebook")
    [script] = python_blocks("deploy/docs/clusters.md", "### In a script")
    assert len(cells) == 2
    (tmp_path / "corpora").mkdir()
    for part in range(2):
        rows = glosses[part * 50 : (part + 1) * 50]
        columns = {"text": [row["text"] for row in rows], "id": [row["id"] for row in rows]}
        pq.write_table(pa.table(columns), tmp_path / "corpora" / f"{part}.parquet")
    (tmp_path / "sentences.jsonl").write_text('{"text": "one"}\n')
    words = 'run = pf.submit(pf.default_graph() + n_words, corpus, "words.zarr")\nrun.result().done'
    notebook = of_cells([*cells, words, "client.close()"])
    client_of(notebook, tmp_path).execute()
    assert notebook.cells[2].outputs[-1].data["text/plain"] == "100"
    (tmp_path / "script.py").write_text(script.replace("results.zarr", "script.zarr"))
    subprocess.run([sys.executable, "script.py"], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "script.zarr" / "zarr.json").exists()
