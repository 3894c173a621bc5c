"""Tensors in and out of safetensors, the only file format a child reads weights and data in.

Owns the spelling of directions: a parameter under its own name, a buffer's part under
`buffer:<name>`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from service.domain.problems import Problem
from workers.engine.direction import Direction

BUFFER_PREFIX: Final = "buffer:"


def read(path: Path, *, code: str, what: str) -> dict[str, Tensor]:
    """Every tensor of a file, on the host.

    Raises:
        Problem: `code`, saying that `what` is no safetensors file.
    """
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load_file(path, device="cpu")
    except SafetensorError as error:
        raise Problem(code, f"{what} is not a readable safetensors file: {error}") from error
    return tensors


def read_some(path: Path, names: Collection[str], *, code: str, what: str) -> dict[str, Tensor]:
    """Those tensors of a file that are named; the others are not read.

    Raises:
        Problem: `code`, saying that `what` is no safetensors file or lacks a tensor.
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise Problem(code, f"{what} cannot be read: {error}") from error


def encode_direction(direction: Direction) -> bytes:
    """The direction's float32 safetensors."""
    tensors = {name: tensor.contiguous() for name, tensor in direction.parameters.items()}
    tensors |= {
        BUFFER_PREFIX + name: tensor.contiguous() for name, tensor in direction.buffers.items()
    }
    data: bytes = safetensors.torch.save(tensors)
    return data


def plain_names(tensors: Mapping[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
    """The tensors under `prefix`, named as the network names them, buffers included."""
    chosen = {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
    return {name.removeprefix(BUFFER_PREFIX): tensor for name, tensor in chosen.items()}
