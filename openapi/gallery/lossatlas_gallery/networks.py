"""The networks that are compared: residual ones with and without skips, and plain VGG-like ones."""

from __future__ import annotations

import math
from typing import Literal

import torch
from lossatlas.demo.networks import DigitsNet
from torch import Tensor, nn

Family = Literal["resnet", "vgg", "vgg-plain"]
Start = Literal["he", "naive"]

#: Standard deviation of every weight, whatever the layer's size, in a start that does not heed it.
NAIVE_DEVIATION = 0.3


class ResNet(DigitsNet):
    """6n+2 layers for images of any size and number of channels; shortcuts have no parameters."""

    def __init__(self, depth: int, width: int, *, skip: bool, channels: int, classes: int) -> None:
        super().__init__(depth, width, skip=skip)
        self.stem = nn.Conv2d(channels, width, 3, 1, 1, bias=False)
        self.head = nn.Linear(4 * width, classes)


class Vgg(nn.Module):
    """Five convolutions in three stages and two linear layers: no shortcuts.

    Args:
        norm: batch normalisation after each convolution.
    """

    def __init__(self, width: int, *, norm: bool, channels: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inside = channels
        for outside in (width, 0, 2 * width, 2 * width, 0, 4 * width, 4 * width, 0):
            if outside == 0:
                layers.append(nn.MaxPool2d(2))
                continue
            layers.append(nn.Conv2d(inside, outside, 3, 1, 1, bias=not norm))
            if norm:
                layers.append(nn.BatchNorm2d(outside))
            layers.append(nn.ReLU())
            inside = outside
        self.features = nn.Sequential(*layers)
        self.hidden = nn.Linear(inside, inside)
        self.head = nn.Linear(inside, classes)

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.features(x).mean((2, 3))
        logits: Tensor = self.head(torch.relu(self.hidden(pooled)))
        return logits


def start(network: nn.Module, how: Start, seed: int) -> None:
    """Draws the weights anew.

    `he`: normal with variance 2/fan-in (He et al. 2015), so that signals keep their size from
    layer to layer. `naive`: normal with one deviation everywhere, so that they do not.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if not isinstance(module, nn.Conv2d | nn.Linear):
            continue
        fan_in = module.weight[0].numel()
        deviation = math.sqrt(2 / fan_in) if how == "he" else NAIVE_DEVIATION
        with torch.no_grad():
            module.weight.normal_(0.0, deviation, generator=generator)
            if module.bias is not None:
                module.bias.zero_()
