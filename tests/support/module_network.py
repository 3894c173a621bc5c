"""An `nn.Module` as the engine's `Network`, for tests that need no program file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from workers.engine.network import Point

_NORMALISATIONS = (
    nn.modules.batchnorm._BatchNorm,
    nn.LayerNorm,
    nn.GroupNorm,
)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True)
class Spec:
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Filters:
    view: tuple[int, ...]
    dims: tuple[int, ...]


class ModuleNetwork:
    """The module's function; the module's own values are never used nor changed."""

    def __init__(self, module: nn.Module, input_names: tuple[str, ...] = ("x",)) -> None:
        self.module = module.eval()
        self.parameters = {n: _spec(p) for n, p in module.named_parameters()}
        self.buffers = {n: _spec(b) for n, b in module.named_buffers()}
        self.normalisation_parameters = frozenset(_names(module, _NORMALISATIONS))
        self.filters = {
            f"{name}.weight".lstrip("."): Filters((g, i // g, o, *kernel), (0, 2))
            for name, child in module.named_modules()
            if isinstance(child, _TRANSPOSED)
            for g, (i, o, *kernel) in [(child.groups, child.weight.shape)]
        }
        self.input_names = input_names

    def __call__(
        self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], *inputs: Tensor
    ) -> Tensor:
        out = functional_call(self.module, {**parameters, **buffers}, inputs)
        assert isinstance(out, Tensor)
        return out

    def at(
        self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor]
    ) -> Callable[..., Tensor]:
        return lambda *inputs: self(parameters, buffers, *inputs)


def _names(module: nn.Module, kinds: tuple[type[nn.Module], ...]) -> list[str]:
    return [
        f"{prefix}.{name}" if prefix else name
        for prefix, child in module.named_modules()
        if isinstance(child, kinds)
        for name, _ in child.named_parameters(recurse=False)
    ]


def _spec(tensor: Tensor) -> Spec:
    return Spec(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))


def point_of(module: nn.Module) -> Point:
    """The module's present values as a `Point`, copied."""
    return Point(
        {n: p.detach().clone() for n, p in module.named_parameters()},
        {n: b.detach().clone() for n, b in module.named_buffers()},
    )


def seeded(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """A module with random weights and, for batch norm, random running statistics."""
    torch.manual_seed(seed)
    module = make()
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(torch.randn_like(buffer) * 0.3)
        elif name.endswith("running_var"):
            buffer.copy_(torch.rand_like(buffer) + 0.5)
    return module.eval()
