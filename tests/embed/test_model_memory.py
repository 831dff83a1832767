"""The memory of models: declared before they are loaded, and side by side or in turn in a run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import save_bert

import paninifs as pf
from paninifs.engine.monitoring.events import Notice

TAKEN = """
import psutil, sys
import dask.dataframe, distributed, xarray, zarr  # what a worker has imported
import paninifs as pf
block = pf.embedding(sys.argv[1], engine=sys.argv[2])
before = psutil.Process().memory_info().rss
model = block.setup["model"]()
print(psutil.Process().memory_info().rss - before, block.setup_bytes)
"""


def within(folder, engine):
    """Return what a model takes in a new process, as a share of what its block declares."""
    ran = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", "-c", TAKEN, str(folder), engine],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stderr == ""  # loading a model says nothing
    taken, declared = map(int, ran.stdout.split()[-2:])
    return taken / declared


@pytest.mark.parametrize("engine", ["torch", "openvino", "onnx"])
def test_memory_of_a_small_model(engine, minilm):
    assert 0.7 < within(minilm, engine) < 1.3


@pytest.fixture(scope="module")
def larger(minilm, tmp_path_factory):
    """Two random models of 110 million weights, with MiniLM's tokenizer."""
    made = [tmp_path_factory.mktemp("large") / f"model{seed}" for seed in range(2)]
    for seed, folder in enumerate(made):
        shutil.copytree(minilm, folder)
        save_bert(folder, seed, hidden_size=768, num_hidden_layers=12, num_attention_heads=12)
    return made


@pytest.mark.soak("makes models of half a gigabyte")
@pytest.mark.parametrize("engine", ["torch", "openvino", "onnx"])
def test_memory_of_a_larger_model(engine, larger):
    assert 0.7 < within(larger[0], engine) < 1.3


@pytest.mark.soak("loads models of half a gigabyte")
@pytest.mark.parametrize(("memory", "in_turn"), [("4GiB", False), ("1450MiB", True)])
def test_larger_models_side_by_side_or_in_turn(
    memory, in_turn, larger, glosses, write_jsonl, tmp_path
):
    """Both take 1.1 GiB, one 0.75; the results are those of the blocks alone."""
    blocks = [
        pf.embedding(folder, engine="torch", name=f"by{number}")
        for number, folder in enumerate(larger)
    ]
    corpus = pf.open_corpus(write_jsonl(glosses[:48]))
    with pf.connect(workers=1, memory=memory, quiet=True) as client:
        run = pf.submit(
            pf.Graph(blocks), corpus, tmp_path / "out.zarr", client=client, progress=False
        )
        told = []
        run.events.subscribe(told.append)
        run.result(timeout=250)
    said = [one.text for one in told if isinstance(one, Notice) and "in turn" in one.text]
    assert len(said) == in_turn
    found = pf.open_results(tmp_path / "out.zarr")
    texts = [one["text"] for one in glosses[:48]]
    for block in blocks:
        vectors, _ = block(texts)
        assert np.array_equal(found[block.name], vectors)


def test_the_declared_memory_is_not_part_of_a_blocks_identity(minilm):
    block = pf.embedding(minilm, engine="torch")
    assert str(block.setup_bytes) not in json.dumps(block.describe())
