"""Where the repository, the tests and their data are, for tests and their helpers."""

from pathlib import Path

SUPPORT = Path(__file__).parent
TESTS = SUPPORT.parent
REPOSITORY = TESTS.parent

DATA = TESTS / "data"
GOLDEN = TESTS / "golden"
DEPLOY = REPOSITORY / "deploy"

GLOSSES = DATA / "wordnet-2000.jsonl.gz"
"""Two thousand WordNet glosses, with ids."""
PROMPTS = DATA / "panini-prompts.jsonl"
"""Prompts about grammar, in several scripts."""
PAPERS = DEPLOY / "demo" / "panini-papers.jsonl"
"""The demo corpus."""

CUDA_ON_HOST = SUPPORT / "cuda_on_host"
"""A folder for ``sys.path``: there `cupy` compiles the kernels with g++."""
FAKE_COLAB = SUPPORT / "fake_colab"
"""A folder for ``sys.path``: there `google.colab` is a Colab with a Drive in a folder."""

SHARED_CORPORA = REPOSITORY.parent / "shared" / "corpora"
"""Larger corpora beside the repository, on some machines; tests skip without them."""
