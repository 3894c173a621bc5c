"""A network small enough to know everything of: its Hessian is formed whole, in float64."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch
from torch.func import functional_call, hessian, jacrev
from torch.utils.data import DataLoader, TensorDataset

SAMPLES = 23
#: Batches of 10, 10 and 3: the last one is ragged.
BATCH = 10


@dataclass(frozen=True)
class Problem:
    """Cross entropy of 23 samples over a 4-5-3 network with tanh: 43 parameters."""

    network: torch.nn.Module
    inputs: torch.Tensor
    targets: torch.Tensor

    @property
    def loader(self) -> DataLoader[Any]:
        return DataLoader(TensorDataset(self.inputs, self.targets), batch_size=BATCH)

    def batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        yield from self.loader

    def loss(self, parameters: torch.Tensor | None = None) -> torch.Tensor:
        """Of the flat parameters given, or of the network's own."""
        if parameters is None:
            return torch.nn.functional.cross_entropy(self.network(self.inputs), self.targets)
        shaped, start = {}, 0
        for name, tensor in self.network.named_parameters():
            shaped[name] = parameters[start : start + tensor.numel()].reshape(tensor.shape)
            start += tensor.numel()
        answers = functional_call(self.network, shaped, (self.inputs,))
        return torch.nn.functional.cross_entropy(answers, self.targets)

    def hessian(self) -> torch.Tensor:
        """The whole matrix."""
        matrix = hessian(self.loss)(self.flat())
        assert isinstance(matrix, torch.Tensor)
        return matrix.detach()

    def gradient(self) -> torch.Tensor:
        found = jacrev(self.loss)(self.flat())
        assert isinstance(found, torch.Tensor)
        return found.detach()

    def flat(self) -> torch.Tensor:
        return torch.cat([p.detach().reshape(-1) for p in self.network.parameters()])


def problem(seed: int = 0, norm: bool = False) -> Problem:
    """Float64, on the CPU; `norm` adds a batch norm."""
    torch.manual_seed(seed)
    layers: list[torch.nn.Module] = [torch.nn.Linear(4, 5)]
    layers += [torch.nn.BatchNorm1d(5)] if norm else []
    network = torch.nn.Sequential(*layers, torch.nn.Tanh(), torch.nn.Linear(5, 3)).double().eval()
    inputs = torch.randn(SAMPLES, 4, dtype=torch.float64)
    # the last, short batch looks unlike the others, so that its weight matters
    inputs[2 * BATCH :] *= 3
    return Problem(network, inputs, torch.randint(0, 3, (SAMPLES,)))


def say(package: str, what: str, **numbers: Any) -> None:
    """One line of result, with the package's version."""
    shown = ", ".join(
        f"{name.replace('_', ' ')} {value:.6g}" if isinstance(value, float) else
        f"{name.replace('_', ' ')} {value}"
        for name, value in numbers.items()
    )  # fmt: skip
    print(f"{package} {version(package)}: {what}: {shown}")


def cosine(a: Any, b: Any) -> float:
    """Of two directions, given as lists of tensors."""
    dot = sum(float((x * y).sum()) for x, y in zip(a, b, strict=True))
    norms = (math.sqrt(sum(float((x * x).sum()) for x in d)) for d in (a, b))
    return dot / math.prod(norms)
