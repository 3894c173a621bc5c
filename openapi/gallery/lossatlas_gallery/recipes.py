"""Which networks are trained and how, as frozen values. Trains nothing."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Literal

from torch import nn

from lossatlas_gallery.networks import Family, ResNet, Start, Vgg, start

#: Raised when the same recipe would give other weights.
REVISION = 1


@dataclass(frozen=True)
class Recipe:
    """One training run.

    Attributes:
        slug: names it in files and in `gallery.json`.
        schedule: `cycle` is one cycle of the learning rate; `drops` divides it by ten after the
            epochs in `drops`.
        keep: whether the weights of every epoch are kept, for the path.
        augment: random flips and shifts of the images, as usual for CIFAR-10.
    """

    slug: str
    title: str
    family: Family
    width: int
    depth: int = 0
    skip: bool = True
    start: Start = "he"
    batch: int = 64
    rate: float = 0.05
    momentum: float = 0.9
    decay: float = 5e-4
    epochs: int = 30
    schedule: Literal["cycle", "drops"] = "cycle"
    drops: tuple[int, ...] = ()
    keep: bool = False
    augment: bool = False
    seed: int = 0

    @property
    def normed(self) -> bool:
        """Whether the network has batch normalisation."""
        return self.family != "vgg-plain"

    def rate_at(self, epoch: float) -> float:
        """The learning rate when so many epochs are over."""
        if self.schedule == "drops":
            return self.rate * 0.1 ** sum(epoch >= drop for drop in self.drops)
        part = min(1.0, epoch / self.epochs)
        # up in a third of the time, down in the rest
        return self.rate * max(1e-3, part / 0.3 if part < 0.3 else (1 - part) / 0.7)

    def build(self, channels: int, classes: int) -> nn.Module:
        """The network with the weights that training begins at."""
        network: nn.Module
        if self.family == "resnet":
            network = ResNet(
                self.depth, self.width, skip=self.skip, channels=channels, classes=classes
            )
        else:
            network = Vgg(self.width, norm=self.normed, channels=channels, classes=classes)
        start(network, self.start, self.seed)
        return network

    def digest(self, images: str) -> str:
        """Names the weights by everything that they depend on.

        Args:
            images: the digest of what it is trained on.
        """
        told = {k: v for k, v in asdict(self).items() if k not in ("slug", "title")}
        text = json.dumps([REVISION, images, told], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()
