"""Folders and files of the repository, the tests and their data."""

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
"""Folder for ``sys.path`` with a `cupy` that compiles the kernels with g++."""
FAKE_COLAB = SUPPORT / "fake_colab"
"""Folder for ``sys.path`` with a `google.colab` whose Drive is a local folder."""

SHARED_CORPORA = REPOSITORY.parent / "shared" / "corpora"
"""Larger corpora beside the repository, present on some machines only."""
