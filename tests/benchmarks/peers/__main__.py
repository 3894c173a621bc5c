"""What the peers compute, against dense float64 truth. Run by hand; no part of `make bench`.

    pip download --no-deps --dest peers loss-landscapes==3.0.6 loss-landscape-3d==0.1.3 (…)
    PYTHONPATH=… python -m tests.benchmarks.peers [NAME …]

Packages that are not there are said to be absent. Each experiment prints one line or a few; what
follows from them is in openapi/docs/peers.md.
"""

from __future__ import annotations

import contextlib
import copy
import io
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from tests.benchmarks.peers.problem import BATCH, SAMPLES, cosine, problem, say

CRITERION = torch.nn.functional.cross_entropy


def ours() -> None:
    """The engine of this repository is held to the same truth by tests/engine and conformance."""
    given = problem()
    values = torch.linalg.eigvalsh(given.hessian())
    print(
        f"truth: loss {float(given.loss()):.6g}, λ_max {float(values[-1]):.6g}, "
        f"λ_min {float(values[0]):.6g}, trace {float(values.sum()):.6g}"
    )


def loss_landscapes() -> None:
    import loss_landscapes as peer
    from loss_landscapes.metrics import Loss
    from loss_landscapes.model_interface.model_parameters import orthogonal_to, rand_u_like
    from loss_landscapes.model_interface.model_wrapper import wrap_model

    given = problem()
    start = wrap_model(given.network).get_module_parameters()
    cosines = []
    for _ in range(20):
        one = rand_u_like(start)
        two = orthogonal_to(one)
        one.filter_normalize_(start)
        two.filter_normalize_(start)
        cosines.append(abs(cosine(one.parameters, two.parameters)))
    say("loss-landscapes", "|cosine| of filter-normalised axes of random_plane",
        mean=float(np.mean(cosines)), largest=max(cosines))  # fmt: skip
    one = rand_u_like(start)
    say("loss-landscapes", "its random numbers (uniform)", smallest=min(
        float(p.min()) for p in one.parameters))  # fmt: skip

    # where the cells of a row lie: a "loss" that is the distance walked along the second axis
    class Walked:
        def __init__(self) -> None:
            self.start = torch.cat([p.detach().reshape(-1).clone() for p in start.parameters])

        def __call__(self, wrapper: Any) -> Any:
            here = torch.cat([p.reshape(-1) for p in wrapper.get_module_parameters().parameters])
            return (here - self.start).numpy().copy()

    torch.manual_seed(1)
    grid = peer.random_plane(given.network, Walked(), distance=1, steps=6, deepcopy_model=True)
    along = grid[0][1] - grid[0][0]
    rows = grid @ along / (along @ along)
    # steps of the second axis from the first row's first cell, by rows
    say("loss-landscapes", "positions of one column along its row, in steps, rows 0 to 5",
        column=(rows[:, 0] - rows[0, 0]).round(6).tolist())  # fmt: skip
    reach = [
        float(np.linalg.norm(
            peer.random_plane(given.network, Walked(), distance=d, steps=6, deepcopy_model=True)
            .reshape(36, -1), axis=1).max())
        for d in (1, 2)
    ]  # fmt: skip
    say(
        "loss-landscapes", "farthest cell from the centre", distance_1=reach[0], distance_2=reach[1]
    )
    metric = Loss(CRITERION, given.inputs, given.targets)
    line = peer.linear_interpolation(
        problem(1).network, problem(2).network, metric, steps=5, deepcopy_model=True
    )
    with torch.no_grad():
        first = float(CRITERION(problem(1).network(given.inputs), given.targets))
    say("loss-landscapes", "linear_interpolation without its start",
        points=len(line), first=float(line[0]), loss_at_start=first)  # fmt: skip


def loss_landscape_3d() -> None:
    from loss_landscape_3d import LossLandscapeCalculator, generate_random_directions
    from loss_landscape_3d.directions import compute_hvp

    given = problem()
    matrix = given.hessian()
    torch.manual_seed(0)
    vector = torch.randn(len(matrix), dtype=torch.float64)
    shaped, start = {}, 0
    for name, tensor in given.network.named_parameters():
        shaped[name] = vector[start : start + tensor.numel()].reshape(tensor.shape)
        start += tensor.numel()
    product = compute_hvp(given.network, given.loader, CRITERION, shaped, "cpu")
    flat = torch.cat([part.reshape(-1) for part in product.values()])
    error = float((flat - matrix @ vector).norm() / (matrix @ vector).norm())
    say("loss-landscape-3d", "Hessian-vector product on batches of 10, 10, 3", relative_error=error)
    normed = problem(norm=True)
    normed.network.train()(normed.inputs)
    normed.network.eval()
    calculator = LossLandscapeCalculator(normed.network, normed.loader, CRITERION)
    found = 0
    for seed in range(20):
        torch.manual_seed(seed)
        x, y = generate_random_directions(normed.network)
        center = {k: v.clone() for k, v in normed.network.state_dict().items()}
        grid = calculator.calculate(np.linspace(-1, 1, 5), np.linspace(-1, 1, 5), x, y, center)
        found += bool(np.isnan(grid).any())
    say("loss-landscape-3d", "planes of a batch-normed network with NaN cells (running variances "
        "are moved below zero)", of_20=found)  # fmt: skip


