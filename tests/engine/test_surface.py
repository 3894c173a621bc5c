"""Surfaces and lines against the straight float64 loop."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.engine.cases import BY_NAME, CASES, Case, convnet, reference_losses
from tests.support.module_network import ModuleNetwork, point_of, seeded
from workers.engine.datasets import Dataset
from workers.engine.direction import Direction
from workers.engine.directions import between, random_direction
from workers.engine.errors import PrecisionUnavailable
from workers.engine.evaluation import Setting
from workers.engine.losses import Loss
from workers.engine.network import Point
from workers.engine.normalisation import Rule, normalise
from workers.engine.placement import BufferPolicy
from workers.engine.precision import Precision
from workers.engine.surface import (
    CellResult,
    compare_precision,
    plane_evaluator,
    segment_evaluator,
)

# A 4 × 3 grid whose x range ends at 0: neither square nor symmetric.
GRID = [(a, b) for b in (-0.5, 0.0, 0.75) for a in (-1.0, -0.6, -0.25, 0.0)]
SINGLE, DOUBLE = Precision.FLOAT32, Precision.FLOAT64


def plane(case: Case) -> tuple[Direction, Direction]:
    rule = Rule.from_words("filter", ())
    return (
        normalise(random_direction(case.network, 3, "x"), case.origin, case.network, rule),
        normalise(random_direction(case.network, 3, "y"), case.origin, case.network, rule),
    )


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_float64_equals_the_straight_loop_for_every_batching(case: Case, batch_size: int) -> None:
    x, y = plane(case)
    setting = Setting(case.network, case.loss, batch_size, DOUBLE)
    results = plane_evaluator(setting, case.origin, x, y, [case.dataset]).evaluate(GRID)
    for (a, b), result in zip(GRID, results, strict=True):
        losses = reference_losses(case, x, a, y, b)
        (got,) = result.datasets
        assert got.status == "ok"
        assert got.samples == len(losses)
        assert got.loss == pytest.approx(losses.mean(), rel=1e-13)
        expected = losses.std(ddof=1) / math.sqrt(len(losses))
        assert got.stderr == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_float32_lies_within_its_rounding_of_float64(case: Case) -> None:
    x, y = plane(case)
    setting = Setting(case.network, case.loss, 8, SINGLE)
    results = plane_evaluator(setting, case.origin, x, y, [case.dataset]).evaluate(GRID)
    for (a, b), result in zip(GRID, results, strict=True):
        assert result.datasets[0].loss == pytest.approx(
            reference_losses(case, x, a, y, b).mean(), rel=1e-5
        )


def test_accuracy_is_the_fraction_of_right_answers() -> None:
    case = BY_NAME["mlp"]
    setting = Setting(case.network, case.loss, 7, DOUBLE)
    x, _ = plane(case)
    (result,) = plane_evaluator(setting, case.origin, x, None, [case.dataset]).evaluate([(0, None)])
    with torch.no_grad():
        hits = case.module(case.dataset.inputs[0]).argmax(1) == case.dataset.targets
    assert result.datasets[0].accuracy == hits.double().mean().item()


def test_accuracy_of_a_sequence_is_the_mean_over_counted_positions() -> None:
    case = BY_NAME["sequence"]
    setting = Setting(case.network, case.loss, 4, DOUBLE)
    x, _ = plane(case)
    (result,) = plane_evaluator(setting, case.origin, x, None, [case.dataset]).evaluate([(0, None)])
    with torch.no_grad():
        guess = case.module(case.dataset.inputs[0]).argmax(1)
    counted = case.dataset.targets != -100
    shares = [
        (g[c] == t[c]).double().mean().item()
        for g, t, c in zip(guess, case.dataset.targets, counted, strict=True)
        if c.any()
    ]
    assert result.datasets[0].accuracy == pytest.approx(np.mean(shares), abs=1e-7)
    assert result.datasets[0].samples == len(shares) == 22


def test_a_loss_without_classes_has_no_accuracy() -> None:
    case = BY_NAME["mse"]
    x, _ = plane(case)
    setting = Setting(case.network, case.loss, 4)
    (result,) = plane_evaluator(setting, case.origin, x, None, [case.dataset]).evaluate([(0, None)])
    assert result.datasets[0].accuracy is None


def test_several_data_sets_in_one_pass_are_those_evaluated_alone() -> None:
    case = BY_NAME["convnet"]
    x, y = plane(case)
    setting = Setting(case.network, case.loss, 8)
    half = replace(case.dataset.head(11), name="half")
    both = plane_evaluator(setting, case.origin, x, y, [case.dataset, half]).evaluate(GRID[:3])
    for dataset, position in ((case.dataset, 0), (half, 1)):
        alone = plane_evaluator(setting, case.origin, x, y, [dataset]).evaluate(GRID[:3])
        assert [r.datasets[0] for r in alone] == [r.datasets[position] for r in both]


@pytest.mark.parametrize("name", ["convnet", "mlp", "sequence", "two inputs"])
def test_a_cell_has_the_same_bits_whatever_is_evaluated_beside_it(name: str) -> None:
    case = BY_NAME[name]
    x, y = plane(case)
    setting = Setting(case.network, case.loss, 8)

    def fresh() -> dict[tuple[float, float | None], CellResult]:
        evaluator = plane_evaluator(setting, case.origin, x, y, [case.dataset])
        order = torch.randperm(len(GRID)).tolist()
        return {GRID[i]: evaluator.evaluate([GRID[i]])[0] for i in order}

    together = plane_evaluator(setting, case.origin, x, y, [case.dataset]).evaluate(GRID)
    assert fresh() == dict(zip(GRID, together, strict=True))
    assert fresh() == dict(zip(GRID, together, strict=True))


def test_results_come_one_by_one_and_are_the_same_as_all_at_once() -> None:
    case = BY_NAME["mlp"]
    x, y = plane(case)
    evaluator = plane_evaluator(
        Setting(case.network, case.loss, 8), case.origin, x, y, [case.dataset]
    )
    seen: list[tuple[int, CellResult]] = []
    returned = evaluator.evaluate(GRID, lambda i, r: seen.append((i, r)))
    assert seen == list(enumerate(returned))
    assert returned == evaluator.evaluate(GRID)


def test_the_centre_is_the_origin_itself() -> None:
    case = BY_NAME["convnet"]
    x, y = plane(case)
    setting = Setting(case.network, case.loss, 8)
    (cell,) = plane_evaluator(setting, case.origin, x, y, [case.dataset]).evaluate([(0.0, 0.0)])
    (line,) = segment_evaluator(setting, case.origin, case.origin, [case.dataset]).evaluate(
        [(0.3, None)]
    )
    assert cell.datasets == line.datasets


@pytest.mark.parametrize("policy", list(BufferPolicy))
def test_interpolation_against_the_straight_loop(policy: BufferPolicy) -> None:
    case = BY_NAME["convnet"]
    target = point_of(seeded(convnet, seed=40))
    line = between(case.network, case.origin, target)
    alphas = [-0.2, 0.0, 0.3, 0.5, 1.0, 1.2]
    setting = Setting(case.network, case.loss, 8, DOUBLE)
    results = segment_evaluator(setting, case.origin, target, [case.dataset], policy).evaluate(
        [(a, None) for a in alphas]
    )
    for a, result in zip(alphas, results, strict=True):
        losses = reference_losses(case, line, a, buffers=policy is BufferPolicy.INTERPOLATE)
        assert result.datasets[0].loss == pytest.approx(losses.mean(), rel=1e-12)


def test_both_ends_of_a_line_are_the_two_points_to_the_bit() -> None:
    network = ModuleNetwork(nn.Linear(50, 40))
    g = torch.Generator().manual_seed(1)
    ends = [
        Point(
            {"weight": torch.randn(40, 50, generator=g), "bias": torch.randn(40, generator=g)}, {}
        )
        for _ in range(2)
    ]
    seen: list[torch.Tensor] = []

    class Watched(ModuleNetwork):
        def at(self, parameters, buffers):  # type: ignore[no-untyped-def]
            seen.append(torch.cat([parameters[n].reshape(-1).clone() for n in parameters]))
            return super().at(parameters, buffers)

    dataset = Dataset("d", (torch.randn(3, 50),), torch.randn(3, 40))
    evaluator = segment_evaluator(
        Setting(Watched(network.module), Loss.named("mse"), 3), ends[0], ends[1], [dataset]
    )
    seen.clear()
    evaluator.evaluate([(0.0, None), (1.0, None)])
    for values, end in zip(seen, ends, strict=True):
        assert torch.equal(
            values, torch.cat([end.parameters[n].reshape(-1) for n in ("weight", "bias")])
        )


def test_a_variance_below_zero_is_a_status_and_not_a_silent_nan() -> None:
    case = BY_NAME["convnet"]
    x, _ = plane(case)
    fall = {n: torch.zeros(b.shape) for n, b in case.origin.buffers.items() if b.dim()}
    fall["1.running_var"] = -case.origin.buffers["1.running_var"]
    x = Direction(x.parameters, fall)
    setting = Setting(case.network, case.loss, 8)
    cells = [(0.5, None), (1.5, None), (0.25, None)]
    moved = plane_evaluator(
        setting, case.origin, x, None, [case.dataset], BufferPolicy.INTERPOLATE
    ).evaluate(cells)
    assert [r.datasets[0].status for r in moved] == ["ok", "invalid_buffer", "ok"]
    assert math.isnan(moved[1].datasets[0].loss)
    frozen = plane_evaluator(setting, case.origin, x, None, [case.dataset]).evaluate(cells)
    assert [r.datasets[0].status for r in frozen] == ["ok", "ok", "ok"]
    assert moved[0].datasets[0].loss == pytest.approx(
        reference_losses(case, x, 0.5, buffers=True).mean(), rel=1e-5
    )


def test_values_that_are_not_finite_keep_their_kind() -> None:
    network = ModuleNetwork(nn.Linear(1, 1, bias=False))
    origin = Point({"weight": torch.zeros(1, 1)}, {})
    x = Direction({"weight": torch.ones(1, 1)})
    dataset = Dataset("d", (torch.tensor([[1.0], [1e30]]),), torch.zeros(2, 1))
    evaluator = plane_evaluator(Setting(network, Loss.named("mse"), 2), origin, x, None, [dataset])
    zero, infinite, after = evaluator.evaluate([(0.0, None), (1e10, None), (1e-30, None)])
    assert (zero.datasets[0].loss, zero.datasets[0].status) == (0.0, "ok")
    assert (infinite.datasets[0].loss, infinite.datasets[0].status) == (math.inf, "posinf")
    assert math.isnan(infinite.datasets[0].stderr)
    assert after.datasets[0].status == "ok"

    program = ModuleNetwork(SignedProgram(), ("x", "targets"))
    start = Point({"w": torch.zeros(1)}, {})
    evaluator = plane_evaluator(
        Setting(program, Loss.named("program"), 2),
        start,
        Direction({"w": torch.ones(1)}),
        None,
        [Dataset("d", (torch.ones(3),), torch.ones(3))],
    )
    down, nothing = evaluator.evaluate([(-math.inf, None), (math.nan, None)])
    assert (down.datasets[0].loss, down.datasets[0].status) == (-math.inf, "neginf")
    assert nothing.datasets[0].status == "nan"


class SignedProgram(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return x * targets * self.w


def test_whole_number_images_are_converted_for_a_network_that_wants_real_ones() -> None:
    case = BY_NAME["convnet"]

    class Real(ModuleNetwork):
        input_dtypes = ("float32",)

    network = Real(case.module)
    pixels = torch.randint(0, 255, (9, 1, 8, 8), dtype=torch.uint8)
    whole = Dataset("d", (pixels,), case.dataset.targets[:9])
    real = Dataset("d", (pixels.float(),), case.dataset.targets[:9])
    x, _ = plane(case)
    a, b = (
        plane_evaluator(Setting(network, case.loss, 4), case.origin, x, None, [d]).evaluate(
            [(0.5, None)]
        )
        for d in (whole, real)
    )
    assert a == b


def test_bf16_error_is_measured_against_float32() -> None:
    case = BY_NAME["convnet"]
    x, y = plane(case)
    cells = GRID[:4]

    def evaluator(precision: Precision):  # type: ignore[no-untyped-def]
        setting = Setting(case.network, case.loss, 8, precision)
        return plane_evaluator(setting, case.origin, x, y, [case.dataset])

    exact = evaluator(SINGLE).evaluate(cells)
    error = compare_precision(evaluator(Precision.BF16).evaluate(cells), exact)
    assert error.cells == 4
    assert error.changed_status == 0
    # bf16 has 8 bits: a relative error of 2^-9 per rounding, and some of it averages out.
    assert 0 < error.mean_relative_loss <= error.largest_relative_loss < 0.03
    same = compare_precision(evaluator(SINGLE).evaluate(cells), exact)
    assert same.largest_relative_loss == 0.0


def test_tf32_is_refused_where_it_does_not_exist() -> None:
    case = BY_NAME["mlp"]
    x, _ = plane(case)
    with pytest.raises(PrecisionUnavailable, match="CUDA"):
        plane_evaluator(
            Setting(case.network, case.loss, 8, Precision.TF32),
            case.origin,
            x,
            None,
            [case.dataset],
        )
