"""A network's first linear map evaluated once for a whole plane, and combined at every cell.

x(W_θ + αW_δ + βW_η)ᵀ = xW_θᵀ + αxW_δᵀ + βxW_ηᵀ: the three products are computed once, in float32
whatever the precision of the rest, and a cell costs two multiplications and additions for each
number instead of a product of matrices. Both forms round differently, each by a few units in the
last place of the largest term.

Owns the products and their combination. Whether it is worth while and exact enough is decided
where a job is prepared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from workers.engine.datasets import Batch
from workers.engine.network import Network


class LeadingMap(Protocol):
    """xWᵀ + b, the first thing that a network does, and the network without it."""

    @property
    def weight(self) -> str: ...
    @property
    def bias(self) -> str | None: ...
    def argument(
        self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], *inputs: Tensor
    ) -> Tensor:
        """x for a batch of inputs."""
        ...

    def rest(
        self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor]
    ) -> Callable[..., Tensor]:
        """The outputs as a function of xWᵀ + b."""
        ...


def leading_map(network: Network) -> LeadingMap | None:
    """The network's, where it knows of one that holds most of its work (attribute `leading`)."""
    found: LeadingMap | None = getattr(network, "leading", None)
    return found


class Responses:
    """xWᵀ of every batch of a data set, for each of the tensors that a cell's W is made of."""

    def __init__(
        self,
        leading: LeadingMap,
        batches: Sequence[Batch],
        parameters: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        weights: Sequence[Tensor],
    ) -> None:
        """
        Args:
            weights: W_θ, W_δ and, in a plane, W_η; shape (out, in) each, float32.
        """
        self._parts = tuple(
            tuple(torch.nn.functional.linear(x, weight) for weight in weights)
            for x in (
                leading.argument(parameters, buffers, *batch.arguments()).to(torch.float32)
                for batch in batches
            )
        )
        largest = max((parts[0] for parts in self._parts), key=len)
        self._combined = torch.empty_like(largest)

    def at(
        self, index: int, coordinates: Sequence[float], bias: Tensor | None, dtype: torch.dtype
    ) -> Tensor:
        """xWᵀ + b of one batch at a cell; memory that the next call uses again.

        Args:
            coordinates: α and, in a plane, β.
            bias: b at the cell, float32.
        """
        origin, *steps = self._parts[index]
        out = self._combined[: len(origin)]
        if bias is None:
            out.copy_(origin)
        else:
            torch.add(origin, bias, out=out)
        for coordinate, step in zip(coordinates, steps, strict=True):
            out.add_(step, alpha=coordinate)
        return out if dtype is torch.float32 else out.to(dtype)


def response_bytes(samples: int, outputs: int, axes: int) -> int:
    """Memory that the responses of so many samples take."""
    return 4 * samples * outputs * (1 + axes)