def landscaper() -> None:
    from landscaper import LossLandscape
    from landscaper.compute import compute_loss_landscape
    from landscaper.hessian import PyHessian
    from landscaper.utils import generate_random_orthogonal_directions

    given = problem()
    cosines = []
    for seed in range(20):
        torch.manual_seed(seed)
        cosines.append(abs(cosine(*generate_random_orthogonal_directions(given.network, 2))))
    say("landscaper", "|cosine| of random orthogonal directions",
        mean=float(np.mean(cosines)), largest=max(cosines))  # fmt: skip
    cosines = []
    wide = SimpleNamespace(parameters=lambda: iter([torch.zeros(100_000)]))
    torch.manual_seed(0)
    cosines.append(abs(cosine(*generate_random_orthogonal_directions(wide, 2))))
    say("landscaper", "|cosine| of two such of 100,000 parameters", value=cosines[0])

    def measured(function: Callable[[Any, Any], float], steps: int = 5) -> Any:
        torch.manual_seed(0)
        axes = [[torch.randn_like(p) for p in given.network.parameters()] for _ in range(2)]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return compute_loss_landscape(
                copy.deepcopy(given.network), None, axes, function, steps=steps, distance=1.0,
                dim=2, device="cpu",
            )  # fmt: skip

    np.random.seed(0)
    values, _ = measured(lambda _model, _data: 2.0)
    say("landscaper", "a surface that is 2 everywhere comes out from",
        smallest=float(values.min()), largest=float(values.max()))  # fmt: skip
    calls = iter(range(25))
    values, _ = measured(lambda _m, _d: float("nan") if next(calls) == 12 else 1.0 * 1)
    say("landscaper", "a cell of NaN among ones comes out as", value=float(values[2, 2]))
    start = given.flat()
    norm = float(start.norm())
    values, coordinates = measured(
        lambda model, _data: float(
            (torch.cat([p.detach().reshape(-1) for p in model.parameters()]) - start).norm() / norm
        ),
        steps=41,
    )
    say("landscaper", "stated and true distance of the cell (0, centre), 41 steps",
        stated=abs(float(coordinates[0][0])), true=float(values[0, 20]))  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        found = PyHessian(given.network, CRITERION, list(given.batches()), "cpu")
        top = found.eigenvalues(maxIter=1000, tol=1e-9)[0][0]
        _, weights = found.density(iter=10, n_v=1)
    truth = torch.linalg.eigvalsh(given.hessian())
    say("landscaper", "largest eigenvalue", value=float(top), truth=float(truth[-1]))
    axes = [np.array([0.0, 1.0, 2.0]), np.array([0.0, 10.0, 20.0])]
    first = np.repeat(axes[0][:, None], 3, axis=1)  # a loss that is the first coordinate
    taken = LossLandscape(first, axes).coords[:, 0]
    say("landscaper", "cells whose coordinates LossLandscape (merge trees, persistence) takes "
        "wrongly where loss[i, j] is i", of_9=int((taken != first.flatten()).sum()))  # fmt: skip
    say("landscaper", "shape of the density's weights for 10 nodes", shape=np.shape(weights[0]))


def pyhessian() -> None:
    from pyhessian import hessian

    given = problem()
    truth = torch.linalg.eigvalsh(given.hessian())
    # its random vectors are float32, so that the network has to be
    network = copy.deepcopy(given.network).float()
    loader = [(x.float(), y) for x, y in given.batches()]
    torch.manual_seed(0)
    found = hessian(network, CRITERION, dataloader=loader, cuda=False)
    tops = [found.eigenvalues(maxIter=100)[0][0] for _ in range(5)]
    say("pyhessian", "largest eigenvalue, five runs as they come (tol 1e-3)",
        smallest=min(tops), largest=max(tops), truth=float(truth[-1]))  # fmt: skip
    try:
        found.density(iter=10)
        say("pyhessian", "density", ran="yes")
    except (RuntimeError, AttributeError) as error:
        say("pyhessian", f"density on torch {torch.__version__}", raised=type(error).__name__)

    def asked(network: torch.nn.Module) -> Any:
        torch.manual_seed(0)
        nothing = (torch.zeros(1), torch.zeros(1))
        return hessian(network, lambda out, _target: out, data=nothing, cuda=False)

    saddle, hill = Quadratic(1.0), Quadratic(-1.0)
    say("pyhessian", "top eigenvalue of a matrix whose most negative one is the largest in size",
        value=asked(saddle).eigenvalues()[0][0], most_positive=saddle.most)  # fmt: skip
    for one in (saddle, hill):
        samples = asked(one).trace(maxIter=100, tol=1e-3)
        say("pyhessian", "trace, of at most 100 probes",
            probes=len(samples), value=float(np.mean(samples)), truth=one.trace)  # fmt: skip


