"""Named tensors as one flat vector, so that a move in weight space is one fused operation.

Owns offsets and views; computes nothing. Entries are aligned to 64 bytes, because vectorised
kernels on both CPU and CUDA take slower paths on tensors that start elsewhere; the gaps hold
zeros and belong to no view, so norms and inner products of whole vectors are those of the tensors.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from workers.engine.network import TensorSpec

_ALIGNMENT_BYTES = 64


@dataclass(frozen=True)
class Entry:
    """One tensor's place: `count` elements from `offset` on."""

    name: str
    shape: tuple[int, ...]
    offset: int
    count: int


@dataclass(frozen=True)
class ParameterLayout:
    """Where each named tensor lies in a flat vector of `size` elements.

    Attributes:
        entries: in the network's order.
        size: length of the vector, gaps included.
        count: number of true elements, gaps not included.
        channels_last: four-dimensional tensors are stored in that memory format.
    """

    entries: tuple[Entry, ...]
    size: int
    count: int
    channels_last: bool = False

    @classmethod
    def of(
        cls,
        specs: Mapping[str, TensorSpec],
        *,
        names: Iterable[str] | None = None,
        aligned: bool = True,
        channels_last: bool = False,
    ) -> ParameterLayout:
        """The layout of `specs`, or of those of them that `names` has."""
        step = _ALIGNMENT_BYTES // 4 if aligned else 1
        wanted = None if names is None else frozenset(names)
        entries: list[Entry] = []
        offset = 0
        for name, spec in specs.items():
            if wanted is not None and name not in wanted:
                continue
            count = math.prod(spec.shape)
            entries.append(Entry(name, tuple(spec.shape), offset, count))
            offset += -(-count // step) * step
        return cls(tuple(entries), offset, sum(entry.count for entry in entries), channels_last)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(entry.name for entry in self.entries)

    def zeros(self, dtype: torch.dtype, device: torch.device) -> Tensor:
        """A vector of zeros, shape (size,)."""
        return torch.zeros(self.size, dtype=dtype, device=device)

    def flatten(
        self, tensors: Mapping[str, Tensor], dtype: torch.dtype, device: torch.device
    ) -> Tensor:
        """Tensors by name → a vector of shape (size,). Names that the layout lacks are left out."""
        vector = self.zeros(dtype, device)
        for name, view in self.views(vector).items():
            view.copy_(tensors[name])
        return vector

    def views(self, vector: Tensor) -> dict[str, Tensor]:
        """The tensors inside `vector` (shape (size,)): writing the one changes the other.

        Differentiable: autograd and functional transforms see plain slices and reshapes.
        """
        return {entry.name: self._view(vector, entry) for entry in self.entries}

    def _view(self, vector: Tensor, entry: Entry) -> Tensor:
        flat = vector.narrow(0, entry.offset, entry.count)
        if self.channels_last and len(entry.shape) == 4:
            out, channels, height, width = entry.shape
            return flat.view(out, height, width, channels).permute(0, 3, 1, 2)
        return flat.view(entry.shape)
