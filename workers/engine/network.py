"""What the engine asks of a network: a pure function of its parameters, buffers and inputs.

Owns the protocol and the checks of tensors against it. Knows no program format and no module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import torch
from torch import Tensor

from workers.engine.errors import ParametersInvalid

#: Names that a refusal lists.
_SHOWN: Final = 5


class TensorSpec(Protocol):
    """Shape and element type of one named tensor; `dtype` as in "float32", "int64"."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> str: ...


class Filters(Protocol):
    """A tensor seen as `view` (row-major, as many elements): a filter for each index of `dims`."""

    @property
    def view(self) -> tuple[int, ...]: ...
    @property
    def dims(self) -> tuple[int, ...]: ...


class Network(Protocol):
    """A network as values in, values out.

    Attributes:
        parameters: trainable tensors by name, in the program's order.
        buffers: other state by name (running statistics, masks).
        normalisation_parameters: names of gains and biases of batch, layer or group norm.
        filters: by name, the weights that one output channel depends on, of those parameters where
            each index of dimension 0 is not one (transposed convolutions, weights stored as
            [in, out]).
        input_names: one per input, in call order.
    """

    @property
    def parameters(self) -> Mapping[str, TensorSpec]: ...
    @property
    def buffers(self) -> Mapping[str, TensorSpec]: ...
    @property
    def normalisation_parameters(self) -> frozenset[str]: ...
    @property
    def filters(self) -> Mapping[str, Filters]: ...
    @property
    def input_names(self) -> tuple[str, ...]: ...

    def __call__(
        self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], *inputs: Tensor
    ) -> Tensor:
        """The outputs, first dimension = samples; differentiable, and free of side effects."""
        ...

    def at(
        self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor]
    ) -> Callable[..., Tensor]:
        """Inference at one point: what depends on the point alone is computed once."""
        ...


@dataclass(frozen=True)
class Point:
    """A point in weight space: parameters by name and the buffers that belong to it."""

    parameters: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor]


def check_point(network: Network, point: Point) -> Point:
    """The same point with its tensors in the network's order.

    Raises:
        ParametersInvalid: a tensor is missing, unknown, or has another shape than the network's.
    """
    return Point(
        _ordered(network.parameters, point.parameters, "parameter"),
        _ordered(network.buffers, point.buffers, "buffer"),
    )


def split_point(network: Network, tensors: Mapping[str, Tensor]) -> Point:
    """Parameters and buffers told apart in one flat mapping, as a checkpoint file holds them.

    A missing `num_batches_tracked` counts as 0: it plays no part in evaluation mode.

    A tied tensor may come under any of its names, or under several if they agree.

    Raises:
        ParametersInvalid: a tensor is missing, unknown, or has another shape than the network's;
            or tied tensors differ.
    """
    tensors = _untied(network, tensors)
    unknown = [n for n in tensors if n not in network.parameters and n not in network.buffers]
    if unknown:
        raise ParametersInvalid(f"the network has no tensor named {_some(unknown)}")
    buffers = {n: t for n, t in tensors.items() if n in network.buffers}
    for name, spec in network.buffers.items():
        if name.rpartition(".")[2] == "num_batches_tracked" and name not in buffers:
            buffers[name] = torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype))
    return check_point(
        network, Point({n: t for n, t in tensors.items() if n in network.parameters}, buffers)
    )


def _untied(network: Network, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The tensors under the names that the network keeps (its attribute `tied`, if it has one)."""
    tied: Mapping[str, str] = getattr(network, "tied", {})
    found = {name: tensor for name, tensor in tensors.items() if name not in tied}
    for other, name in tied.items():
        if other in tensors and not torch.equal(
            found.setdefault(name, tensors[other]), tensors[other]
        ):
            raise ParametersInvalid(
                f"{other!r} and {name!r} are one tensor in the program and differ in the weights"
            )
    return found


def variance_buffers(network: Network) -> frozenset[str]:
    """Names of the buffers that are variances, which must not go below zero.

    A network may know them by where they enter its operators (attribute `variance_buffers`);
    otherwise the name decides, as PyTorch's batch norm gives it.
    """
    known = getattr(network, "variance_buffers", None)
    if known is not None:
        return frozenset(known)
    return frozenset(n for n in network.buffers if n.rpartition(".")[2] == "running_var")


def is_floating(spec: TensorSpec) -> bool:
    """Whether a tensor of this spec holds real numbers, and so can be moved along a direction."""
    dtype = getattr(torch, spec.dtype)
    return isinstance(dtype, torch.dtype) and dtype.is_floating_point


def _ordered(
    specs: Mapping[str, TensorSpec], tensors: Mapping[str, Tensor], what: str
) -> dict[str, Tensor]:
    missing = [name for name in specs if name not in tensors]
    extra = [name for name in tensors if name not in specs]
    if missing:
        raise ParametersInvalid(f"no {what} given for {_some(missing)}")
    if extra:
        raise ParametersInvalid(f"the network has no {what} named {_some(extra)}")
    for name, spec in specs.items():
        if tuple(tensors[name].shape) != tuple(spec.shape):
            raise ParametersInvalid(
                f"{what} {name!r} has shape {tuple(tensors[name].shape)}, "
                f"the network's is {tuple(spec.shape)}"
            )
    return {name: tensors[name] for name in specs}


def _some(names: Iterable[str]) -> str:
    every = list(names)
    shown = ", ".join(repr(name) for name in every[:_SHOWN])
    return shown if len(every) <= _SHOWN else f"{shown} and {len(every) - _SHOWN} more"
