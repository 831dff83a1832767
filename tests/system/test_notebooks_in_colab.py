"""The notebooks of deploy/colab, from top to bottom: in Colab, outside it, and interrupted."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from contextlib import contextmanager

import notebooks
import numpy as np
import pandas as pd
import pytest
from paths import DEPLOY, FAKE_COLAB, REPOSITORY

import paninifs as pf

FOLDER = DEPLOY / "colab"
MASTER = "paninifsresearch_master_colabpro.ipynb"
BLOCKS = "your_own_blocks.ipynb"
NSM = "nsm_greimas.ipynb"  # needs the extra embed, so tests/embed runs it
NOTEBOOKS = (MASTER, BLOCKS, NSM)
ALL_FILES = sorted(path for path in FOLDER.iterdir() if path.suffix == ".ipynb")
KEPT = {"kernelspec", "language_info"}  # of a notebook's metadata; the rest is somebody's own


def read(name):
    return notebooks.read(FOLDER / name)


def source(notebook, ident):
    (cell,) = [one for one in notebook.cells if one.id == ident]
    return cell.source


def tagged(notebook, tag):
    return [
        index for index, cell in enumerate(notebook.cells) if tag in cell.metadata.get("tags", ())
    ]


# --- as they are kept -----------------------------------------------------------------------------


def test_these_are_all_the_notebooks_that_there_are():
    kept = [
        path
        for path in REPOSITORY.rglob("*.ipynb")
        if path.relative_to(REPOSITORY).parts[0][0] != "."
    ]
    assert sorted(kept) == ALL_FILES
    assert [path.name for path in ALL_FILES] == sorted(NOTEBOOKS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_kept_without_what_a_run_leaves_in_it(name):
    notebook = read(name)
    assert set(notebook.metadata) == KEPT
    assert set(notebook.metadata.language_info) == {"name"}
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags"}
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    # Written anew it is the same, so that a change shows as a change.
    assert (FOLDER / name).read_text("utf-8") == notebooks.written(notebook) + "\n"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_badge_and_install_name_one_repository(name):
    notebook = read(name)
    (repository,) = re.findall(
        r'^REPOSITORY = "https://github\.com/([\w-]+/[\w-]+)"',
        source(notebook, "install"),
        re.MULTILINE,
    )
    badge = f"https://colab.research.google.com/github/{repository}/blob/main/deploy/colab/{name}"
    assert f"]({badge})" in source(notebook, "title")
    assert json.dumps([*notebook.cells]).count("github.com/") == 1  # in one place
    assert source(notebook, "install") == source(read(MASTER), "install")


def test_colabs_own_rapids_is_left_alone():
    install = source(read(MASTER), "install")
    assert "[gcs]" in install
    assert not re.search(r"cuda|rapids|cudf|cupy", install)


def test_the_one_line_that_resumes_is_the_one_that_began():
    notebook = read(MASTER)
    line = source(notebook, "submit")
    assert "\n" not in line
    assert f"```python\n{line}\n```" in source(notebook, "resume-text")


# --- run ------------------------------------------------------------------------------------------


def opened(name, folder, **parameters):
    """A notebook with its parameters set, and a client that runs it in a folder."""
    notebook = read(name)
    for index in tagged(notebook, "parameters"):
        cell = notebook.cells[index]
        for parameter, value in parameters.items():
            cell.source, found = re.subn(
                rf"^{parameter} = .*$",
                f"{parameter} = {str(value)!r}",
                cell.source,
                flags=re.MULTILINE,
            )
            assert found == 1
    return notebooks.client_of(notebook, folder)


@contextmanager
def kernel(client, colab):
    """A kernel of a machine without a GPU: Colab's, or anybody's."""
    environment = {key: value for key, value in os.environ.items() if "COLAB" not in key}
    if colab:
        environment["COLAB_RELEASE_TAG"] = "release-colab-external_of_a_test"
        environment["PYTHONPATH"] = os.pathsep.join([str(FAKE_COLAB), os.environ["PYTHONPATH"]])
    environment["PYTHONPATH"] = os.pathsep.join([environment["PYTHONPATH"], str(REPOSITORY.parent)])
    with client.setup_kernel(env=environment):
        yield


def run_cells(client, cells=None):
    for index, cell in enumerate(client.nb.cells):
        if cells is None or index in cells:
            client.execute_cell(cell, index)


def said(client):
    """Everything that the cells have printed or shown as text or HTML."""
    shown = []
    for cell in client.nb.cells:
        for output in cell.get("outputs", ()):
            assert output.output_type != "error"
            shown += [output.get("text", ""), *output.get("data", {}).values()]
    return "\n".join(map(str, shown))


def pictures(client):
    outputs = [output for cell in client.nb.cells for output in cell.get("outputs", ())]
    return sum("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.parametrize(
    "colab", [True, pytest.param(False, marks=pytest.mark.soak("the whole notebook again"))]
)
def test_the_master_notebook_comes_to_its_results(tmp_path, colab):
    drive = tmp_path / "drive"
    mirror = drive / "MyDrive" / "paninifs" / "results.zarr"
    client = opened(MASTER, tmp_path, DRIVE=drive, MIRROR=mirror)
    with kernel(client, colab):
        run_cells(client)
    text = said(client)
    assert "129 texts done, 0 quarantined" in text
    assert "finished, 129 of 129 texts" in text
    assert pictures(client) == 1
    results = pf.open_results(tmp_path / "results.zarr")
    assert results.attrs["complete"]
    links = set(re.findall(r"\bhttps?://[^\s\"<]*/paninifs\b", text))
    if colab:
        assert f"Mounted at {drive}" in text
        assert f"{mirror} is complete: True" in text
        assert pf.open_results(mirror).identical(results)
        # Printed, shown by the display, and as the run's own: one link, and it opens there.
        (link,) = links
        assert re.fullmatch(r"https://\d+-fake\.colab\.example/paninifs", link)
        assert text.count(link) >= 3
    else:
        assert "There is no Drive here" in text
        assert not drive.exists()
        assert [link.startswith("http://127.0.0.1:") for link in links] == [True]
    assert len(pd.read_csv(tmp_path / "results.csv")) == 129


def test_the_notebook_of_blocks_comes_to_its_results(tmp_path):
    client = opened(BLOCKS, tmp_path)
    with kernel(client, colab=True):
        run_cells(client)
    text = said(client)
    assert "finished, 100 of 100 texts" in text
    results = pf.open_results(tmp_path / "my_blocks.zarr").load()
    assert results.attrs["complete"]
    assert results.n_words.values.tolist() == [7] * 100
    lines = [f"{i} times a sh{'o' * (i % 9)}rt sentence of mine" for i in range(100)]
    assert results.n_chars.values.tolist() == [len(line) for line in lines]
    shares = [sum(map(line.count, "aeiou")) / len(line) for line in lines]
    np.testing.assert_array_equal(results.vowel_share, np.float32(shares))
    assert results.heaviest.values.tolist() == results.dhatu.values.argmax(axis=1).tolist()
    assert (results.letter_entropy.values > 2).all()


# --- interrupted ----------------------------------------------------------------------------------

LINES = 300_000  # 74 shards: a run of seconds


def markers(store):
    """When each shard of a store was marked done, by the marker's name."""
    return {path.name: path.stat().st_mtime_ns for path in (store / "_run/done").glob("*.json")}


