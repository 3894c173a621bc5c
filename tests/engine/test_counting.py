"""What a mean is over: both reductions, against eager PyTorch in float64 over the whole data set.

One small network of tokens, and targets that are missing in every way: here and there, most of a
sample's, whole samples', the first samples', all but one sample's.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.engine.cases import BY_NAME, Case
from tests.engine.dense_hessian import dense_hessian, objective
from tests.support.module_network import ModuleNetwork, point_of, seeded
from workers.engine import surface
from workers.engine.batching import choose_batching
from workers.engine.counting import Counting, count
from workers.engine.datasets import Dataset
from workers.engine.errors import InputInvalid, TargetsInvalid
from workers.engine.evaluation import Setting, count_targets, prepare_datasets
from workers.engine.hessian import HessianForm, HessianOperator
from workers.engine.losses import Loss, Reduction
from workers.engine.operators import gaussian_block
from workers.engine.precision import Precision
from workers.engine.product_memory import plan_products
from workers.engine.statistics import SampleStatistics
from workers.engine.surface import Cell, CellEvaluator, CellResult, segment_evaluator

DOUBLE = Precision.FLOAT64
IGNORED = -100


def here_and_there(targets: Tensor) -> None:
    targets[::3, 2:] = IGNORED
    targets[1, :6] = IGNORED


def whole_samples(targets: Tensor) -> None:
    here_and_there(targets)
    targets[4:7] = IGNORED


def the_first(targets: Tensor) -> None:
    targets[:20] = IGNORED
    targets[21, 1:] = IGNORED


def all_but_one(targets: Tensor) -> None:
    targets[:] = IGNORED
    targets[13, 2:5] = 1


def none(targets: Tensor) -> None:
    """Every position has a target."""


def evenly(targets: Tensor) -> None:
    targets[:, 5:] = IGNORED
    targets[8] = IGNORED


PATTERNS = (none, evenly, here_and_there, whole_samples, the_first, all_but_one)


def sequence(pattern: Callable[[Tensor], None], reduction: str) -> Case:
    case = BY_NAME["sequence"]
    g = torch.Generator().manual_seed(11)
    targets = torch.randint(0, 4, (23, 7), generator=g)
    pattern(targets)
    loss = Loss.named("cross_entropy", {"reduction": reduction})
    return replace(
        case,
        name=f"{pattern.__name__} {reduction}",
        dataset=Dataset("tokens", case.dataset.inputs, targets),
        loss=loss,
        reference=pooled if reduction == "position" else case.reference,
    )


def pooled(outputs: Tensor, targets: Tensor) -> Tensor:
    """The losses of all positions that have a target, one after another."""
    values = functional.cross_entropy(outputs, targets, reduction="none", ignore_index=IGNORED)
    return values[targets != IGNORED]


def outputs_of(case: Case) -> Tensor:
    module = copy.deepcopy(case.module).double()
    with torch.no_grad():
        out: Tensor = module(*case.dataset.inputs)
    return out


def measured(case: Case, batch_size: int = 5, precision: Precision = DOUBLE) -> Any:
    setting = Setting(case.network, case.loss, batch_size, precision)
    evaluator = segment_evaluator(setting, case.origin, case.origin, [case.dataset])
    results: list[CellResult] = evaluator.evaluate([(0.0, None)])
    return results[0].datasets[0]


@pytest.mark.parametrize("batch_size", [1, 5, 64])
@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda p: p.__name__)
def test_every_position_alike_is_pytorchs_mean(
    pattern: Callable[[Tensor], None], batch_size: int
) -> None:
    case = sequence(pattern, "position")
    outputs, targets = outputs_of(case), case.dataset.targets
    got = measured(case, batch_size)
    wanted = functional.cross_entropy(outputs, targets, reduction="mean", ignore_index=IGNORED)
    assert got.loss == pytest.approx(wanted.item(), rel=1e-12)
    kept = targets != IGNORED
    hits = (outputs.argmax(1) == targets)[kept]
    assert got.accuracy == pytest.approx(hits.double().mean().item(), rel=1e-14)
    assert got.samples == int(kept.any(1).sum())


@pytest.mark.parametrize("reduction", ["sample", "position"])
@pytest.mark.parametrize("pattern", PATTERNS[:-1], ids=lambda p: p.__name__)
def test_the_standard_error_is_the_ratios(
    pattern: Callable[[Tensor], None], reduction: str
) -> None:
    """Cochran 1977, §2.11, written out over the samples' sums and counts."""
    case = sequence(pattern, reduction)
    outputs, targets = outputs_of(case), case.dataset.targets
    values = functional.cross_entropy(outputs, targets, reduction="none", ignore_index=IGNORED)
    kept = (targets != IGNORED).numpy()
    n = kept.sum(1)[kept.any(1)]
    s = (values.numpy() * kept).sum(1)[kept.any(1)]
    if reduction == "sample":
        s, n = s / n, np.ones(len(n))
    m, ratio = len(n), s.sum() / n.sum()
    squared = ((s - ratio * n) ** 2).sum() / (m * (m - 1) * n.mean() ** 2)
    got = measured(case)
    assert got.loss == pytest.approx(ratio, rel=1e-12)
    assert got.stderr == pytest.approx(np.sqrt(squared), rel=1e-11)


