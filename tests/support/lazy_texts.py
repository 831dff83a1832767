"""Datasets as a reduction is given them: lazy, one chunk per shard."""

from __future__ import annotations

import numpy as np
import xarray as xr


def texts(n, seed=0, *, missing=0.1):
    """Return n texts with fields, kept columns with missing values, and tokens, in memory."""
    rng = np.random.default_rng(seed)
    shapes = rng.normal(size=(n, 3)) @ rng.normal(size=(3, 3)) + rng.integers(0, 3, (n, 1)) * 9
    dhatu = shapes.astype("float32")
    entropy = rng.integers(0, 40, n).astype("float32") / 8
    dhatu[rng.random((n, 3)) < missing / 3] = np.nan
    entropy[rng.random(n) < missing] = np.nan
    lang = rng.choice(["fr", "sa", "de", ""], n).astype(object)
    lang_valid = rng.random(n) >= missing
    lang[~lang_valid] = ""
    stars = rng.integers(1, 6, n)
    stars_valid = rng.random(n) >= missing
    stars[~stars_valid] = 0
    tokens = np.empty(n, object)
    for row in range(n):
        tokens[row] = rng.integers(0, 30, rng.integers(0, 9))
    return xr.Dataset(
        {
            "dhatu": (("text", "dhatu_name"), dhatu),
            "entropy": ("text", entropy),
            "n_words": ("text", rng.integers(0, 1000, n).astype("int32")),
            "far": ("text", 1e9 + rng.random(n)),
            "lang": ("text", lang),
            "lang_valid": ("text", lang_valid),
            "stars": ("text", stars),
            "stars_valid": ("text", stars_valid),
            "tokens": ("text", tokens),
        },
        {"id": ("text", np.array([f"t{row}" for row in range(n)], object)), "dhatu_name": [*"abc"]},
    )


def in_shards(dataset, *sizes):
    """Return a dataset lazily, with chunks of these sizes along ``text``."""
    return dataset.chunk(text=sizes)
