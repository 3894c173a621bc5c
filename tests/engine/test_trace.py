"""Four estimators of the trace against the trace."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.engine.cases import Case
from tests.engine.dense_hessian import CURVED, dense_hessian, digits, objective
from tests.engine.test_lanczos import symmetric
from workers.engine.errors import CurvatureNotFinite, InputInvalid
from workers.engine.hessian import HessianOperator
from workers.engine.lanczos import spectrum_ends
from workers.engine.operators import CountingOperator, DenseOperator, dense, rademacher_block
from workers.engine.precision import Precision
from workers.engine.trace import estimate_trace
from workers.engine.trace_estimate import TraceMethod

METHODS = list(TraceMethod)
each_method = pytest.mark.parametrize("method", METHODS)


@pytest.fixture(scope="module", params=["mlp", "convnet", "attention", "digits"])
def matrix(request: pytest.FixtureRequest) -> Tensor:
    """Hessians of three untrained networks and of a trained one."""
    if request.param == "digits":
        chosen, point = digits()
        return dense(HessianOperator(chosen.at(point), retain=True))
    return dense_hessian(CURVED[request.param])


@each_method
@pytest.mark.parametrize("products", [12, 30])
def test_the_interval_holds_the_trace_in_ninety_of_a_hundred_seeds(
    method: TraceMethod, matrix: Tensor, products: int
) -> None:
    operator = DenseOperator(matrix)
    truth = float(matrix.trace())
    basis = spectrum_ends(operator, tolerance=1e-3).basis
    estimates = [
        estimate_trace(operator, products, method=method, basis=basis, seed=seed)
        for seed in range(100)
    ]
    inside = sum(e.interval[0] <= truth <= e.interval[1] for e in estimates)
    print(f"{method} of size {len(matrix)}, {products} products: {inside} of 100")
    assert inside >= 90
    # Not by intervals that are too wide to mean anything: the stated errors are of the true ones'
    # size, within the spread of a few samples.
    errors = np.array([e.trace - truth for e in estimates])
    stated = np.sqrt(np.mean([e.standard_error**2 for e in estimates]))
    assert 0.7 < stated / np.sqrt(np.mean(errors**2)) < 1.6
    # Unbiased: the mean of a hundred lies within four of its own standard errors.
    assert abs(errors.mean()) < 4 * errors.std(ddof=1) / 10


def test_deflation_makes_the_standard_error_smaller(matrix: Tensor) -> None:
    operator = DenseOperator(matrix)
    basis = spectrum_ends(operator, tolerance=1e-3).basis

    def error(method: TraceMethod) -> float:
        squares = [
            estimate_trace(operator, 16, method=method, basis=basis, seed=s).standard_error ** 2
            for s in range(20)
        ]
        return math.sqrt(sum(squares) / 20)

    ratio = error(TraceMethod.HUTCHINSON) / error(TraceMethod.DEFLATED)
    print(f"size {len(matrix)}: {ratio:.1f} times smaller for the same 16 products")
    # A trained network's few large eigenvalues are what there is to gain from.
    assert ratio > (4 if len(matrix) == 610 else 1.2)


@each_method
@pytest.mark.parametrize("case", CURVED.values(), ids=CURVED.keys())
def test_on_networks(method: TraceMethod, case: Case) -> None:
    operator = CountingOperator(HessianOperator(objective(case).at(case.origin), retain=True))
    basis = spectrum_ends(operator, max_products=30).basis
    operator.products = 0
    got = estimate_trace(operator, 30, method=method, basis=basis, seed=3)
    assert got.products == operator.products <= 30
    assert got.method is method
    truth = float(dense_hessian(case).trace())
    rounding = 1e-10 * abs(truth)
    assert abs(got.trace - truth) <= 5 * got.standard_error + rounding
    again = estimate_trace(operator, 30, method=method, basis=basis, seed=3)
    assert again == got


@pytest.mark.parametrize("method", [TraceMethod.HUTCH_PLUS_PLUS, TraceMethod.XTRACE])
@pytest.mark.parametrize("rank", [0, 1, 3])
def test_a_matrix_of_low_rank_is_no_special_case(method: TraceMethod, rank: int) -> None:
    operator = DenseOperator(symmetric([4.0, -1.0, 0.5][:rank] + [0.0] * (20 - rank)))
    got = estimate_trace(operator, 18, method=method)
    assert got.trace == pytest.approx([0.0, 4.0, 3.0, 3.5][rank], abs=1e-12)
    assert got.standard_error < 1e-12


@each_method
def test_few_parameters_are_exact_where_the_whole_space_is_seen(method: TraceMethod) -> None:
    operator = DenseOperator(symmetric([3.0, 1.0, -0.5]))
    basis = spectrum_ends(operator, tolerance=1e-12).basis
    got = estimate_trace(operator, 40, method=method, basis=basis)
    if method in (TraceMethod.DEFLATED, TraceMethod.HUTCH_PLUS_PLUS):
        assert got.trace == pytest.approx(3.5, abs=1e-12)
        assert got.standard_error == 0
        assert got.products < 40
    else:
        assert got.interval[0] - 1e-12 <= 3.5 <= got.interval[1] + 1e-12


def test_hutchinson_is_the_mean_of_its_quadratic_forms() -> None:
    matrix = symmetric([3.0, 1.0, -0.5, 2.0])
    operator = DenseOperator(matrix)
    probes = torch.cat([rademacher_block(operator, 1, 6, f"hutchinson {i}") for i in range(11)])
    forms = ((probes @ matrix) * probes).sum(1).numpy()
    got = estimate_trace(operator, 11, method=TraceMethod.HUTCHINSON, seed=6)
    assert got.trace == pytest.approx(forms.mean(), rel=1e-14)
    assert got.standard_error == pytest.approx(forms.std(ddof=1) / math.sqrt(11), rel=1e-12)
    # 2.228 is the printed table's t of 95 % with ten degrees of freedom: the interval is wider.
    assert got.interval[1] - got.trace == pytest.approx(2.634 * got.standard_error, rel=1e-3)


@each_method
def test_float32(method: TraceMethod) -> None:
    case = CURVED["convnet"]
    pairs = []
    for precision in (Precision.FLOAT32, Precision.FLOAT64):
        operator = HessianOperator(
            objective(case, precision=precision).at(case.origin), retain=True
        )
        basis = spectrum_ends(operator, max_products=25, tolerance=1e-5).basis
        pairs.append(estimate_trace(operator, 24, method=method, basis=basis, seed=1).trace)
    assert pairs[0] == pytest.approx(pairs[1], rel=1e-3)


def test_what_cannot_be_is_refused_by_name() -> None:
    operator = DenseOperator(torch.eye(8))
    with pytest.raises(InputInvalid, match="at least two probes, not 1"):
        estimate_trace(operator, 1, method=TraceMethod.HUTCHINSON)
    with pytest.raises(InputInvalid, match="six products, not 5"):
        estimate_trace(operator, 5, method=TraceMethod.HUTCH_PLUS_PLUS)
    with pytest.raises(InputInvalid, match="four products"):
        estimate_trace(operator, 3, method=TraceMethod.XTRACE)
    with pytest.raises(InputInvalid, match="basis of a Lanczos run"):
        estimate_trace(operator, 8)
    with pytest.raises(InputInvalid, match="'hutch\\+\\+'"):
        TraceMethod.named("exact")
    assert TraceMethod.named("xtrace") is TraceMethod.XTRACE


@pytest.mark.parametrize("method", [m for m in METHODS if m is not TraceMethod.DEFLATED])
def test_a_product_that_is_not_finite_is_said(method: TraceMethod) -> None:
    operator = DenseOperator(torch.full((9, 9), torch.nan))
    with pytest.raises(CurvatureNotFinite):
        estimate_trace(operator, 12, method=method)


# plain Hutchinson's interval holds the trace nineteen times in twenty, whatever the size
@pytest.mark.parametrize("method", sorted(set(TraceMethod) - {TraceMethod.HUTCHINSON}))
@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
def test_few_parameters_have_no_trace_that_is_wrong_and_certain(
    method: TraceMethod, size: int
) -> None:
    g = torch.Generator().manual_seed(size)
    matrix = torch.randn(size, size, generator=g, dtype=torch.float64)
    operator = DenseOperator(matrix + matrix.T)
    basis = spectrum_ends(operator).basis
    for seed in range(5):
        got = estimate_trace(operator, 8, method=method, basis=basis, seed=seed)
        assert got.products <= 8
        low, high = got.interval
        assert low - 1e-9 <= 2 * float(matrix.trace()) <= high + 1e-9
