"""Both ends of a spectrum against dense float64 eigenvalues."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor

from tests.engine.cases import Case
from tests.engine.dense_hessian import CURVED, dense_hessian, digits, objective
from tests.support.reference import ROOT
from workers.engine.errors import CurvatureNotFinite, InputInvalid
from workers.engine.hessian import HessianOperator
from workers.engine.lanczos import LanczosRun, spectrum_ends
from workers.engine.normalisation import Kind
from workers.engine.operators import CountingOperator, DenseOperator
from workers.engine.precision import Precision

# The squared error of a linear map has each of its curvatures once per output: see the test of
# multiple eigenvalues.
SIMPLE = {name: case for name, case in CURVED.items() if name != "program"}
each_net = pytest.mark.parametrize("case", SIMPLE.values(), ids=SIMPLE.keys())


def symmetric(eigenvalues: list[float], seed: int = 0) -> Tensor:
    """A dense matrix with these eigenvalues in a random frame."""
    g = torch.Generator().manual_seed(seed)
    n = len(eigenvalues)
    frame = torch.linalg.qr(torch.randn(n, n, generator=g, dtype=torch.float64)).Q
    return frame @ torch.diag(torch.tensor(eigenvalues, dtype=torch.float64)) @ frame.T


@each_net
@pytest.mark.parametrize("exclude", [frozenset(), frozenset({Kind.BIAS, Kind.NORM})])
def test_three_of_each_end(case: Case, exclude: frozenset[Kind]) -> None:
    chosen = objective(case, exclude=exclude)
    operator = HessianOperator(chosen.at(case.origin), retain=True)
    matrix = dense_hessian(case, list(chosen.layout.names))
    exact = np.linalg.eigvalsh(matrix.numpy())
    spectrum = spectrum_ends(operator, largest=3, smallest=3, tolerance=1e-8)
    assert spectrum.converged
    scale = np.abs(exact).max()
    # Zeros of high multiplicity (parameters without effect) are reported once.
    distinct = exact[np.insert(np.diff(exact) > 1e-9 * scale, 0, True)]
    got = [p.value for p in spectrum.smallest] + [p.value for p in spectrum.largest][::-1]
    assert np.abs(got - distinct[[0, 1, 2, -3, -2, -1]]).max() <= 1e-6 * scale
    for pair in (*spectrum.largest, *spectrum.smallest):
        assert pair.vector is not None
        assert float(torch.linalg.vector_norm(pair.vector)) == pytest.approx(1, abs=1e-12)
        true = torch.linalg.vector_norm(matrix @ pair.vector - pair.value * pair.vector)
        assert float(true) == pytest.approx(pair.residual, abs=1e-12 * scale)


def test_flags_are_honest_when_products_run_out() -> None:
    case = CURVED["convnet"]
    matrix = dense_hessian(case)
    seen = set()
    for budget in (4, 8, 16, 30):
        spectrum = spectrum_ends(
            HessianOperator(objective(case).at(case.origin), retain=True),
            tolerance=1e-4,
            max_products=budget,
        )
        assert spectrum.products <= budget
        scale = max(abs(spectrum.largest[0].value), abs(spectrum.smallest[0].value))
        for pair in (*spectrum.largest, *spectrum.smallest):
            assert pair.vector is not None
            true = float(torch.linalg.vector_norm(matrix @ pair.vector - pair.value * pair.vector))
            assert pair.converged == (true <= 1e-4 * scale)
            assert pair.residual == pytest.approx(true, rel=1e-6, abs=1e-12)
            seen.add(pair.converged)
    assert seen == {True, False}


def test_float32_residuals_hold_against_the_float64_hessian() -> None:
    case = CURVED["convnet"]
    chosen = objective(case, precision=Precision.FLOAT32)
    spectrum = spectrum_ends(HessianOperator(chosen.at(case.origin)), tolerance=1e-5)
    assert spectrum.converged
    matrix = dense_hessian(case)
    for pair in (*spectrum.largest, *spectrum.smallest):
        assert pair.vector is not None
        vector = pair.vector.double()
        true = float(torch.linalg.vector_norm(matrix @ vector - pair.value * vector))
        # The tolerance, and as much again for the products' own rounding.
        assert true <= 2e-5 * spectrum.largest[0].value


@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.FLOAT64])
def test_no_residual_is_smaller_than_rounding(precision: Precision) -> None:
    case = CURVED["mlp"]
    operator = HessianOperator(objective(case, precision=precision).at(case.origin))
    # far more products than it takes: the recurrence's own estimate runs down to nothing
    spectrum = spectrum_ends(operator, tolerance=1.2e-6, smallest=3, max_products=200)
    raw = spectrum.basis.ritz()[2]
    least = 10 * torch.finfo(operator.dtype).eps * spectrum.largest[0].value
    assert raw[-1] < least
    for pair in (*spectrum.largest, *spectrum.smallest):
        assert pair.residual >= least * (1 - 1e-12)


def test_the_same_seed_gives_the_same_bits_and_another_the_same_values() -> None:
    case = CURVED["mlp"]
    operator = HessianOperator(objective(case).at(case.origin))
    first, second, other = (
        spectrum_ends(operator, seed=seed, tolerance=1e-6) for seed in (4, 4, 5)
    )
    assert first.smallest[0].value == second.smallest[0].value
    assert first.smallest[0].value != other.smallest[0].value
    assert first.smallest[0].value == pytest.approx(
        other.smallest[0].value, abs=1e-9 * first.largest[0].value
    )


@pytest.mark.parametrize(
    "eigenvalues",
    [
        [5.0, 4.0, 3.0, 2.5, 1.0],
        [-5.0, -4.0, -3.0, -2.5, -1.0],
        [1e-9, 2e-9, -3e-9, 0.0, 0.0],
        [2.0] * 6,
        [0.0] * 4,
        [7.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [3.0],
    ],
)
def test_awkward_spectra(eigenvalues: list[float]) -> None:
    """One sign, tiny, multiple, zero, of rank one, and of size one."""
    operator = DenseOperator(symmetric(eigenvalues))
    largest = spectrum_ends(operator, largest=1, smallest=0, tolerance=1e-10)
    smallest = spectrum_ends(operator, largest=0, smallest=1, tolerance=1e-10)
    scale = max(map(abs, eigenvalues))
    assert largest.largest[0].value == pytest.approx(max(eigenvalues), abs=1e-12 * scale)
    assert smallest.smallest[0].value == pytest.approx(min(eigenvalues), abs=1e-12 * scale)
    assert largest.smallest == () == smallest.largest
    assert largest.converged
    assert smallest.converged


def test_multiple_eigenvalues_of_a_network_are_reported_once() -> None:
    case = CURVED["program"]
    exact = np.linalg.eigvalsh(dense_hessian(case).numpy())
    assert exact[::2] == pytest.approx(exact[1::2])
    operator = HessianOperator(objective(case).at(case.origin))
    spectrum = spectrum_ends(operator, largest=2, smallest=2, tolerance=1e-8)
    assert [p.value for p in spectrum.largest] == pytest.approx([exact[-1], exact[-3]])
    assert [p.value for p in spectrum.smallest] == pytest.approx([exact[0], exact[2]])


def test_all_eigenvalues_of_a_multiple_one_can_be_asked_for() -> None:
    spectrum = spectrum_ends(DenseOperator(symmetric([2.0] * 6)), largest=3, smallest=3)
    assert [p.value for p in spectrum.largest] == pytest.approx([2.0] * 3)


def test_the_basis_is_orthonormal_and_tridiagonalises() -> None:
    matrix = symmetric([float(i) ** 3 - 5 for i in range(40)])
    run = LanczosRun(DenseOperator(matrix), seed=1)
    for _ in range(37):
        run.step()
    basis = run.basis()
    rows = torch.cat(basis.blocks)
    assert len(basis.blocks) == 3
    assert torch.allclose(rows @ rows.T, torch.eye(37, dtype=torch.float64), atol=1e-13)
    tridiagonal = (rows @ matrix @ rows.T).numpy()
    assert np.allclose(np.diag(tridiagonal), basis.diagonal, rtol=0, atol=1e-9)
    assert np.allclose(np.diag(tridiagonal, 1), basis.offdiagonal, rtol=0, atol=1e-9)
    assert np.abs(np.triu(tridiagonal, 2)).max() < 1e-8
    outside = basis.remove_from(torch.ones(1, 40, dtype=torch.float64))
    assert (outside @ rows.T).abs().max() < 1e-13


def test_a_start_of_ones_own() -> None:
    matrix = torch.diag(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    start = torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)
    run = LanczosRun(DenseOperator(matrix), start=start)
    run.step()
    assert not run.exhausted
    run.step()
    assert run.exhausted
    assert run.basis().ritz()[0] == pytest.approx([1, 2])
    run.step()
    assert run.basis().ritz()[0] == pytest.approx([1, 2, 3])
    with pytest.raises(InputInvalid, match="complete"):
        run.step()


def test_half_of_scipys_products_for_both_ends() -> None:
    """At the same residual. SciPy restarts from a short basis, and once for each end."""
    matrix = dense_hessian(CURVED["convnet"])
    tolerance = 1e-4
    counting = CountingOperator(DenseOperator(matrix))
    ours = spectrum_ends(counting, tolerance=tolerance)
    assert ours.converged
    assert counting.products == ours.products
    theirs = CountingOperator(DenseOperator(matrix))
    n = len(matrix)
    scipys = LinearOperator(
        (n, n),
        matvec=lambda v: theirs.apply(torch.from_numpy(v.reshape(1, -1).copy()))[0].numpy(),
        dtype=np.float64,
    )
    scale = ours.largest[0].value
    start = np.random.default_rng(0).standard_normal(n)
    for which in ("LA", "SA"):
        # ARPACK's tolerance is relative to the eigenvalue itself: the small end gets the same
        # absolute residual.
        value = ours.largest[0].value if which == "LA" else ours.smallest[0].value
        eigsh(scipys, k=1, which=which, v0=start, tol=tolerance * scale / abs(value))
    print(f"{ours.products} products, SciPy's eigsh {theirs.products}")
    assert ours.products <= theirs.products / 2


def test_what_cannot_be_is_refused_by_name() -> None:
    operator = DenseOperator(torch.eye(3))
    for counts in ((0, 0), (2, 2), (-1, 2)):
        with pytest.raises(InputInvalid, match="there are 3"):
            spectrum_ends(operator, largest=counts[0], smallest=counts[1])
    with pytest.raises(InputInvalid, match="as many products, not 1"):
        spectrum_ends(operator, max_products=1)
    with pytest.raises(InputInvalid, match=r"give 1\.2e-06 or more"):
        spectrum_ends(operator, tolerance=1e-9)
    with pytest.raises(InputInvalid, match="zero"):
        spectrum_ends(operator, start=torch.zeros(3))
    with pytest.raises(InputInvalid, match=r"needs \(3,\)"):
        spectrum_ends(operator, start=torch.ones(4))
    with pytest.raises(InputInvalid, match="square"):
        DenseOperator(torch.ones(2, 3))


def test_a_product_that_is_not_finite_is_said() -> None:
    for bad in (torch.nan, torch.inf):
        with pytest.raises(CurvatureNotFinite):
            spectrum_ends(DenseOperator(torch.full((3, 3), bad)))


def test_the_reference_hessian() -> None:
    """Values of an independent implementation: see tests/data/reference/README.md."""
    expected = json.loads((ROOT / "digits_mlp" / "expected.json").read_text())["hessian_float64"]
    chosen, point = digits()
    assert chosen.layout.size == expected["parameters"]
    operator = HessianOperator(chosen.at(point), retain=True)
    spectrum = spectrum_ends(operator, largest=8, smallest=8, tolerance=1e-6, max_products=610)
    assert spectrum.converged
    scale = expected["largest"][0]
    got = [p.value for p in spectrum.largest]
    assert np.abs(np.array(got) - expected["largest"]).max() <= 1e-6 * scale
    got = [p.value for p in spectrum.smallest]
    assert np.abs(np.array(got) - expected["smallest"]).max() <= 1e-6 * scale