def test_a_single_sample_has_a_loss_and_no_error() -> None:
    got = measured(sequence(all_but_one, "position"))
    assert (got.samples, got.status) == (1, "ok")
    assert np.isnan(got.stderr)


def test_the_error_of_positions_is_that_of_other_samples() -> None:
    """Samples drawn again and again: the stated error is the spread of the ratios."""
    g = np.random.default_rng(3)
    means, errors = [], []
    loss = Loss.named("cross_entropy", {"reduction": "position"})
    for _ in range(600):
        n = g.integers(1, 9, size=80)
        # long samples are harder, and a sample's positions alike
        values = 0.3 * n + g.normal(size=80)
        targets = torch.full((80, 8), IGNORED)
        for row, many in enumerate(n):
            targets[row, :many] = 0
        counting = count(loss, targets, torch.zeros(1, 2, 8))
        row = reduced(counting, torch.from_numpy(values), 80)
        means.append(row[0])
        errors.append(row[1])
    assert np.sqrt(np.mean(errors)) == pytest.approx(np.std(means), rel=0.1)


def reduced(counting: Counting, values: Tensor, batch: int) -> list[float]:
    statistics = SampleStatistics(counting, torch.device("cpu"))
    for start in range(0, len(values), batch):
        part = values[start : start + batch]
        statistics.record(start, start + len(part), part, part)
    row = torch.zeros(3, dtype=torch.float64)
    statistics.reduce(row)
    out: list[float] = row.tolist()
    return out