def begun(folder, **parameters):
    """The notebook with, in the place of the line that began, the one that it shows to resume."""
    client = opened(MASTER, folder, **parameters)
    shown = source(client.nb, "resume-text").split("```python\n")[1].split("\n```")[0]
    (submit,) = tagged(client.nb, "submit")
    client.nb.cells[submit].source = shown
    return client, {*tagged(client.nb, "setup"), submit}


def killed(client, cells, store, shards, kill):
    """Send the run off, and kill it when a store has so many shards done."""
    with kernel(client, colab=True):
        run_cells(client, cells)
        while len(markers(store)) < shards:
            time.sleep(0.005)
        kill(client.km.provisioner.pid, signal.SIGKILL)  # a group's number is that of its first


@pytest.mark.soak("a notebook twice")
def test_an_interrupted_run_is_picked_up_by_the_one_line_that_the_notebook_shows(tmp_path):
    corpus, results = tmp_path / "corpus.txt", tmp_path / "results.zarr"
    corpus.write_text("".join(f"sentence {row} of a corpus\n" for row in range(LINES)))
    mirror = tmp_path / "drive" / "MyDrive" / "results.zarr"
    parameters = {"CORPUS": corpus, "DRIVE": tmp_path / "drive", "MIRROR": mirror}

    killed(*begun(tmp_path, **parameters), results, 3, os.kill)  # the kernel
    first = markers(results)
    killed(*begun(tmp_path, **parameters), mirror, len(first) + 3, os.killpg)  # the machine
    second = markers(results)
    assert {name: second[name] for name in first} == first  # not done again
    shutil.rmtree(results)
    saved = markers(mirror)

    client, cells = begun(tmp_path, **parameters)
    client.nb.cells[max(cells)].source += "\nprint(run.result().done)\nrun.status().rows_before"
    with kernel(client, colab=True):
        run_cells(client, cells)
    done = markers(mirror)
    assert {name: done[name] for name in saved} == saved
    assert 3 <= len(first) < len(saved) < len(done) == 74
    restored = int(client.nb.cells[max(cells)].outputs[-1].data["text/plain"])
    assert restored >= (len(saved) - 1) * 4096  # the last one is smaller
    assert f"{LINES}\n" in said(client)
    for store in (results, mirror):
        dataset = pf.open_results(store)
        assert dataset.attrs["complete"]
        assert bool(dataset.valid.all())
