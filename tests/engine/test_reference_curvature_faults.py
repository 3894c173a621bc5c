"""Curvature faults of the published code, one test each: ours must not have them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.engine.dense_hessian import CURVED, dense_hessian, objective
from tests.engine.test_lanczos import symmetric
from workers.engine.hessian import HessianOperator
from workers.engine.lanczos import spectrum_ends
from workers.engine.operators import DenseOperator, dense

CASE = CURVED["mlp"]


@pytest.mark.parametrize("batch_size", [1, 8, 31])
def test_eigenvalues_multiplied_by_the_number_of_batches(batch_size: int) -> None:
    exact = np.linalg.eigvalsh(dense_hessian(CASE).numpy())
    operator = HessianOperator(objective(CASE, batch_size).at(CASE.origin))
    spectrum = spectrum_ends(operator, tolerance=1e-7)
    assert spectrum.largest[0].value == pytest.approx(exact[-1], rel=1e-9)


def test_unweighted_ragged_batches() -> None:
    """31 samples in batches of 8: the published code gives the last 7 the weight of 8."""
    exact = dense_hessian(CASE)
    got = dense(HessianOperator(objective(CASE, 8).at(CASE.origin)))
    assert torch.allclose(got, exact, rtol=0, atol=1e-13)
    cut = [
        type(CASE.dataset)(
            "d", tuple(t[i : i + 8] for t in CASE.dataset.inputs), CASE.dataset.targets[i : i + 8]
        )
        for i in range(0, 31, 8)
    ]
    assert [d.samples for d in cut] == [8, 8, 8, 7]
    unweighted = (
        sum(
            dense(HessianOperator(objective(replace(CASE, dataset=d), 8).at(CASE.origin)))
            for d in cut
        )
        / 4
    )
    assert isinstance(unweighted, Tensor)
    # The test's own data tell the two apart.
    assert (unweighted - exact).abs().max() > 1e-4 * exact.abs().max()


def test_smallest_eigenvalue_wrong_by_ten_per_cent_and_different_from_run_to_run() -> None:
    """With a fixed number of steps and no residual it was; with a residual it cannot be."""
    case = CURVED["convnet"]
    exact = np.linalg.eigvalsh(dense_hessian(case).numpy())
    operator = HessianOperator(objective(case).at(case.origin), retain=True)
    values = []
    for seed in range(5):
        spectrum = spectrum_ends(operator, seed=seed, tolerance=1e-5)
        assert spectrum.smallest[0].converged
        values.append(spectrum.smallest[0].value)
    assert np.abs(np.array(values) - exact[0]).max() <= 1e-6 * exact[-1]
    assert np.ptp(values) <= 1e-6 * exact[-1]


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_shift_trick_wrong_when_all_eigenvalues_have_one_sign(sign: float) -> None:
    """The published code finds the other end from A − λ_1 I, with λ_1 taken as the positive one."""
    eigenvalues = [sign * v for v in (0.5, 1.0, 2.0, 6.0, 9.0)]
    spectrum = spectrum_ends(DenseOperator(symmetric(eigenvalues)), tolerance=1e-10)
    assert spectrum.largest[0].value == pytest.approx(max(eigenvalues), abs=1e-12)
    assert spectrum.smallest[0].value == pytest.approx(min(eigenvalues), abs=1e-12)
