"""How the published reference evaluates a cell: the baseline that speed is measured against.

A faithful rendition of the evaluation loop of the code released with Li et al. (2018): weights
written in place into a module, a `DataLoader` with two worker processes and per-sample
transforms, batches of 128, evaluation mode, `.item()` after every batch. The maths is the
published one as well, so losses can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

BATCH = 128
WORKERS = 2


class TransformedImages(Dataset[tuple[Tensor, int]]):
    """uint8 images that are turned to float and normalised one by one, as torchvision does."""

    def __init__(self, images: Tensor, targets: Tensor) -> None:
        self.images, self.targets = images, targets
        self.mean = torch.tensor([0.4914, 0.4822, 0.4465]).view(3, 1, 1)
        self.std = torch.tensor([0.2470, 0.2435, 0.2616]).view(3, 1, 1)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self.images[index].to(torch.float32).div(255)
        return (image - self.mean) / self.std, int(self.targets[index])

    def normalised(self) -> Tensor:
        """The same pixels at once, for the side that keeps its data in memory."""
        return (self.images.to(torch.float32).div(255) - self.mean) / self.std


def random_images(samples: int) -> TransformedImages:
    """Images and classes of CIFAR-10's sizes, the same ones every time."""
    generator = torch.Generator().manual_seed(2018)
    images = torch.randint(0, 256, (samples, 3, 32, 32), generator=generator, dtype=torch.uint8)
    return TransformedImages(images, torch.randint(0, 10, (samples,), generator=generator))


class PublishedEvaluator:
    """Evaluates cells of a plane as the published code does."""

    def __init__(
        self,
        module: nn.Module,
        images: TransformedImages,
        x: Mapping[str, Tensor],
        y: Mapping[str, Tensor],
        device: torch.device | None = None,
    ) -> None:
        self.device = device or torch.device("cpu")
        self.module = module.eval()
        self.origin = {n: p.detach().clone() for n, p in module.named_parameters()}
        self.x, self.y = x, y
        self.loader = DataLoader(images, batch_size=BATCH, shuffle=False, num_workers=WORKERS)
        self.criterion = nn.CrossEntropyLoss()

    def cell(self, alpha: float, beta: float) -> tuple[float, float]:
        """(loss, accuracy in per cent) at one point."""
        for name, parameter in self.module.named_parameters():
            change = alpha * self.x[name] + beta * self.y[name]
            parameter.data = self.origin[name] + change
        correct, total_loss, total = 0.0, 0.0, 0
        with torch.no_grad():
            for batch in self.loader:
                inputs, targets = (tensor.to(self.device) for tensor in batch)
                total += inputs.size(0)
                outputs = self.module(inputs)
                loss = self.criterion(outputs, targets)
                total_loss += loss.item() * inputs.size(0)
                _, predicted = torch.max(outputs.data, 1)
                correct += predicted.eq(targets).sum().item()
        return total_loss / total, 100.0 * correct / total
