"""Products within a memory budget."""

from __future__ import annotations

import gc
from dataclasses import replace

import pytest
import torch

from tests.engine.cases import BY_NAME
from tests.engine.dense_hessian import CURVED, classifying, objective, small_convnet
from workers.engine.activations import ActivationMeter
from workers.engine.errors import MemoryExceeded
from workers.engine.evaluation import Setting
from workers.engine.hessian import HessianForm, HessianOperator
from workers.engine.operators import rademacher_block
from workers.engine.product_memory import ProductPlan, plan_products

CASE = classifying("many", small_convnet, 400, 1, 8, 8)


def plan(budget: int, form: HessianForm = HessianForm.SWEPT) -> ProductPlan:
    setting = Setting(CASE.network, CASE.loss, 1)
    return plan_products(setting, CASE.origin, CASE.dataset, memory_budget_bytes=budget, form=form)


@pytest.mark.parametrize("form", list(HessianForm))
def test_the_batch_follows_the_budget(form: HessianForm) -> None:
    plans = [plan(budget, form) for budget in (2 << 20, 4 << 20, 1 << 30)]
    sizes = [p.batch_size for p in plans]
    assert sizes[0] < sizes[1] < sizes[2] == 400
    assert [p.retain for p in plans] == [False, False, form is not HessianForm.FORWARD]
    for p, budget in zip(plans, (2 << 20, 4 << 20, 1 << 30), strict=True):
        assert p.peak_bytes <= budget
        assert p.peak_bytes >= p.batch_size * p.bytes_per_sample


def test_too_small_a_budget_is_refused() -> None:
    with pytest.raises(MemoryExceeded, match="one sample needs about"):
        plan(1000)


def test_one_sample() -> None:
    case = CURVED["mlp"]
    setting = Setting(case.network, case.loss, 1)
    got = plan_products(setting, case.origin, case.dataset.head(1), memory_budget_bytes=1 << 24)
    assert (got.batch_size, got.retain) == (1, True)


def test_kept_passes_are_used_again() -> None:
    """A kept pull-back is the same function: same bits, and the network is not run again."""
    calls = 0

    class Counted(type(CASE.network)):  # type: ignore[misc]
        def __call__(self, *args: object) -> torch.Tensor:
            nonlocal calls
            calls += 1
            return super().__call__(*args)  # type: ignore[no-any-return]

    case = replace(CASE, network=Counted(CASE.module))
    results = []
    for retain in (True, False):
        operator = HessianOperator(objective(case, 128).at(case.origin), retain=retain)
        block = rademacher_block(operator, 2, 0, "test")
        results.append(operator.apply(block))
        calls = 0
        assert torch.equal(operator.apply(block), results[-1])
        assert calls == (0 if retain else 4)
    assert torch.equal(*results)


@pytest.mark.parametrize("name", ["l1", "huber", "sequence"])
@pytest.mark.parametrize("form", list(HessianForm))
def test_derivatives_that_are_known_to_be_zero_hold_no_memory(name: str, form: HessianForm) -> None:
    """They have no storage that could be looked at: `l1`'s second derivative, `abs`'s."""
    case = BY_NAME[name]
    setting = Setting(case.network, case.loss, 1)
    got = plan_products(
        setting, case.origin, case.dataset, memory_budget_bytes=1 << 28, form=form, block=2
    )
    assert got.batch_size == case.dataset.samples


def test_a_plan_is_the_same_whatever_else_the_process_has_done() -> None:
    """Garbage, and Python's collector coming by in the middle of it."""
    first = plan(4 << 20)
    before = gc.get_threshold()
    try:
        for threshold in (1, 7, 100):
            gc.set_threshold(threshold)
            cycle: list[object] = [torch.ones(1000)]
            cycle.append(cycle)
            del cycle
            assert plan(4 << 20) == first
    finally:
        gc.set_threshold(*before)
    assert gc.isenabled()


def test_sparse_tensors_have_no_memory_that_could_be_named() -> None:
    with ActivationMeter() as meter:
        kept = torch.ones(64, 64).to_sparse()
    assert kept.is_sparse
    assert meter.peak_bytes >= 64 * 64 * 4
