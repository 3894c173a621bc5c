"""Gradients and eigenvectors as a child makes them, against autograd and a dense Hessian."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from service.domain.problems import Problem
from tests.engine.cases import Case
from tests.engine.dense_hessian import dense_hessian
from tests.support.halves import prepare
from tests.support.module_network import ModuleNetwork, point_of, seeded
from workers.computation.context import JobContext
from workers.computation.directions import Made, make_direction
from workers.engine.datasets import Dataset
from workers.engine.direction import norm
from workers.engine.errors import DirectionInvalid
from workers.engine.losses import Loss
from workers.engine.network import Point
from workers.engine.placement import BufferPolicy
from workers.engine.precision import Precision

GRADIENT = {"kind": "gradient", "dataset": "dst_b", "normalize": "none", "ignore": []}
EIGENVECTOR = {
    "kind": "eigenvector",
    "which": "largest",
    "dataset": "dst_a",
    "exclude": [],
    "seed": 0,
    "tolerance": 1e-5,
    "normalize": "none",
    "ignore": [],
}


def _module() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 3)).double()


def _dataset(name: str, samples: int) -> Dataset:
    generator = torch.Generator().manual_seed(samples)
    inputs = torch.randn(samples, 5, generator=generator, dtype=torch.float64)
    return Dataset(name, (inputs,), torch.randint(0, 3, (samples,), generator=generator))


@pytest.fixture
def context() -> JobContext:
    module = seeded(_module, 4)
    origin = point_of(module)
    return JobContext(
        job="job_1",
        network=ModuleNetwork(module),
        loss=Loss.named("cross_entropy"),
        precision=Precision.FLOAT64,
        buffers=BufferPolicy.FROZEN,
        device=torch.device("cpu"),
        origin=origin,
        points={"ckp_1": origin},
        datasets=(_dataset("train", 61), _dataset("test", 37)),
        dataset_ids=("dst_a", "dst_b"),
    )


def _vector(made: Made) -> np.ndarray[Any, Any]:
    parts = [t.double().reshape(-1) for t in made.direction.parameters.values()]
    return torch.cat(parts).numpy()


def _case(context: JobContext, dataset: Dataset) -> Case:
    network = context.network
    assert isinstance(network, ModuleNetwork)
    return Case(
        "here",
        network.module,
        network,
        context.origin,
        dataset,
        context.loss,
        lambda outputs, targets: F.cross_entropy(outputs, targets, reduction="none"),
    )


def test_a_gradient_is_the_mean_losss_over_its_own_data_set(context: JobContext) -> None:
    made = make_direction(context, "x", GRADIENT, None)
    data = context.datasets[1]
    network = context.network
    assert isinstance(network, ModuleNetwork)
    parameters = {n: p.clone().requires_grad_() for n, p in context.origin.parameters.items()}
    loss = F.cross_entropy(network(parameters, context.origin.buffers, *data.inputs), data.targets)
    loss.backward()  # type: ignore[no-untyped-call]
    for name, tensor in made.direction.parameters.items():
        expected = parameters[name].grad
        assert expected is not None
        assert torch.allclose(tensor.double(), expected, rtol=1e-6, atol=1e-9)
    assert made.about["loss"] == pytest.approx(loss.item(), rel=1e-12)
    assert made.about["gradient_norm"] == pytest.approx(norm(made.direction), rel=1e-6)


@pytest.mark.parametrize(("which", "index"), [("largest", -1), ("smallest", 0)])
def test_an_eigenvector_is_the_dense_hessians(context: JobContext, which: str, index: int) -> None:
    made = make_direction(context, "x", {**EIGENVECTOR, "which": which}, None)
    dense = dense_hessian(_case(context, context.datasets[0])).numpy()
    values, vectors = np.linalg.eigh(dense)
    vector = _vector(made)
    assert made.about["converged"] is True
    assert made.about["eigenvalue"] == pytest.approx(values[index], rel=1e-6)
    assert np.linalg.norm(vector) == pytest.approx(1.0, rel=1e-6)
    assert abs(vector @ vectors[:, index]) == pytest.approx(1.0, abs=1e-5)
    assert vector[np.abs(vector).argmax()] > 0


def test_what_is_excluded_does_not_move(context: JobContext) -> None:
    made = make_direction(context, "x", {**EIGENVECTOR, "exclude": ["norm", "bias"]}, None)
    moving = {n for n, t in made.direction.parameters.items() if bool(t.any())}
    assert moving == {"0.weight", "3.weight"}


def test_normalised_and_ignored_as_asked(context: JobContext) -> None:
    asked = {**GRADIENT, "normalize": "layer", "ignore": ["bias", "norm"]}
    made = make_direction(context, "x", asked, None).direction
    for name in ("0.weight", "3.weight"):
        assert float(made.parameters[name].norm()) == pytest.approx(
            float(context.origin.parameters[name].norm()), rel=1e-6
        )
    assert not bool(made.parameters["0.bias"].any())


def test_both_are_made_in_prepare_and_told_of(context: JobContext) -> None:
    request = {
        "directions": {"x": {"spec": EIGENVECTOR}, "y": {"spec": GRADIENT}},
        "orthogonalise": True,
    }
    first, again = prepare(context, request), prepare(context, request)
    assert first.objects == again.objects
    assert first.body["about"]["x"]["converged"] is True
    assert first.body["about"]["y"]["loss"] > 0
    assert abs(first.body["cosine"]) < 1e-6


def test_a_run_cut_short_says_so(context: JobContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.computation.directions._MOST_PRODUCTS", 2)
    assert make_direction(context, "x", EIGENVECTOR, None).about["converged"] is False


def test_what_cannot_be_made_is_said(context: JobContext) -> None:
    with pytest.raises(Problem, match="dst_c is none of the job's data sets"):
        make_direction(context, "x", {**GRADIENT, "dataset": "dst_c"}, None)
    pca = {"kind": "pca", "normalize": "none", "ignore": []}
    with pytest.raises(Problem, match="that job has not made"):
        make_direction(context, "x", pca, None)
    dead = {n: torch.zeros_like(p) for n, p in context.origin.parameters.items()}
    fitted = Dataset("fitted", (torch.ones(4, 5),), torch.zeros(4, 3))
    at_rest = replace(
        context,
        origin=Point(dead, context.origin.buffers),
        loss=Loss.named("mse"),
        datasets=(fitted,) * 2,
    )
    with pytest.raises(DirectionInvalid, match="gradient is zero"):
        make_direction(at_rest, "x", GRADIENT, None)
