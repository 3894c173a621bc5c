"""Two networks that differ in one thing only: skip connections (He et al. 2016)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    """Two convolutions; with `skip`, the input is added to what they give."""

    def __init__(self, inside: int, outside: int, stride: int, *, skip: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.stride, self.grow, self.skip = stride, outside - inside, skip

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.skip:
            # the shortcut has no parameters, so that both networks have the same ones
            short = x[:, :, :: self.stride, :: self.stride]
            out = out + F.pad(short, (0, 0, 0, 0, 0, self.grow))
        return F.relu(out)


class DigitsNet(nn.Module):
    """6n+2 layers in three stages, for images of shape (samples, 1, 8, 8) and ten classes."""

    def __init__(self, depth: int, width: int, *, skip: bool) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        blocks: list[nn.Module] = []
        inside = width
        for stage in range(3):
            outside = width * 2**stage
            for index in range((depth - 2) // 6):
                stride = 2 if stage and not index else 1
                blocks.append(Block(inside, outside, stride, skip=skip))
                inside = outside
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(inside, 10)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.blocks(F.relu(self.bn(self.stem(x))))
        logits: Tensor = self.head(features.mean((2, 3)))
        return logits
