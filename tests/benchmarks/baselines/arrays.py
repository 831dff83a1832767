"""What both baseline scripts share: the arrays of the store, and vectorised statistics.

The scripts are what a good engineer writes in an afternoon to win on speed alone: every core, NumPy
throughout, big chunks without compression, no checksum, no fsync, no resume. They are fixed points
to measure against and stay as they are.
"""

from __future__ import annotations

import numpy as np
import zarr

DHATUS = ("RELATE", "MODAL", "EXIST", "EVAL", "COMM", "CAUSE", "ITER", "DECIDE", "FEEL")
PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29)
FACTORS = np.array([[float(p ** (k % p)) for p in PRIMES] for k in range(len(DHATUS))])
BYTES = (0, 5, 13, 21, 29)  # of a hash, summed to a weight
CHUNK_ROWS = 131_072

ARRAYS = {
    "digest": ("uint8", (32,)),
    "dhatu": ("float32", (9,)),
    "prime_base": ("float32", (10,)),
    "variance": ("float32", ()),
    "entropy": ("float32", ()),
    "ambiguity": ("float32", ()),
    "ambiguity_normalised": ("float32", ()),
    "valid": ("bool", ()),
}


def create(path: str, rows: int, id_type: str, chunk_rows: int = CHUNK_ROWS) -> zarr.Group:
    """Create the store's arrays, uncompressed; string ids take zarr's own string type."""
    group = zarr.create_group(path, overwrite=True)
    for name, (dtype, shape) in ({"id": (id_type, ())} | ARRAYS).items():
        group.create_array(
            name,
            shape=(rows, *shape),
            chunks=(min(rows, chunk_rows), *shape),
            dtype=dtype,
            compressors=None,
        )
    return group


def from_hashes(hashes: np.ndarray) -> np.ndarray:
    """Weights [n, 9] of SHA-256 hashes uint8 [n, 9, 32]."""
    weights = hashes[:, :, BYTES[0]].astype(np.float64)
    for byte in BYTES[1:]:
        weights += hashes[:, :, byte]
    return weights


_NIBBLES = np.zeros(256, np.uint8)
_NIBBLES[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)


def from_hex(text: np.ndarray) -> np.ndarray:
    """Bytes [n, 32] of hexadecimal digits uint8 [n, 64]."""
    return (_NIBBLES[text[:, 0::2]] << 4) | _NIBBLES[text[:, 1::2]]


def weight_from_hex(text: np.ndarray) -> np.ndarray:
    """Weight [n] of SHA-256 hashes as hexadecimal digits uint8 [n, 64]: ten digits are read."""
    weight = np.zeros(len(text))
    for byte in BYTES:
        weight += (_NIBBLES[text[:, 2 * byte]] << 4) | _NIBBLES[text[:, 2 * byte + 1]]
    return weight


def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
    """Every float field from the weights [n, 9], a matrix product and a few ufuncs."""
    shares = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    base = shares.astype(np.float64) @ FACTORS
    variance = base.var(axis=1)
    q = base / (base.sum(axis=1, keepdims=True) + 1e-8)
    entropy = -(q * np.log(q + 1e-8)).sum(axis=1)
    m = len(PRIMES)
    normalised = 0.7 * entropy / np.log(m) + 0.3 * q.var(axis=1) * m * m / (m - 1)
    return {
        "dhatu": shares,
        "prime_base": base.astype(np.float32),
        "variance": variance.astype(np.float32),
        "entropy": entropy.astype(np.float32),
        "ambiguity": (0.7 * entropy + 0.3 * variance).astype(np.float32),
        "ambiguity_normalised": normalised.astype(np.float32),
    }
