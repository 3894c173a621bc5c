"""Trains a network by its recipe, the same way on every run."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lossatlas_gallery.images import Images
from lossatlas_gallery.recipes import Recipe

_CHUNK = 1000

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Moment:
    """The weights when so many epochs and steps were over, and the rate of the steps before."""

    epoch: int
    step: int
    rate: float
    weights: Weights


@dataclass(frozen=True)
class Score:
    """How a network does in evaluation mode; errors are fractions.

    Attributes:
        norm: length of all parameters as one vector.
    """

    train_loss: float
    train_error: float
    test_loss: float
    test_error: float
    norm: float

    def metrics(self) -> dict[str, float]:
        """All of it, for the checkpoint."""
        return asdict(self)


def train(
    recipe: Recipe, images: Images, device: torch.device, told: Callable[[int, float], None]
) -> tuple[nn.Module, list[Moment]]:
    """The trained network, and its weights at the start, at the end and at what is kept between.

    `told` hears how many epochs are over and the last batch's loss.
    """
    network = recipe.build(images.channels, images.classes).to(device)
    inputs, classes = images.train_images.to(device), images.train_classes.to(device)
    steps = max(1, len(inputs) // recipe.batch)
    optimiser = torch.optim.SGD(
        network.parameters(),
        lr=recipe.rate,
        momentum=recipe.momentum,
        weight_decay=recipe.decay,
        nesterov=recipe.momentum > 0,
    )
    generator = torch.Generator().manual_seed(recipe.seed)
    moments = [Moment(0, 0, recipe.rate_at(0), _copied(network))]
    for epoch in range(recipe.epochs):
        network.train()
        order = torch.randperm(len(inputs), generator=generator)
        rate, loss = recipe.rate, torch.zeros(())
        for index in range(steps):
            rate = recipe.rate_at(epoch + index / steps)
            for group in optimiser.param_groups:
                group["lr"] = rate
            chosen = order[index * recipe.batch : (index + 1) * recipe.batch].to(device)
            batch = inputs[chosen]
            if recipe.augment:
                batch = _augmented(batch, generator)
            loss = F.cross_entropy(network(batch), classes[chosen])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        told(epoch + 1, loss.item())
        if recipe.keep or epoch + 1 == recipe.epochs:
            moments.append(Moment(epoch + 1, (epoch + 1) * steps, rate, _copied(network)))
    network.eval()
    return network, moments


def score(network: nn.Module, images: Images) -> Score:
    """Losses and errors as the service will measure them."""
    train_loss, train_error = _measured(network, images.train_images, images.train_classes)
    test_loss, test_error = _measured(network, images.test_images, images.test_classes)
    with torch.no_grad():
        squares = sum(float((p.double() ** 2).sum()) for p in network.parameters())
    return Score(train_loss, train_error, test_loss, test_error, math.sqrt(squares))


def _measured(network: nn.Module, images: Tensor, classes: Tensor) -> tuple[float, float]:
    network.eval()
    device = next(network.parameters()).device
    loss, wrong = 0.0, 0
    with torch.no_grad():
        for begin in range(0, len(images), _CHUNK):
            targets = classes[begin : begin + _CHUNK].to(device)
            logits = network(images[begin : begin + _CHUNK].to(device))
            loss += F.cross_entropy(logits, targets, reduction="sum").double().item()
            wrong += int((logits.argmax(1) != targets).sum())
    return loss / len(images), wrong / len(images)


def _augmented(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Each image mirrored or not, and shifted by up to four pixels."""
    count, _, height, width = batch.shape
    flips = torch.rand(count, generator=generator) < 0.5
    batch = torch.where(flips.to(batch.device)[:, None, None, None], batch.flip(3), batch)
    padded = F.pad(batch, (4, 4, 4, 4))
    shifts = torch.randint(0, 9, (2, count), generator=generator).to(batch.device)
    rows = shifts[0, :, None] + torch.arange(height, device=batch.device)
    columns = shifts[1, :, None] + torch.arange(width, device=batch.device)
    which = torch.arange(count, device=batch.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None, :]].permute(
        0, 3, 1, 2
    )


def _copied(network: nn.Module) -> Weights:
    return {name: v.detach().cpu().clone() for name, v in network.state_dict().items()}
