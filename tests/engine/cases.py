"""One table of networks, data and losses that the engine's tests share, and a plain reference.

The reference is a straight loop in float64 over a module with the point's values loaded: no flat
vectors, no folding, no batches.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.support.module_network import ModuleNetwork, point_of, seeded
from workers.engine.datasets import Dataset
from workers.engine.direction import Direction
from workers.engine.losses import Loss
from workers.engine.network import Point


@dataclass(frozen=True)
class Case:
    """A network at its weights with data that fit it. `reference` maps (outputs, targets) in
    float64 to per-sample losses."""

    name: str
    module: nn.Module
    network: ModuleNetwork
    origin: Point
    dataset: Dataset
    loss: Loss
    reference: Callable[[Tensor, Tensor], Tensor]


class TwoInputs(nn.Module):
    """Adds an image's features to a table's: a network of two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.picture = nn.Linear(12, 5)
        self.norm = nn.LayerNorm(5)
        self.table = nn.Linear(3, 5)

    def forward(self, image: Tensor, table: Tensor) -> Tensor:
        out: Tensor = self.norm(self.picture(image)) + self.table(table)
        return out


class Tokens(nn.Module):
    """Token ids to class scores per position, (N, classes, positions)."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 6)
        self.head = nn.Linear(6, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.head(torch.tanh(self.embedding(tokens))).transpose(1, 2)
        return out


class SquaredError(nn.Module):
    """Returns per-sample losses itself, as a program with the loss `program` does."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2)

    def forward(self, x: Tensor, targets: Tensor) -> Tensor:
        out: Tensor = (self.linear(x) - targets).square().sum(1)
        return out


def convnet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(128, 10),
    )


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 5))


def _sequence_reference(outputs: Tensor, targets: Tensor) -> Tensor:
    values = functional.cross_entropy(outputs, targets, reduction="none", ignore_index=-100)
    counted = targets != -100
    return torch.stack([v[c].mean() for v, c in zip(values, counted, strict=True) if c.any()])


def build_cases() -> list[Case]:
    g = torch.Generator().manual_seed(7)

    def rand(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g)

    def classes(high: int, *shape: int) -> Tensor:
        return torch.randint(0, high, shape, generator=g)

    def none(name: str) -> Callable[[Tensor, Tensor], Tensor]:
        function = getattr(functional, name)
        return lambda o, t: function(o, t, reduction="none").reshape(len(o), -1).mean(1)

    ignored = classes(4, 23, 7)
    ignored[::3, 2:] = -100
    ignored[5] = -100
    labels = classes(5, 31)
    rows: list[tuple[str, Callable[[], nn.Module], tuple[Tensor, ...], Tensor, str, object]] = [
        (
            "convnet",
            convnet,
            (rand(37, 1, 8, 8),),
            classes(10, 37),
            "cross_entropy",
            none("cross_entropy"),
        ),
        ("mlp", mlp, (rand(31, 12),), labels, "cross_entropy", none("cross_entropy")),
        (
            "probabilities",
            mlp,
            (rand(20, 12),),
            rand(20, 5).softmax(1),
            "cross_entropy",
            none("cross_entropy"),
        ),
        ("mse", mlp, (rand(19, 12),), rand(19, 5), "mse", none("mse_loss")),
        ("l1", mlp, (rand(19, 12),), rand(19, 5), "l1", none("l1_loss")),
        ("huber", mlp, (rand(19, 12),), rand(19, 5) * 3, "huber", none("huber_loss")),
        (
            "binary",
            mlp,
            (rand(18, 12),),
            (rand(18, 5) > 0).float(),
            "bce_with_logits",
            none("binary_cross_entropy_with_logits"),
        ),
        (
            "nll",
            lambda: nn.Sequential(mlp(), nn.LogSoftmax(1)),
            (rand(31, 12),),
            labels,
            "nll",
            none("nll_loss"),
        ),
        (
            "two inputs",
            TwoInputs,
            (rand(26, 12), rand(26, 3)),
            classes(5, 26),
            "cross_entropy",
            none("cross_entropy"),
        ),
        ("sequence", Tokens, (classes(11, 23, 7),), ignored, "cross_entropy", _sequence_reference),
        ("program", SquaredError, (rand(14, 4),), rand(14, 2), "program", lambda o, t: o),
    ]
    names = {
        "two inputs": ("image", "table"),
        "sequence": ("tokens",),
        "program": ("x", "targets"),
    }
    cases = []
    for index, (name, make, inputs, targets, loss, reference) in enumerate(rows):
        module = seeded(make, seed=index)
        cases.append(
            Case(
                name,
                module,
                ModuleNetwork(module, names.get(name, ("x",))),
                point_of(module),
                Dataset(name, inputs, targets),
                Loss.named(loss),
                reference,  # type: ignore[arg-type]
            )
        )
    return cases


CASES = build_cases()
BY_NAME = {case.name: case for case in CASES}


def reference_losses(
    case: Case,
    x: Direction | None = None,
    alpha: float = 0.0,
    y: Direction | None = None,
    beta: float = 0.0,
    buffers: bool = False,
) -> np.ndarray:
    """Per-sample losses in float64 at θ + αx + βy, on a module that holds those very values."""
    module = copy.deepcopy(case.module).double()
    state = module.state_dict()
    for direction, step in ((x, alpha), (y, beta)):
        if direction is None:
            continue
        moved = {**direction.parameters, **(direction.buffers if buffers else {})}
        for name, tensor in moved.items():
            state[name] += step * tensor.double()
    module.load_state_dict(state)
    inputs = tuple(t.double() if t.is_floating_point() else t for t in case.dataset.inputs)
    targets = case.dataset.targets
    targets = targets.double() if targets.is_floating_point() else targets
    with torch.no_grad():
        arguments = (*inputs, targets) if case.loss.takes_targets else inputs
        losses = case.reference(module(*arguments), targets)
    out: np.ndarray = losses.numpy()
    return out