def test_bits_depend_neither_on_batches_nor_on_threads() -> None:
    targets = torch.zeros(50_000, 3, dtype=torch.int64)
    targets[::7, 1:] = IGNORED
    targets[::11] = IGNORED
    values = torch.rand(50_000, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    loss = Loss.named("cross_entropy", {"reduction": "position"})
    counting = count(loss, targets, torch.zeros(1, 2, 3))
    before = torch.get_num_threads()
    rows = []
    try:
        for threads, batch in ((1, 50_000), (2, 999), (3, 128)):
            torch.set_num_threads(threads)
            rows.append(reduced(counting, values, batch))
    finally:
        torch.set_num_threads(before)
    assert rows[0] == rows[1] == rows[2]


@pytest.mark.parametrize("name", ["mlp", "probabilities", "nll", "two inputs"])
@pytest.mark.parametrize("precision", [Precision.FLOAT32, DOUBLE])
def test_without_positions_both_reductions_are_the_same_bits(
    name: str, precision: Precision
) -> None:
    case = BY_NAME[name]
    pooling = replace(case, loss=replace(case.loss, reduction=Reduction.POSITION))
    assert measured(case, 4, precision) == measured(pooling, 4, precision)


@pytest.mark.parametrize("name", ["mse", "l1", "huber", "binary"])
def test_with_as_many_positions_each_both_are_one_number(name: str) -> None:
    case = BY_NAME[name]
    pooling = replace(case, loss=replace(case.loss, reduction=Reduction.POSITION))
    got, wanted = measured(pooling), measured(case)
    assert got.loss == pytest.approx(wanted.loss, rel=1e-14)
    assert got.stderr == pytest.approx(wanted.stderr, rel=1e-12)
    assert got.accuracy == pytest.approx(wanted.accuracy, abs=1e-7)


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        (none, (23, 161, 0, 0)),
        (evenly, (22, 110, 1, 51)),
        (whole_samples, (20, 99, 3, 62)),
        (the_first, (3, 15, 20, 146)),
        (all_but_one, (1, 3, 22, 158)),
    ],
    ids=lambda p: getattr(p, "__name__", ""),
)
@pytest.mark.parametrize("reduction", ["sample", "position"])
def test_what_was_counted(
    pattern: Callable[[Tensor], None], wanted: tuple[int, ...], reduction: str
) -> None:
    case = sequence(pattern, reduction)
    found = count_targets(Setting(case.network, case.loss, 1), case.origin, case.dataset)
    numbers = (found.samples, found.positions, found.ignored_samples, found.ignored_positions)
    assert numbers == wanted
    assert found.positions + found.ignored_positions == case.dataset.targets.numel()
    assert found.to_json()["reduction"] == reduction
    alike = reduction == "sample" or pattern in (none, evenly, all_but_one)
    assert (found.weights is None) == alike
    if found.weights is None:
        assert found.effective_samples == found.samples
    else:
        n = (case.dataset.targets != IGNORED).sum(1).double()
        kish = (n.sum() ** 2 / n.square().sum()).item()
        assert found.effective_samples == pytest.approx(kish, rel=1e-14)
        assert found.weights.sum().item() == pytest.approx(found.samples, rel=1e-14)


@pytest.mark.parametrize(
    ("name", "positions"),
    [("mlp", 31), ("probabilities", 20), ("mse", 95), ("binary", 90), ("program", 14)],
)
def test_losses_that_ignore_nothing_count_all(name: str, positions: int) -> None:
    case = BY_NAME[name]
    found = count_targets(Setting(case.network, case.loss, 1), case.origin, case.dataset)
    assert (found.samples, found.positions) == (case.dataset.samples, positions)
    assert (found.ignored_samples, found.ignored_positions) == (0, 0)


def test_probabilities_of_positions_count_every_position() -> None:
    case = sequence(none, "position")
    g = torch.Generator().manual_seed(2)
    targets = torch.rand(23, 4, 7, generator=g).softmax(1)
    soft = replace(case, dataset=replace(case.dataset, targets=targets))
    wanted = functional.cross_entropy(outputs_of(case), targets.double(), reduction="none").mean()
    assert measured(soft).loss == pytest.approx(wanted.item(), rel=1e-12)
    found = count_targets(Setting(soft.network, soft.loss, 1), soft.origin, soft.dataset)
    assert (found.positions, found.weights) == (161, None)


def test_nll_of_positions() -> None:
    case = sequence(whole_samples, "position")
    module = nn.Sequential(copy.deepcopy(case.module), nn.LogSoftmax(1))
    likely = replace(
        case,
        network=ModuleNetwork(module, ("tokens",)),
        origin=point_of(module),
        loss=Loss.named("nll", {"reduction": "position"}),
    )
    assert measured(likely).loss == pytest.approx(measured(case).loss, rel=1e-13)


CURVES = [sequence(pattern, "position") for pattern in (whole_samples, the_first)]


@pytest.mark.parametrize("case", CURVES, ids=lambda c: c.name)
def test_gradient_is_that_of_the_same_mean(case: Case) -> None:
    local = objective(case).at(case.origin)
    got = local.gradient()
    module = copy.deepcopy(case.module).double()
    loss = functional.cross_entropy(module(*case.dataset.inputs), case.dataset.targets)
    loss.backward()  # type: ignore[no-untyped-call]
    assert got.loss == pytest.approx(loss.item(), rel=1e-13)
    assert got.loss == pytest.approx(measured(case).loss, rel=1e-13)
    for name, parameter in module.named_parameters():
        part = got.layout.views(got.vector)[name]
        assert parameter.grad is not None
        assert torch.allclose(part, parameter.grad, rtol=0, atol=1e-14)


