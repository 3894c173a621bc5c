"""The reference folders: networks as their README describes them, weights, data, expectations."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tests.support.module_network import ModuleNetwork
from workers.engine.datasets import Dataset, dataset_from_tensors
from workers.engine.direction import Direction
from workers.engine.directions import uploaded
from workers.engine.losses import Loss
from workers.engine.network import Network, Point, split_point

ROOT = Path(__file__).parents[2] / "data" / "reference"
CROSS_ENTROPY = Loss.named("cross_entropy")


class Convnet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 8, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(8)
        self.fc = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(x)))
        out: Tensor = self.fc(x.flatten(1))
        return out


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(64, 8)
        self.fc2 = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(torch.tanh(self.fc1(x.flatten(1))))
        return out


FOLDERS: dict[str, type[nn.Module]] = {"digits_convnet": Convnet, "digits_mlp": Mlp}


def network(folder: str) -> ModuleNetwork:
    return ModuleNetwork(FOLDERS[folder]())


@cache
def expected(folder: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ROOT / folder / "expected.json").read_text())
    return loaded


def checkpoint_files(folder: str) -> list[Path]:
    """In order: the initialisation first, the final one last."""
    return sorted((ROOT / folder).glob("checkpoint_*.safetensors"))


def checkpoint(folder: str, net: Network, index: int = -1) -> Point:
    return split_point(net, load_file(checkpoint_files(folder)[index]))


def dataset(folder: str, net: Network) -> Dataset:
    tensors = load_file(ROOT / folder / "data.safetensors")
    return dataset_from_tensors("train", tensors, net, CROSS_ENTROPY)


def directions(folder: str, net: Network, tag: str) -> tuple[Direction, Direction]:
    tensors = load_file(ROOT / folder / f"directions_{tag}.safetensors")

    def axis(prefix: str) -> Direction:
        return uploaded(
            net, {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
        )

    return axis("x."), axis("y.")
