"""Modules that the tests export, with an example of their inputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConvNet(nn.Module):
    """A small convolutional network with batch norm and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.bn(self.conv(x))).mean((2, 3))
        logits: Tensor = self.head(self.drop(hidden))
        return logits


class TwoInputs(nn.Module):
    """Takes two inputs, one by keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Linear(4, 3)
        self.right = nn.Linear(2, 3)

    def forward(self, image: Tensor, *, extra: Tensor) -> Tensor:
        logits: Tensor = self.left(image) + self.right(extra)
        return logits


class Tied(nn.Module):
    """The decoder's weight is the embedding's, and is registered first."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = nn.Linear(8, 11, bias=False)
        self.embed = nn.Embedding(11, 8)
        self.decoder.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.decoder(self.embed(tokens).mean(1))
        return logits


class Windows(nn.Module):
    """Numbers the parts of a mask by writing into slices of it, as shifted windows do."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        mask = x.new_zeros((4, 8))
        count = 0
        for rows in (slice(0, -2), slice(-2, -1), slice(-1, None)):
            for columns in (slice(0, 3), slice(3, None)):
                mask[rows, columns] = count
                count += 1
        mask[0].zero_()
        moved = x.clone()
        moved[:, 1] = moved[:, 0] * 2
        moved[:, 2:, ::2] += mask[2, ::2]
        logits: Tensor = self.head((moved + mask).mean(1))
        return logits


class Encoder(nn.Module):
    """PyTorch's own transformer with a mask that it is given: causal, or not."""

    def __init__(self, *, causal: bool) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        mask = torch.full((5, 5), -torch.inf)
        self.register_buffer("mask", mask.triu(1) if causal else mask.triu(2).tril(3))

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.layers(x, mask=self.mask)
        return hidden[:, -1]


class Branching(nn.Module):
    """Cannot be exported: a Python branch on values."""

    def forward(self, x: Tensor) -> Tensor:
        return x if bool(x.sum() > 0) else -x


class FixedBatch(nn.Module):
    """Cannot be exported: the batch size is written into it."""

    def forward(self, x: Tensor) -> Tensor:
        return x.view(2, -1)


class TwoOutputs(nn.Module):
    """Cannot be a program: returns two tensors."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, -x


def seeded(make: type[nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return make()
