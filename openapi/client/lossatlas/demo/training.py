"""Trains a network on scikit-learn's digits, the same way on every run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

_SEED: Final = 0
_BATCH: Final = 64
_TEST: Final = 500
_RATE: Final = 0.05


@dataclass(frozen=True)
class Digits:
    """Images of shape (samples, 1, 8, 8), scaled to [-1, 1], and classes 0 to 9."""

    train_images: Tensor
    train_classes: Tensor
    test_images: Tensor
    test_classes: Tensor


@dataclass(frozen=True)
class Score:
    """How a network does in evaluation mode; accuracies are fractions."""

    train_loss: float
    test_loss: float
    test_accuracy: float


def load() -> Digits:
    """The 1797 digits, shuffled once and split."""
    found = load_digits()
    images = torch.tensor(found.images, dtype=torch.float32).unsqueeze(1) / 8 - 1
    classes = torch.tensor(found.target, dtype=torch.int64)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(_SEED))
    images, classes = images[order], classes[order]
    return Digits(images[_TEST:], classes[_TEST:], images[:_TEST], classes[:_TEST])


def initialised(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """A fresh network whose numbers depend on the seed alone."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make()


def train(
    network: nn.Module, digits: Digits, *, epochs: int, seed: int, told: Callable[[int], None]
) -> None:
    """SGD with momentum, weight decay and one cycle of the learning rate.

    `told` hears how many epochs are over.
    """
    count = len(digits.train_images) // _BATCH
    optimiser = torch.optim.SGD(
        network.parameters(), lr=_RATE, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=epochs * count)
    generator = torch.Generator().manual_seed(seed)
    network.train()
    for epoch in range(epochs):
        order = torch.randperm(len(digits.train_images), generator=generator)
        for start in range(0, count * _BATCH, _BATCH):
            batch = order[start : start + _BATCH]
            loss = F.cross_entropy(network(digits.train_images[batch]), digits.train_classes[batch])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        told(epoch + 1)
    network.eval()


def score(network: nn.Module, digits: Digits) -> Score:
    """Losses and accuracy as the service will measure them."""
    network.eval()
    with torch.no_grad():
        logits = network(digits.test_images)
        return Score(
            train_loss=F.cross_entropy(network(digits.train_images), digits.train_classes).item(),
            test_loss=F.cross_entropy(logits, digits.test_classes).item(),
            test_accuracy=(logits.argmax(1) == digits.test_classes).double().mean().item(),
        )
