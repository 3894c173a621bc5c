"""Running statistics recomputed from samples, against PyTorch's own `update_bn` on the module."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from tests.benchmarks.networks import ResNet
from tests.program_binding.exported import Case, exported
from tests.support.module_network import seeded


class Twice(nn.Module):
    """One batch norm used at two places: its statistics are those of both."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
        self.norm = nn.BatchNorm1d(6)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.norm(self.first(x)))
        out: Tensor = self.head(torch.tanh(self.norm(self.second(hidden))))
        return out


def _plain() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 5, 3, padding=1),
        nn.BatchNorm2d(5),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(5 * 36, 7),
        nn.BatchNorm1d(7, affine=False),
        nn.Tanh(),
        nn.Linear(7, 3),
    )


MODULES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "plain": (_plain, (30, 1, 6, 6)),
    "resnet": (lambda: ResNet(20), (12, 3, 32, 32)),
    "twice": (Twice, (20, 6)),
}


@pytest.fixture(scope="module", params=MODULES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    make, shape = MODULES[request.param]
    samples = torch.randn(shape, generator=torch.Generator().manual_seed(1)) + 0.5
    return exported(lambda: seeded(make), (samples,), tmp_path_factory.mktemp("recalibration"))


@pytest.mark.parametrize("passes", [1, 2, 3])
def test_they_are_what_update_bn_gives(case: Case, passes: int) -> None:
    (samples,) = case.inputs
    batches = torch.tensor_split(samples, passes)
    module = copy.deepcopy(case.module)
    update_bn([(batch,) for batch in batches], module)
    point = case.point
    network = case.network()
    with torch.inference_mode():
        found = network.recalibrated(point.parameters, point.buffers, [(b,) for b in batches])
    assert network.recalibratable == set(found)
    running = {n: b for n, b in module.named_buffers() if b.is_floating_point()}
    assert set(found) == set(running)
    for name, tensor in found.items():
        assert torch.allclose(tensor, running[name], rtol=1e-5, atol=1e-6), name
        assert not torch.allclose(tensor, point.buffers[name], rtol=1e-2), name


def test_folded_inference_uses_the_new_statistics(case: Case) -> None:
    (samples,) = case.inputs
    module = copy.deepcopy(case.module)
    update_bn([(samples,)], module)
    point, network = case.point, case.network()
    with torch.inference_mode():
        before = network.at(point.parameters, point.buffers)(samples)
        found = network.recalibrated(point.parameters, point.buffers, [(samples,)])
        out = network.at(point.parameters, {**point.buffers, **found})(samples)
        expected = module.eval()(samples)
    assert torch.allclose(out, expected, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(before, expected, rtol=1e-2, atol=1e-2)


def test_double_precision_to_twelve_digits(case: Case) -> None:
    (samples,) = (t.double() for t in case.inputs)
    module = copy.deepcopy(case.module).double()
    update_bn([(samples,)], module)
    point = case.point
    parameters = {n: t.double() for n, t in point.parameters.items()}
    buffers = {n: t.double() if t.is_floating_point() else t for n, t in point.buffers.items()}
    with torch.inference_mode():
        found = case.network().recalibrated(parameters, buffers, [(samples,)])
    running = dict(module.named_buffers())
    for name, tensor in found.items():
        assert torch.allclose(tensor, running[name], rtol=1e-12, atol=1e-13), name


def test_what_lies_in_the_point_s_statistics_does_not_matter(case: Case) -> None:
    """Not a single NaN of the old statistics gets into the new ones."""
    point, network = case.point, case.network()
    spoilt = {
        n: torch.full_like(t, float("nan")) if t.is_floating_point() else t
        for n, t in point.buffers.items()
    }
    with torch.inference_mode():
        one = network.recalibrated(point.parameters, point.buffers, [case.inputs])
        other = network.recalibrated(point.parameters, spoilt, [case.inputs])
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_program_without_batch_norm_has_nothing_to_recompute(tmp_path: Path) -> None:
    inputs = (torch.randn(4, 6),)
    case = exported(lambda: seeded(lambda: nn.Linear(6, 3)), inputs, tmp_path)
    network = case.network()
    assert network.recalibratable == frozenset()
    assert network.recalibrated(case.point.parameters, case.point.buffers, [inputs]) == {}


class Fixed(nn.Module):
    """Statistics that are no state of the network."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 3)
        self.register_buffer("mean", torch.zeros(3), persistent=False)
        self.register_buffer("variance", torch.ones(3), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.linear(x)
        return nn.functional.batch_norm(hidden, self.mean, self.variance)  # type: ignore[arg-type]


def test_statistics_that_are_constants_cannot_be_recomputed(tmp_path: Path) -> None:
    inputs = (torch.randn(4, 6),)
    case = exported(lambda: seeded(Fixed), inputs, tmp_path)
    network = case.network()
    assert network.recalibratable is None
    with pytest.raises(ValueError, match="part of the program"):
        network.recalibrated(case.point.parameters, case.point.buffers, [inputs])
