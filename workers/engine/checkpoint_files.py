"""Checkpoints in safetensors files, read in parts: nothing is mapped, nothing is kept.

Owns the byte ranges of tensors in such files. It reads files that the service has checked; what
does not hold together is refused all the same, and nothing in a file is ever executed.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from workers.engine.errors import ParametersInvalid
from workers.engine.network import Network, TensorSpec

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}
_LARGEST_HEADER = 100 << 20


@dataclass(frozen=True)
class _Place:
    dtype: torch.dtype
    offset: int


class CheckpointFiles:
    """A `CheckpointSource` over files. Holds their headers only; each read opens, reads, closes."""

    def __init__(self, network: Network, paths: Sequence[Path]) -> None:
        """Reads the headers.

        Raises:
            ParametersInvalid: a file is no safetensors file, lacks a parameter, or has one of
                another shape or of a type that is not floating.
        """
        self._paths = tuple(paths)
        self._places = [_places(path, network) for path in self._paths]

    @property
    def count(self) -> int:
        return len(self._paths)

    def read(self, index: int, name: str, start: int, stop: int) -> Tensor:
        place = self._places[index][name]
        size = place.dtype.itemsize
        with self._paths[index].open("rb") as file:
            data = bytearray(
                os.pread(file.fileno(), (stop - start) * size, place.offset + start * size)
            )
        if len(data) != (stop - start) * size:
            raise ParametersInvalid(f"{self._paths[index].name} ends inside {name!r}")
        return torch.frombuffer(data, dtype=place.dtype)


def _places(path: Path, network: Network) -> dict[str, _Place]:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(size - 8, _LARGEST_HEADER):
            raise ParametersInvalid(f"{path.name} is no safetensors file: its header is too long")
        try:
            header = json.loads(file.read(length))
            if not isinstance(header, dict):
                raise ValueError
        except ValueError:
            raise ParametersInvalid(
                f"{path.name} is no safetensors file: its header is no JSON"
            ) from None
    # a tied tensor may come under any of its names
    tied: Mapping[str, str] = getattr(network, "tied", {})
    others = {name: other for other, name in tied.items() if other in header}
    return {
        name: _place(
            path,
            header,
            name if name in header else others.get(name, name),
            spec,
            8 + length,
            size,
        )
        for name, spec in network.parameters.items()
    }


def _place(
    path: Path, header: Mapping[str, Any], name: str, spec: TensorSpec, base: int, size: int
) -> _Place:
    entry: Any = header.get(name, {})
    try:
        dtype = _DTYPES[entry["dtype"]]
        shape = tuple(int(length) for length in entry["shape"])
        start, stop = (int(offset) for offset in entry["data_offsets"])
    except (KeyError, TypeError, ValueError):
        raise ParametersInvalid(f"{path.name} has no floating tensor {name!r}") from None
    if shape != tuple(spec.shape):
        raise ParametersInvalid(
            f"{name!r} has shape {shape} in {path.name}, the network's is {tuple(spec.shape)}"
        )
    if not (
        0 <= start <= stop <= size - base and stop - start == math.prod(shape) * dtype.itemsize
    ):
        raise ParametersInvalid(f"{path.name} places {name!r} outside the file")
    return _Place(dtype, base + start)
