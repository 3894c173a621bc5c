"""Standard Gaussian numbers that are the same on every machine, device and NumPy version.

Owns the one random source of directions and probes. A tensor's numbers depend on (seed, axis,
name, shape) and on nothing else: not on the order of the parameters, not on the other tensors,
not on the device. Philox-4x64-10 (Salmon et al., SC 2011) is a counter-based generator whose raw
words NumPy promises to keep; NumPy's own `normal` makes no such promise, so the words are turned
into Gaussians here, by the inverse of the normal distribution function.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

_DOMAIN = b"lossatlas gaussian 1"


def standard_gaussians(
    seed: int, axis: str, name: str, shape: Sequence[int]
) -> NDArray[np.float64]:
    """Independent N(0, 1) numbers of the given shape.

    Args:
        seed: any integer.
        axis: which of a job's directions or probes this is ("x", "y", "probe 3"…).
        name: the parameter's name.
        shape: its shape; another shape gives unrelated numbers.
    """
    return _gaussians(_raw_words(seed, axis, name, shape)).reshape(tuple(shape))


class GaussianStream:
    """The numbers of `standard_gaussians`, flattened row by row, some at a time."""

    def __init__(self, seed: int, axis: str, name: str, shape: Sequence[int]) -> None:
        self._bits = np.random.Philox(key=_key(seed, axis, name, shape))

    def take(self, count: int) -> NDArray[np.float64]:
        """The next `count` numbers."""
        return _gaussians(self._bits.random_raw(count))


def rademacher(seed: int, axis: str, name: str, shape: Sequence[int]) -> NDArray[np.float64]:
    """Independent signs, −1 or +1 with equal chance, of the given shape."""
    words = _raw_words(seed, axis, name, shape)
    signs = 1.0 - 2.0 * (words >> np.uint64(63)).astype(np.float64)
    return signs.reshape(tuple(shape))


def _gaussians(words: NDArray[np.uint64]) -> NDArray[np.float64]:
    # 52 bits and a half: exact in float64, never 0 and never 1, symmetric about one half.
    uniforms = ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    gaussians: NDArray[np.float64] = ndtri(uniforms)
    return gaussians


def _raw_words(seed: int, axis: str, name: str, shape: Sequence[int]) -> NDArray[np.uint64]:
    count = int(np.prod(np.asarray(shape, dtype=np.int64)))
    bits = np.random.Philox(key=_key(seed, axis, name, shape))
    words: NDArray[np.uint64] = bits.random_raw(count)
    return words


def _key(seed: int, axis: str, name: str, shape: Sequence[int]) -> int:
    """128 bits of SHA-256 over the fields, each with its length so that none runs into another."""
    digest = hashlib.sha256()
    fields = (
        _DOMAIN,
        str(int(seed)).encode(),
        axis.encode(),
        name.encode(),
        ",".join(str(int(size)) for size in shape).encode(),
    )
    for field in fields:
        digest.update(len(field).to_bytes(8, "little"))
        digest.update(field)
    return int.from_bytes(digest.digest()[:16], "little")
