"""Networks of many kinds, each with example inputs and the sizes that vary, for the reader."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.benchmarks.networks import MLP, VGG9, ResNet, ViT

AUTO = torch.export.Dim.AUTO


@dataclass(frozen=True)
class Case:
    """A network to export.

    `dynamic` names, for each input, the dimensions that vary; by default the batch alone.
    """

    name: str
    make: Callable[[], nn.Module]
    inputs: Callable[[int], tuple[Tensor, ...]]
    dynamic: tuple[tuple[int, ...], ...] | None = None


class Audio(nn.Module):
    """One-dimensional convolutions, every activation in place."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv1d(1, 8, 9, stride=4, padding=4),
            nn.BatchNorm1d(8),
            nn.ReLU(inplace=True),
            nn.MaxPool1d(2),
            nn.Conv1d(8, 16, 3, padding="same"),
            nn.GroupNorm(4, 16),
            nn.Hardswish(inplace=True),
            nn.AdaptiveAvgPool1d(1),
            nn.Dropout(0.2, inplace=True),
        )
        self.head = nn.Linear(16, 5)

    def forward(self, wave: Tensor) -> Tensor:
        return self.head(self.features(wave).squeeze(-1))


class Text(nn.Module):
    """Tokens, learned and computed positions, masked attention; batch and length vary."""

    def __init__(self, width: int = 16, heads: int = 2) -> None:
        super().__init__()
        self.tokens = nn.Embedding(50, width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.norm, self.head, self.heads = nn.LayerNorm(width), nn.Linear(width, 3), heads

    def forward(self, ids: Tensor, padding: Tensor) -> Tensor:
        b, n = ids.shape
        place = torch.arange(n, device=ids.device, dtype=torch.float32) / n
        h = self.tokens(ids) + place[None, :, None]
        q, k, v = self.qkv(h).view(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        mask = torch.ones(n, n, dtype=torch.bool).tril()[None, None] & ~padding[:, None, None]
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask | torch.eye(n).bool())
        h = self.norm(h + self.out(mixed.transpose(1, 2).reshape(b, n, -1)))
        h = h.masked_fill(padding[..., None], 0.0)
        return self.head(h.sum(1) / (~padding).sum(1, keepdim=True).clamp(min=1))


class Encoder(nn.Module):
    """PyTorch's own encoder layer with a causal mask, of fixed length."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(20, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, ids: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(ids.shape[1])
        return self.head(self.layer(self.tokens(ids), src_mask=mask).mean(1))


class Inputs(nn.Module):
    """Two inputs, one of them integers."""

    def __init__(self) -> None:
        super().__init__()
        self.kind, self.lin = nn.Embedding(4, 6), nn.Linear(10, 6)

    def forward(self, x: Tensor, kind: Tensor) -> Tensor:
        return torch.cat([self.lin(x), self.kind(kind)], dim=1).tanh()


class WithLoss(nn.Module):
    """Takes the targets too and returns the loss of each sample."""

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(10, 3)

    def forward(self, x: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(self.lin(x), targets, reduction="none", label_smoothing=0.1)


class Decoder(nn.Module):
    """Transposed convolution, resampling, padding, splitting."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(1, 4, 3, 2, 1)
        self.up = nn.ConvTranspose2d(4, 2, 4, 2, 1)
        self.norm = nn.InstanceNorm2d(2, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.up(F.silu(self.down(x))))
        one, two = h.chunk(2, dim=1)
        small = F.interpolate(F.pad(one, (1, 1, 1, 1)), scale_factor=2.0, mode="bilinear")
        return (
            small.flatten(1).mean(1, keepdim=True) + two.to(torch.float32).amax((1, 2, 3))[:, None]
        )


class Tied(nn.Module):
    """An embedding that is the head too; a buffer that is not saved; plain tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.head = nn.Embedding(10, 4), nn.Linear(4, 10, bias=False)
        self.head.weight = self.tokens.weight
        self.register_buffer("shift", torch.arange(4.0), persistent=False)
        self.register_buffer("scale", torch.ones(4) * 3)
        self.plain = torch.tensor([1.0, 2.0, 3.0, 4.0])

    def forward(self, ids: Tensor) -> Tensor:
        h = self.tokens(ids).mean(1) * self.scale + self.shift + self.plain
        return self.head(h + torch.tensor(0.5))


class InPlace(nn.Module):
    """Writes in place wherever that is harmless."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.norm, self.drop = nn.BatchNorm2d(4), nn.Dropout(0.5, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.norm(self.one(x)), inplace=True)
        skip = h
        h = self.two(h)
        h += skip
        h = self.drop(F.relu_(h))
        h.mul_(2.0).clamp_(max=3.0)
        h.unsqueeze_(1)
        ones = torch.ones_like(h).zero_().fill_(0.25)
        h += ones.pow_(2)
        return h.flatten(1).sub_(1.0)


def _images(channels: int, side: int) -> Callable[[int], tuple[Tensor, ...]]:
    return lambda n: (torch.randn(n, channels, side, side),)


def _text(n: int) -> tuple[Tensor, ...]:
    padding = torch.zeros(n, 7, dtype=torch.bool)
    padding[0, 5:] = True
    return torch.randint(0, 50, (n, 7)), padding


CASES = (
    Case("resnet", lambda: ResNet(20), _images(3, 32)),
    Case("vgg", VGG9, _images(3, 32)),
    Case("mlp", lambda: MLP(32), _images(3, 32)),
    Case("vit", lambda: ViT(32, 2, 2), _images(3, 32)),
    Case("audio", Audio, lambda n: (torch.randn(n, 1, 400),)),
    Case("text", Text, _text, ((0, 1), (0, 1))),
    Case("encoder", Encoder, lambda n: (torch.randint(0, 20, (n, 6)),)),
    Case("inputs", Inputs, lambda n: (torch.randn(n, 10), torch.randint(0, 4, (n,)))),
    Case("with_loss", WithLoss, lambda n: (torch.randn(n, 10), torch.randint(0, 3, (n,)))),
    Case("decoder", Decoder, _images(1, 8)),
    Case("tied", Tied, lambda n: (torch.randint(0, 10, (n, 5)),)),
    Case("in_place", InPlace, _images(2, 6)),
)


def prepared(make: Callable[[], nn.Module]) -> nn.Module:
    """The module, in evaluation mode, with running statistics that matter."""
    torch.manual_seed(0)
    module = make().eval()
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(torch.randn_like(buffer) * 0.3)
        elif name.endswith("running_var"):
            buffer.copy_(torch.rand_like(buffer) + 0.5)
    return module


def export(
    module: nn.Module,
    inputs: Sequence[Tensor],
    path: Path,
    dynamic: tuple[tuple[int, ...], ...] | None = None,
) -> None:
    """Writes the module as torch.export does, the given dimensions varying."""
    vary = dynamic or tuple((0,) for _ in inputs)
    batch = torch.export.Dim("batch")
    shapes: list[dict[int, Any]] = [
        {dim: batch if dim == 0 else AUTO for dim in dims} for dims in vary
    ]
    program = torch.export.export(module, tuple(inputs), dynamic_shapes=tuple(shapes))
    torch.export.save(program, path)