class Quadratic(torch.nn.Module):
    """½ θᵀAθ; A has a negative eigenvalue of the largest size, −A a negative trace."""

    def __init__(self, sign: float) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        noise = torch.randn(10, 10, generator=generator)
        matrix = torch.diag(torch.tensor([-6.0] + [1.0] * 9)) + 0.2 * (noise + noise.T)
        self.matrix = sign * matrix
        self.trace = float(self.matrix.trace())
        self.most = float(torch.linalg.eigvalsh(self.matrix)[-1])
        self.weight = torch.nn.Parameter(torch.ones(10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 0.5 * self.weight @ self.matrix @ self.weight + 0 * x.sum()


def hessian_eigenthings() -> None:
    from hessian_eigenthings import HessianOperator, lanczos, supervised_loss

    given = problem()
    matrix = given.hessian()
    truth = torch.linalg.eigvalsh(matrix)
    batches = list(given.batches())
    operator = HessianOperator(given.network, batches, supervised_loss(CRITERION))
    torch.manual_seed(0)
    vector = torch.randn(len(matrix), dtype=torch.float64)
    error = float((operator.matvec(vector) - matrix @ vector).norm() / (matrix @ vector).norm())
    say(
        "hessian-eigenthings",
        "Hessian-vector product on batches of 10, 10, 3",
        relative_error=error,
    )
    whole = HessianOperator(
        given.network, [(given.inputs, given.targets)], supervised_loss(CRITERION)
    )
    error = float((whole.matvec(vector) - matrix @ vector).norm() / (matrix @ vector).norm())
    say("hessian-eigenthings", "the same in one batch", relative_error=error)
    result = lanczos(whole, k=3, which="LA", max_iter=40)
    say("hessian-eigenthings", "largest eigenvalue in one batch",
        value=float(max(result.eigenvalues)), truth=float(truth[-1]))  # fmt: skip


def curvlinops() -> None:
    from curvlinops import GGNLinearOperator, HessianLinearOperator

    given = problem()
    matrix = given.hessian()
    parameters = list(given.network.parameters())
    loss = torch.nn.CrossEntropyLoss()
    for kind in (HessianLinearOperator, GGNLinearOperator):
        operator = kind(given.network, loss, parameters, list(given.batches()))
        dense = operator @ torch.eye(len(matrix), dtype=torch.float64)
        error = float((dense - matrix).norm() / matrix.norm())
        say("curvlinops-for-pytorch", f"{kind.__name__} and the Hessian, batches of 10, 10, 3",
            relative_difference=error)  # fmt: skip


def backpack() -> None:
    from backpack import backpack as extended
    from backpack import extend
    from backpack.extensions import DiagHessian

    given = problem()
    truth = given.hessian().diagonal()
    network, loss = extend(given.network), extend(torch.nn.CrossEntropyLoss())
    with extended(DiagHessian()):
        loss(network(given.inputs), given.targets).backward()
    found = torch.cat([p.diag_h.reshape(-1) for p in network.parameters()])
    say("backpack-for-pytorch", "diagonal of the Hessian, one batch",
        relative_error=float((found - truth).norm() / truth.norm()))  # fmt: skip


def gradfield() -> None:
    import gradfield.torch_adapter as peer

    given = problem()
    seen: list[list[torch.Tensor]] = []
    original = torch.randn_like

    def noted(tensor: torch.Tensor, **more: Any) -> torch.Tensor:
        made = original(tensor, **more)
        seen.append([made])
        return made

    torch.randn_like = noted
    try:
        function = peer.model_loss_fn(given.network, CRITERION, given.inputs, given.targets)
    finally:
        torch.randn_like = original
    one, two = [s[0] for s in seen[::2]], [s[0] for s in seen[1::2]]
    say("gradfield", "cosine of its two directions", value=cosine(one, two))
    say("gradfield", "loss at the centre against the truth", value=float(function(0.0, 0.0)),
        truth=float(given.loss()))  # fmt: skip


EXPERIMENTS: dict[str, Callable[[], None]] = {
    function.__name__: function
    for function in (
        ours,
        loss_landscapes,
        loss_landscape_3d,
        landscaper,
        pyhessian,
        hessian_eigenthings,
        curvlinops,
        backpack,
        gradfield,
    )
}

assert SAMPLES % BATCH, "the last batch has to be ragged"


def main(names: list[str]) -> int:
    """Runs the experiments of these names, or all."""
    for name in names or EXPERIMENTS:
        try:
            EXPERIMENTS[name]()
        except ImportError as error:
            print(f"{name}: absent ({error})")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
