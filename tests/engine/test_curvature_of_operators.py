"""Networks of operators whose derivatives PyTorch lacks or that give zeros without memory.

The truth is central differences: of the loss for the gradient, of the gradient for products.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.program_binding.exported import exported
from tests.support.module_network import seeded
from workers.engine.datasets import dataset_from_tensors
from workers.engine.evaluation import Setting
from workers.engine.hessian import HessianForm, HessianOperator
from workers.engine.losses import Loss
from workers.engine.network import Point
from workers.engine.objective import Objective
from workers.engine.precision import Precision

_STEP: Final = 1e-5


class SqueezeExcite(nn.Module):
    """A block of MobileNetV3: hard swish, and channels weighed by a hard sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.less, self.more = nn.Conv2d(6, 3, 1), nn.Conv2d(3, 6, 1)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.hardswish(self.norm(self.conv(x)))
        weights = self.more(F.relu(self.less(F.adaptive_avg_pool2d(x, 1))))
        return self.head((x * F.hardsigmoid(2 * weights)).mean((2, 3)))


class RadialBasis(nn.Module):
    """Distances from centres, in two norms."""

    def __init__(self) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.randn(5, 8))
        self.head = nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)[:, :8]
        # otherwise the exporter would bound the batch by 25, where PyTorch goes over to products
        mode = "donot_use_mm_for_euclid_dist"
        near = torch.cdist(flat, self.centres, compute_mode=mode)
        far = torch.cdist(flat, self.centres, p=1.0)
        return self.head(torch.cat((torch.exp(-near / 4), torch.exp(-far / 16)), 1))


class Piecewise(nn.Module):
    """Absolute values, softsign, norms of order one, rounding: their second derivatives vanish."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(72, 6), nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x.flatten(1))
        rounded = torch.round(hidden) + torch.sign(hidden) + hidden // 0.7
        length = torch.linalg.vector_norm(hidden, 1, dim=1, keepdim=True)
        mixed = F.softsign(hidden) * hidden.abs() + 0.1 * rounded
        return self.head(torch.cat((mixed, length / 6), 1))


class Margins(nn.Module):
    """Returns hinge losses: its last input is the classes."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(72, 5), nn.Mish(), nn.Linear(5, 3))

    def forward(self, x: Tensor, targets: Tensor) -> Tensor:
        out = self.net(x)
        return F.multi_margin_loss(out, targets, p=2, margin=1.5, reduction="none")


_NETWORKS: Final[dict[str, Callable[[], nn.Module]]] = {
    "squeeze and excite": SqueezeExcite,
    "radial basis": RadialBasis,
    "piecewise": Piecewise,
    "margins": Margins,
}


@pytest.mark.parametrize("name", _NETWORKS)
def test_gradient_and_products(name: str, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(3)
    images, classes = torch.randn(7, 2, 6, 6, generator=generator), torch.arange(7) % 3
    ends_in_a_loss = name == "margins"
    inputs = (images, classes) if ends_in_a_loss else (images,)
    case = exported(lambda: seeded(_NETWORKS[name]), inputs, tmp_path)
    network, origin = case.network(), case.point
    loss = Loss.named("program" if ends_in_a_loss else "cross_entropy")
    tensors = {"inputs.x": images, "targets": classes}
    dataset = dataset_from_tensors("images", tensors, network, loss)

    def objective(precision: Precision) -> Objective:
        return Objective(Setting(network, loss, 3, precision), origin, dataset)

    double = objective(Precision.FLOAT64)
    local = double.at(origin)
    vector = torch.randn(local.layout.size, generator=generator).sign().double()

    def moved(step: float) -> Point:
        views = local.layout.views(local.vector + step * vector)
        return Point(views, origin.buffers)

    ahead, behind = double.at(moved(_STEP)), double.at(moved(-_STEP))
    slope = (ahead.loss() - behind.loss()) / (2 * _STEP)
    gradient = local.gradient().vector
    assert float(gradient @ vector) == pytest.approx(slope, rel=1e-6, abs=1e-8)
    product = (ahead.gradient().vector - behind.gradient().vector) / (2 * _STEP)
    size = float(product.abs().max())
    assert size > 1e-3
    for form in HessianForm:
        found = HessianOperator(local, form=form).apply(torch.stack((vector, -vector)))
        assert float((found[0] - product).abs().max()) <= 1e-6 * size, form
        assert float((found[1] + product).abs().max()) <= 1e-6 * size, form

    single = objective(Precision.FLOAT32).at(origin)
    found = HessianOperator(single).apply(vector.float()[None])[0]
    assert float((found.double() - product).abs().max()) <= 1e-3 * size