@pytest.mark.parametrize("form", list(HessianForm))
@pytest.mark.parametrize("case", CURVES, ids=lambda c: c.name)
def test_products_are_with_the_hessian_of_the_same_mean(case: Case, form: HessianForm) -> None:
    operator = HessianOperator(objective(case).at(case.origin), form=form)
    block = gaussian_block(operator, 3, 1, "test")
    expected = block @ dense_hessian(case)
    scale = float(expected.abs().max())
    assert torch.allclose(operator.apply(block), expected, rtol=0, atol=1e-12 * scale)


def test_the_two_reductions_curve_otherwise() -> None:
    """So that the tests above could fail."""
    one, other = (dense_hessian(sequence(here_and_there, r)) for r in ("sample", "position"))
    assert float((one - other).abs().max()) > 1e-3 * float(one.abs().max())


def test_a_recorded_pass_weighs_as_a_plain_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    case = sequence(whole_samples, "position")
    setting = Setting(case.network, case.loss, 5, DOUBLE)
    cells: list[Cell] = [(alpha, None) for alpha in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)]

    def evaluator() -> CellEvaluator:
        target = type(case.origin)(
            {name: -tensor for name, tensor in case.origin.parameters.items()}, {}
        )
        return segment_evaluator(setting, case.origin, target, [case.dataset])

    plain = evaluator().evaluate(cells)
    monkeypatch.setattr(surface, "recorder", lambda device: lambda run: run)
    replayed = evaluator()
    assert replayed.evaluate(cells) == plain
    assert replayed.replays


class PositionLosses(nn.Module):
    """Returns the loss of every position itself."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2)

    def forward(self, x: Tensor, targets: Tensor) -> Tensor:
        out: Tensor = (self.linear(x) - targets).square()
        return out


def test_a_program_that_returns_positions() -> None:
    module = seeded(PositionLosses, seed=4)
    case = replace(
        BY_NAME["program"],
        network=ModuleNetwork(module, ("x", "targets")),
        origin=point_of(module),
        loss=Loss.named("program", {"reduction": "position"}),
    )
    with torch.no_grad():
        losses = module.double()(case.dataset.inputs[0].double(), case.dataset.targets.double())
    assert measured(case).loss == pytest.approx(losses.mean().item(), rel=1e-13)
    found = count_targets(Setting(case.network, case.loss, 1), case.origin, case.dataset)
    assert (found.samples, found.positions) == (14, 28)


def test_a_program_that_returns_samples_has_no_positions() -> None:
    case = BY_NAME["program"]
    setting = Setting(case.network, Loss.named("program", {"reduction": "position"}), 4)
    with pytest.raises(TargetsInvalid, match=r"before the mean.*or use the reduction 'sample'"):
        prepare_datasets(setting, case.origin, [case.dataset])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"reduction": "sum"}, "'sample', 'position'"), ({"smoothing": 1}, "'smoothing'")],
)
def test_options_that_are_not_there(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputInvalid, match=message):
        Loss.named("cross_entropy", options)


@pytest.mark.parametrize("reduction", ["sample", "position"])
def test_trials_on_some_samples_need_no_targets(reduction: str) -> None:
    """A batch size is chosen, and a product's memory metered, on the first samples."""
    case = sequence(the_first, reduction)
    setting = Setting(case.network, case.loss, 1)
    assert choose_batching(setting, case.origin, [case.dataset]).batch_size == 23
    plan = plan_products(setting, case.origin, case.dataset, memory_budget_bytes=1 << 26, block=1)
    assert plan.batch_size == 23
    (held,) = prepare_datasets(setting, case.origin, [case.dataset.head(3)])
    assert held.samples == 0


def test_data_without_any_target_are_refused() -> None:
    case = sequence(none, "position")
    targets = torch.full_like(case.dataset.targets, IGNORED)
    setting = Setting(case.network, case.loss, 1)
    with pytest.raises(TargetsInvalid, match="nothing to average"):
        prepare_datasets(setting, case.origin, [replace(case.dataset, targets=targets)])
