"""The MinHash block: signatures from which the similarity of two texts is estimated."""

from __future__ import annotations

from ...storage.errors import GraphError
from ...storage.field import Field
from ..block import TEXT, MapBlock
from ..kernels.shingles import KINDS, LONGEST

SIGNATURE = "minhash"
"""Name of the block and of its field."""

MOST_PERMUTATIONS = 4096

_SIZES = {"words": 3, "characters": 5}


def minhash(
    permutations: int = 128, shingles: str = "words", size: int | None = None, seed: int = 1
) -> MapBlock:
    """Return the block that computes ``minhash``: uint32 [n, permutations].

    The share of equal values in two signatures estimates the Jaccard similarity of the sets of
    shingles of the two texts, with a standard error of at most 1 / (2 √permutations).

    A text is first brought into a normal form: A to Z become lower case, and every run of ASCII
    characters other than letters and digits becomes one space. Characters beyond ASCII count as
    letters and keep their case. A shingle is `size` consecutive words, or `size` consecutive
    characters, of this form; a shorter text is one shingle. A text without letters and digits has
    none, and its values are all 2³² − 1.

    A shingle's hash h is the finalizer of MurmurHash3 over its 32-bit MurmurHash3 (x86, seed 0).
    The value of a permutation is the minimum of (a · h + b) mod 2³² over the shingles. This is
    what ``datasketch`` 2.0 computes if its hash function is MurmurHash3, bit for bit.

    Parameters
    ----------
    permutations : int
        Values per text, 4 bytes each.
    shingles : {"words", "characters"}
        What a shingle consists of. Languages without spaces need characters.
    size : int, optional
        Words or characters per shingle, at most 32. By default 3 words or 5 characters.
    seed : int
        Seed of the permutations, at least 0 and less than 2³².

    Raises
    ------
    GraphError
        A parameter is not valid.

    Examples
    --------
    >>> from paninifs.graphs.kernels import load
    >>> from paninifs.storage.text import PackedText
    >>> texts = PackedText.from_strings(["Le mot juste, le mot.", "le mot juste le mot", "racine"])
    >>> made = load("reference").minhash(texts, **minhash().params)
    >>> made.shape, float((made[0] == made[1]).mean()), float((made[0] == made[2]).mean())
    ((3, 128), 1.0, 0.0)
    """
    if shingles not in KINDS:
        raise GraphError(f"shingles must be 'words' or 'characters', not {shingles!r}")
    size = _SIZES[shingles] if size is None else size
    count = _whole("permutations", permutations, 1, MOST_PERMUTATIONS)
    field = Field(
        SIGNATURE,
        "uint32",
        (count,),
        dims=("permutation",),
        description=f"MinHash signature of shingles of {size} {shingles}",
        compress=False,
    )
    params = {
        "permutations": count,
        "shingles": shingles,
        "size": _whole("size", size, 1, LONGEST),
        "seed": _whole("seed", seed, 0, 2**32 - 1),
    }
    return MapBlock(name=SIGNATURE, inputs=(TEXT,), fields=(field,), params=params)


def _whole(name: str, value: object, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise GraphError(f"{name} must be a whole number from {least} to {most:,}, not {value!r}")
    return value
