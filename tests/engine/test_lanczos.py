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

each_net = pytest.mark.parametrize("case", CURVED.values(), ids=CURVED.keys())


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
    # Among them zeros of high multiplicity (parameters without effect), and pairs: the squared
    # error of a linear map has each of its curvatures once per output.
    got = [p.value for p in spectrum.smallest] + [p.value for p in spectrum.largest][::-1]
    assert np.abs(got - exact[[0, 1, 2, -3, -2, -1]]).max() <= 1e-6 * scale
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


def test_multiple_eigenvalues_of_a_network_are_reported_each() -> None:
    case = CURVED["program"]
    exact = np.linalg.eigvalsh(dense_hessian(case).numpy())
    assert exact[::2] == pytest.approx(exact[1::2])
    operator = HessianOperator(objective(case).at(case.origin))
    for count in range(1, 11):
        spectrum = spectrum_ends(operator, largest=count, smallest=count, tolerance=1e-8)
        assert spectrum.converged
        got = [p.value for p in spectrum.largest]
        assert got == pytest.approx(exact[::-1][:count], rel=1e-7)
        assert [p.value for p in spectrum.smallest] == pytest.approx(exact[:count], rel=1e-7)


BULK = np.linspace(-0.3, 0.3, 40).tolist()
#: Eigenvalues by what is awkward about them.
DEGENERATE = {
    **{f"{m} at the top": [5.0] * m + [3.0, 2.0] + BULK for m in range(1, 6)},
    **{f"{m} at the bottom": [-5.0] * m + [-3.0, 1.0] + BULK for m in range(1, 6)},
    **{f"{m} at both": [5.0] * m + [-2.0] * m + BULK for m in range(1, 6)},
    "several": [5.0] * 2 + [4.0] * 3 + [3.0] + [-1.0] * 4 + BULK,
    "identity": [1.0] * 30,
    "zero": [0.0] * 30,
    "minus identity": [-2.0] * 12,
    "rank one": [7.0] + [0.0] * 30,
    "rank one, negative": [-7.0] + [0.0] * 30,
    "projection": [1.0] * 15 + [0.0] * 15,
    "size one": [-3.0],
    "size one, zero": [0.0],
    "size two": [2.0, -1.0],
    "size two, equal": [2.0, 2.0],
    "size three": [2.0, 2.0, -1.0],
    **{
        f"gaps of {gap:g}": [5.0 - i * gap for i in range(4)]
        + [-2.0 + i * gap for i in range(3)]
        + BULK
        for gap in (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
    },
}
each_spectrum = pytest.mark.parametrize("eigenvalues", DEGENERATE.values(), ids=DEGENERATE.keys())


@each_spectrum
@pytest.mark.parametrize(
    ("dtype", "tolerance", "diagonal"),
    [
        (torch.float64, 1e-8, True),
        (torch.float64, 1e-4, False),
        (torch.float32, 1e-5, False),
    ],
)
def test_eigenvalues_come_with_their_multiplicity(
    eigenvalues: list[float], dtype: torch.dtype, tolerance: float, diagonal: bool
) -> None:
    """From one of an end to all of both."""
    size = len(eigenvalues)
    exact = np.sort(eigenvalues)
    whole = torch.diag(torch.tensor(eigenvalues, dtype=torch.float64))
    matrix = (whole if diagonal else symmetric(eigenvalues, seed=3)).to(dtype)
    scale = np.abs(exact).max()
    rounding = 30 * torch.finfo(dtype).eps * scale
    counts = [k for k in (1, 2, 4, size) if 1 <= k <= size]
    pairs = [*((k, 0) for k in counts), *((0, k) for k in counts), *((k, k) for k in counts)]
    for largest, smallest in pairs:
        spectrum = spectrum_ends(
            DenseOperator(matrix),
            largest=largest,
            smallest=smallest,
            tolerance=tolerance,
            max_products=size,
            seed=largest,
        )
        where = f"{largest} largest, {smallest} smallest"
        assert spectrum.converged, where
        assert spectrum.products <= size
        got = [p.value for p in spectrum.largest] + [p.value for p in spectrum.smallest]
        wanted = [*exact[::-1][:largest], *exact[:smallest]]
        # An eigenvalue lies within the residual, and one that is missing not farther out than some
        # residuals: a start sees too much of it for that.
        assert np.abs(np.array(got) - wanted).max() <= 5 * tolerance * scale, where
        for pair in (*spectrum.largest, *spectrum.smallest):
            assert pair.vector is not None
            vector = pair.vector.double()
            true = torch.linalg.vector_norm(matrix.double() @ vector - pair.value * vector)
            assert float(true) <= 1.01 * pair.residual + rounding, where
        vectors = [p.vector for p in spectrum.largest if p.vector is not None]
        if vectors:
            gram = torch.stack(vectors) @ torch.stack(vectors).T
            assert torch.allclose(gram, torch.eye(largest, dtype=dtype), atol=1e-5)


@each_spectrum
def test_nothing_is_called_converged_while_something_larger_is_missing(
    eigenvalues: list[float],
) -> None:
    """However few products there are."""
    exact, size = np.sort(eigenvalues), len(eigenvalues)
    scale, tolerance = float(np.abs(exact).max()), 1e-4
    operator = DenseOperator(symmetric(eigenvalues, seed=5))
    for count in (2, 4):
        for budget in range(2 * count, size, 5):
            spectrum = spectrum_ends(
                operator,
                largest=count,
                smallest=count,
                tolerance=tolerance,
                max_products=budget,
                seed=budget,
            )
            assert spectrum.products <= budget
            ends = ((spectrum.largest, exact[::-1]), (spectrum.smallest, exact))
            for pairs, wanted in ends:
                for pair, value in zip(pairs, wanted, strict=False):
                    if pair.converged:
                        assert abs(pair.value - value) <= 5 * tolerance * scale


def test_one_of_each_end_takes_no_product_for_multiplicities() -> None:
    """The convexity map's cells: one plain Lanczos run, stopped as soon as both have converged."""
    matrix = dense_hessian(CURVED["convnet"])
    spectrum = spectrum_ends(DenseOperator(matrix), tolerance=1e-3)
    run = LanczosRun(DenseOperator(matrix))
    for _ in range(spectrum.products):
        run.step()
    values, _, residuals = run.basis().ritz()
    assert (values[0], values[-1]) == (spectrum.smallest[0].value, spectrum.largest[0].value)
    assert np.array_equal(run.basis().projected, spectrum.basis.projected)
    assert max(residuals[0], residuals[-1]) <= 1e-3 * values[-1]


def test_what_looking_for_copies_costs() -> None:
    """Of a simple spectrum, several of one end: some more than finding them takes."""
    matrix = dense_hessian(CURVED["convnet"])
    for count in (2, 5, 10):
        spectrum = spectrum_ends(
            DenseOperator(matrix), largest=count, smallest=0, tolerance=1e-5, max_products=343
        )
        run = LanczosRun(DenseOperator(matrix))
        while True:
            run.step()
            if run.steps >= count:
                values, _, residuals = run.basis().ritz()
                if (residuals[-count:] <= 1e-5 * values[-1]).all():
                    break
        print(f"{count} largest: {run.steps} products found them, {spectrum.products} in all")
        assert spectrum.converged
        assert spectrum.products <= 2.5 * run.steps


def test_ends_may_share_eigenvalues() -> None:
    spectrum = spectrum_ends(DenseOperator(symmetric([3.0])))
    assert spectrum.products == 1
    assert spectrum.largest[0].value == spectrum.smallest[0].value == pytest.approx(3.0)
    assert spectrum.converged
    spectrum = spectrum_ends(DenseOperator(symmetric([3.0, 1.0, -1.0])), largest=3, smallest=2)
    assert [p.value for p in spectrum.largest] == pytest.approx([3, 1, -1])
    assert [p.value for p in spectrum.smallest] == pytest.approx([-1, 1])


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
    assert np.allclose(tridiagonal, basis.projected, rtol=0, atol=1e-8)
    assert np.abs(np.triu(basis.projected, 2)).max() == 0
    outside = basis.remove_from(torch.ones(1, 40, dtype=torch.float64))
    assert (outside @ rows.T).abs().max() < 1e-13


def test_the_basis_of_several_segments_projects_the_operator() -> None:
    g = torch.Generator().manual_seed(1)
    matrix = torch.randn(40, 40, generator=g, dtype=torch.float64)
    matrix = matrix + matrix.T
    run = LanczosRun(DenseOperator(matrix), seed=2)
    for step in range(30):
        if step == 7:
            run.restart()
        if step in (12, 21):
            run.restart(run.basis().ritz()[1][:, -1])
        run.step()
        basis = run.basis()
        rows = torch.cat(basis.blocks)
        assert torch.allclose(rows @ rows.T, torch.eye(step + 1, dtype=torch.float64), atol=1e-12)
        assert np.allclose((rows @ matrix @ rows.T).numpy(), basis.projected, rtol=0, atol=1e-11)
        values, columns, residuals = basis.ritz()
        vectors = torch.from_numpy(columns.T) @ rows
        true = torch.linalg.vector_norm(
            vectors @ matrix - torch.from_numpy(values)[:, None] * vectors, dim=1
        )
        assert np.allclose(true.numpy(), residuals, rtol=1e-9, atol=1e-11)


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
    for counts in ((0, 0), (4, 0), (1, 4), (-1, 2)):
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
