"""Stochastic Lanczos quadrature against the eigenvalues themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tests.engine.dense_hessian import CURVED, dense_hessian, objective
from tests.engine.test_lanczos import symmetric
from workers.engine.density import SpectralDensity, spectral_density
from workers.engine.errors import CurvatureNotFinite, InputInvalid
from workers.engine.hessian import HessianOperator
from workers.engine.operators import CountingOperator, DenseOperator, rademacher_block


def moment(density: SpectralDensity, power: int) -> tuple[float, float]:
    """Mean of λ^power over the spectrum, tr(A^power) / size, and its standard error.

    The error is NaN for a single probe.
    """
    terms = density.weights * density.nodes**power * density.probes
    each = np.bincount(density.probe, weights=terms, minlength=density.probes)
    error = each.std(ddof=1) / math.sqrt(len(each)) if len(each) > 1 else math.nan
    return float(each.mean()), float(error)


@pytest.mark.parametrize("name", ["mlp", "convnet", "attention", "program"])
def test_integrates_to_one_and_has_the_moments_of_the_spectrum(name: str) -> None:
    case = CURVED[name]
    operator = CountingOperator(HessianOperator(objective(case).at(case.origin), retain=True))
    got = spectral_density(operator, probes=10, steps=20, seed=2)
    assert got.weights.sum() == pytest.approx(1, abs=1e-12)
    assert (got.weights >= 0).all()
    assert got.probes == 10
    assert got.products == operator.products <= 200
    exact = np.linalg.eigvalsh(dense_hessian(case).numpy())
    for power in (1, 2, 3):
        mean, error = moment(got, power)
        assert abs(mean - np.mean(exact**power)) <= 4 * error
    assert moment(got, 0) == (pytest.approx(1), pytest.approx(0, abs=1e-12))


def test_moments_of_each_probe_are_exact_to_twice_the_steps() -> None:
    matrix = symmetric([float(x) for x in np.linspace(-1, 2, 30)])
    operator = DenseOperator(matrix)
    got = spectral_density(operator, probes=3, steps=5, seed=1)
    starts = rademacher_block(operator, 3, 1, "density") / math.sqrt(30)
    for index, start in enumerate(starts):
        of = got.probe == index
        vector = start
        for power in range(10):
            moment = 3 * float(got.weights[of] @ got.nodes[of] ** power)
            assert moment == pytest.approx(float(start @ vector), abs=1e-10)
            vector = matrix @ vector


@pytest.mark.parametrize("width", [None, 1e-3, 0.3])
@pytest.mark.parametrize("points", [1, 40, 1000])
def test_the_curve_integrates_to_one_however_coarse(width: float | None, points: int) -> None:
    matrix = dense_hessian(CURVED["convnet"])
    got = spectral_density(DenseOperator(matrix), probes=4, steps=15)
    curve = got.curve(points, width)
    assert curve.x.shape == curve.density.shape == (points,)
    low = got.nodes.min() - 6 * curve.width
    high = got.nodes.max() + 6 * curve.width
    assert curve.density.sum() * (high - low) / points == pytest.approx(1, abs=1e-8)


def test_the_curve_is_that_of_the_smoothed_eigenvalues() -> None:
    exact = np.concatenate([np.linspace(-1, 0, 60), np.linspace(2, 3, 40)])
    operator = DenseOperator(symmetric([float(v) for v in exact]))
    got = spectral_density(operator, probes=40, steps=40, seed=0)
    curve = got.curve(200, 0.2)
    gaussians = np.exp(-(((curve.x[:, None] - exact) / 0.2) ** 2) / 2) / (
        0.2 * math.sqrt(2 * math.pi)
    )
    # 40 probes of 100 components know each share to about 1/√4000 of it.
    assert np.abs(curve.density - gaussians.mean(1)).max() < 0.1 * curve.density.max()


def test_an_operator_of_one_eigenvalue_is_exhausted_at_once() -> None:
    operator = CountingOperator(DenseOperator(2 * torch.eye(6, dtype=torch.float64)))
    got = spectral_density(operator, probes=3, steps=5)
    assert operator.products == got.products == 3
    assert got.nodes == pytest.approx([2.0] * 3)
    curve = got.curve()
    assert abs(curve.x[curve.density.argmax()] - 2) < curve.width
    single = spectral_density(operator, probes=1, steps=5)
    assert math.isnan(moment(single, 1)[1])


def test_runs_one_after_the_other_are_the_same_runs() -> None:
    """Fewer at once take less memory, and change no value beyond rounding."""
    operator = DenseOperator(symmetric(np.linspace(-1, 3, 40)))
    whole = spectral_density(operator, probes=5, steps=12)
    for at_once in (1, 2, 5, 9):
        parts = spectral_density(operator, probes=5, steps=12, at_once=at_once)
        assert np.array_equal(parts.probe, whole.probe)
        assert parts.products == whole.products == 60
        assert np.allclose(parts.nodes, whole.nodes, atol=1e-9)
        assert np.allclose(parts.weights, whole.weights, atol=1e-9)


def test_what_cannot_be_is_refused_by_name() -> None:
    operator = DenseOperator(torch.eye(4))
    with pytest.raises(InputInvalid, match="not 0 and 5"):
        spectral_density(operator, probes=0, steps=5)
    density = spectral_density(operator, probes=1, steps=1)
    with pytest.raises(InputInvalid, match="positive width"):
        density.curve(10, 0.0)
    with pytest.raises(CurvatureNotFinite):
        spectral_density(DenseOperator(torch.full((3, 3), torch.nan)))
