"""Networks of many kinds, small, with inputs for a few samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.benchmarks.networks import MLP, ResNet, ViT
from tests.support.module_network import seeded


@dataclass(frozen=True)
class Kind:
    name: str
    make: Callable[[], nn.Module]
    inputs: Callable[[], tuple[Tensor, ...]]


class SlimVGG(nn.Module):
    """Convolutions with biases, max-pooling, and a batch norm after a linear map."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inside, outside in ((3, 8), (8, 12)):
            conv = nn.Conv2d(inside, outside, 3, padding=1)
            layers += [conv, nn.BatchNorm2d(outside), nn.ReLU(), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Linear(12 * 4, 16),
            nn.BatchNorm1d(16),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(16, 10),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).flatten(1))


class Audio(nn.Module):
    """A 1-D convolutional network with group norm, dilation and a gated unit."""

    def __init__(self) -> None:
        super().__init__()
        self.front = nn.Conv1d(1, 8, 9, stride=4, padding=4)
        self.norm = nn.BatchNorm1d(8)
        self.mid = nn.Conv1d(8, 16, 3, dilation=2, padding="same", groups=2)
        self.group = nn.GroupNorm(4, 16)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.norm(self.front(x)))
        x = F.glu(self.group(self.mid(x)), dim=1)
        return self.head(F.adaptive_avg_pool1d(x, 1).squeeze(-1))


class Text(nn.Module):
    """A transformer on tokens: embedding, positions from arange, padding mask, tied output."""

    def __init__(self, words: int = 50, width: int = 32) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, width, padding_idx=0)
        self.register_buffer("scale", torch.tensor(width**0.5), persistent=False)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.width = width

    def forward(self, tokens: Tensor) -> Tensor:
        batch, length = tokens.shape
        place = torch.arange(length, device=tokens.device).unsqueeze(1)
        rates = torch.exp(torch.arange(0, self.width, 2) * (-9.2 / self.width))
        angles = place * rates
        position = torch.stack((angles.sin(), angles.cos()), -1).flatten(1)
        x = self.embed(tokens) * self.scale + position
        seen = (tokens != 0)[:, None, None, :]
        q, k, v = self.qkv(self.norm(x)).view(batch, length, 3, 4, -1).permute(2, 0, 3, 1, 4)
        scores = (q @ k.transpose(-1, -2)) / 8**0.5
        scores = scores.masked_fill(~seen, torch.finfo(scores.dtype).min)
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, length, -1)
        x = x + self.out(mixed)
        weights = (tokens != 0).to(x.dtype).unsqueeze(-1)
        return ((x * weights).sum(1) / weights.sum(1).clamp(min=1)) @ self.embed.weight.t()


class TwoInputs(nn.Module):
    """An image and a vector; a causal attention over what they make."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4, affine=False)
        self.vector = nn.Linear(3, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, image: Tensor, vector: Tensor) -> Tensor:
        x = F.silu(self.norm(self.image(image))).flatten(2).transpose(1, 2)
        x = x + self.vector(vector)[:, None]
        x = F.scaled_dot_product_attention(x[:, None], x[:, None], x[:, None], is_causal=True)
        return self.head(x[:, 0].mean(1))


class Decoder(nn.Module):
    """Transposed convolutions with batch norm, up-sampling, and a split."""

    def __init__(self) -> None:
        super().__init__()
        self.grow = nn.ConvTranspose2d(3, 8, 4, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.wide = nn.ConvTranspose2d(8, 4, 3, groups=2, padding=1)
        self.norm2 = nn.BatchNorm2d(4)
        self.last = nn.Conv2d(2, 1, 3, padding=1, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.norm(self.grow(x)), 0.2)
        a, b = self.norm2(self.wide(x)).chunk(2, dim=1)
        return torch.sigmoid(self.last(F.interpolate(a * torch.tanh(b), scale_factor=2.0)))


class Regression(nn.Module):
    """Returns a loss for each sample: its last input is the targets."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 2))

    def forward(self, x: Tensor, targets: Tensor) -> Tensor:
        mean, spread = self.net(x).chunk(2, dim=1)
        spread = F.softplus(spread) + 1e-3
        return (0.5 * ((targets - mean) / spread) ** 2 + spread.log()).sum(1)


def _images(samples: int, *shape: int) -> Callable[[], tuple[Tensor, ...]]:
    def make() -> tuple[Tensor, ...]:
        return (torch.randn(samples, *shape, generator=torch.Generator().manual_seed(7)),)

    return make


def _tokens() -> tuple[Tensor, ...]:
    tokens = torch.randint(1, 50, (4, 12), generator=torch.Generator().manual_seed(7))
    tokens[1, 8:] = 0
    return (tokens,)


def _pair() -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(7)
    return torch.randn(4, 2, 6, 6, generator=generator), torch.randn(4, 3, generator=generator)


def _regression() -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(7)
    return torch.randn(5, 6, generator=generator), torch.randn(5, 1, generator=generator)


KINDS = (
    Kind("resnet", lambda: seeded(lambda: ResNet(8, width=8)), _images(4, 3, 16, 16)),
    Kind("plain", lambda: seeded(lambda: ResNet(8, width=8, skip=False)), _images(4, 3, 16, 16)),
    Kind("vgg", lambda: seeded(SlimVGG), _images(4, 3, 8, 8)),
    Kind("mlp", lambda: seeded(lambda: MLP(32)), _images(4, 3, 32, 32)),
    Kind("vit", lambda: seeded(lambda: ViT(32, 2, 4)), _images(4, 3, 32, 32)),
    Kind("audio", lambda: seeded(Audio), _images(4, 1, 64)),
    Kind("text", lambda: seeded(Text), _tokens),
    Kind("two inputs", lambda: seeded(TwoInputs), _pair),
    Kind("decoder", lambda: seeded(Decoder), _images(3, 3, 5, 5)),
    Kind("program loss", lambda: seeded(Regression), _regression),
)
