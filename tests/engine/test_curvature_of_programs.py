"""Curvature of uploaded programs, bound, not of modules."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.program_binding.exported import read
from tests.support.reference import ROOT
from workers.engine.datasets import dataset_from_tensors
from workers.engine.evaluation import Setting
from workers.engine.hessian import HessianForm, HessianOperator, choose_form
from workers.engine.lanczos import spectrum_ends
from workers.engine.losses import Loss
from workers.engine.network import Point, split_point
from workers.engine.objective import Objective
from workers.engine.operators import rademacher_block
from workers.engine.precision import Precision
from workers.engine.product_memory import plan_products
from workers.program.binder import BoundNetwork


def bound(folder: str) -> tuple[Objective, Point]:
    root = ROOT / folder
    graph, constants = read(root / "program.pt2")
    network, loss = BoundNetwork(graph, constants), Loss.named("cross_entropy")
    final = sorted(root.glob("checkpoint_*.safetensors"))[-1]
    origin = split_point(network, load_file(final))
    dataset = dataset_from_tensors("digits", load_file(root / "data.safetensors"), network, loss)
    setting = Setting(network, loss, 500, Precision.FLOAT64)
    plan = plan_products(setting, origin, dataset, memory_budget_bytes=1 << 30)
    assert plan.batch_size > 100
    return Objective(setting, origin, dataset), origin


def test_the_reference_hessian_of_the_program() -> None:
    expected = json.loads((ROOT / "digits_mlp" / "expected.json").read_text())["hessian_float64"]
    objective, origin = bound("digits_mlp")
    operator = HessianOperator(objective.at(origin), retain=True)
    spectrum = spectrum_ends(operator, largest=8, smallest=8, tolerance=1e-6, max_products=610)
    assert spectrum.converged
    for pairs, wanted in (
        (spectrum.largest, expected["largest"]),
        (spectrum.smallest, expected["smallest"]),
    ):
        error = np.abs(np.array([p.value for p in pairs]) - wanted).max()
        assert error <= 1e-6 * expected["largest"][0]


@pytest.mark.parametrize("folder", ["digits_mlp", "digits_convnet"])
def test_every_form_works_on_a_program(folder: str) -> None:
    objective, origin = bound(folder)
    local = objective.at(origin)
    products = []
    for form in HessianForm:
        operator = HessianOperator(local, form=form)
        products.append(operator.apply(rademacher_block(operator, 2, 0, "test")))
    scale = float(products[0].abs().max())
    assert scale > 0
    for other in products[1:]:
        assert torch.allclose(other, products[0], rtol=0, atol=1e-12 * scale)
    assert choose_form(local) in HessianForm
