"""The notebook of the NSM–Greimas experiments, from top to bottom, in a fake Colab and outside."""

from __future__ import annotations

import os
import re

import notebooks
import pytest
from paths import DEPLOY, FAKE_COLAB, REPOSITORY

NOTEBOOK = DEPLOY / "colab" / "nsm_greimas.ipynb"


@pytest.mark.parametrize(
    "colab", [True, pytest.param(False, marks=pytest.mark.soak("the whole notebook again"))]
)
def test_the_notebook_of_experiments_comes_to_its_page(tmp_path, colab):
    notebook = notebooks.read(NOTEBOOK)
    (parameters,) = [one for one in notebook.cells if one.id == "parameters"]
    # The models of the hub are not within reach: only the baselines.
    parameters.source, found = re.subn(r"(?m)^MODELS = .*$", 'MODELS = ""', parameters.source)
    assert found == 1
    parameters.source = parameters.source.replace('"fr, fr-accents"', '"fr"')
    client = notebooks.client_of(notebook, tmp_path)
    environment = {key: value for key, value in os.environ.items() if "COLAB" not in key}
    places = [str(REPOSITORY.parent), environment["PYTHONPATH"]]
    if colab:
        environment["COLAB_RELEASE_TAG"] = "release-colab-external_of_a_test"
        places.insert(0, str(FAKE_COLAB))
    environment["PYTHONPATH"] = os.pathsep.join(places)
    with client.setup_kernel(env=environment):
        for index, cell in enumerate(client.nb.cells):
            client.execute_cell(cell, index)
    shown = [
        str(part)
        for cell in client.nb.cells
        for output in cell.get("outputs", ())
        for part in [output.get("text", ""), *output.get("data", {}).values()]
    ]
    text = "\n".join(shown)
    assert "- No model was given." in text
    assert "<iframe" in text
    assert re.search(r"PENSER\s+-?0\.\d", text)
    assert not re.search(r"pip|Successfully installed", text)
    assert (tmp_path / "nsm-report.html").exists()
    assert (tmp_path / "nsm-report.zarr").is_dir()
