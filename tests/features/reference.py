"""The reference folders' files, as a careful or careless caller sends them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

ROOT = Path(__file__).parent.parent / "data" / "reference"
MLP = "digits_mlp"
CONVNET = "digits_convnet"

Tensors = dict[str, NDArray[np.generic]]


@cache
def read(folder: str, name: str) -> bytes:
    """A file's bytes."""
    return (ROOT / folder / name).read_bytes()


def changed(folder: str, name: str, change: Callable[[Tensors], object]) -> bytes:
    """The same safetensors file with a change made to its tensors."""
    tensors: Tensors = dict(load(read(folder, name)))
    change(tensors)
    return save(tensors)


def packed(**tensors: NDArray[np.generic]) -> bytes:
    """A safetensors file of these tensors; `__` in a name stands for a dot."""
    return save({name.replace("__", "."): np.asarray(t) for name, t in tensors.items()})
