"""The bound function under every transform that curvature needs, against autograd on the module."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.func import functional_call, grad, hessian, jacrev, jvp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from tests.program_binding.exported import Case, computing_in
from workers.engine.evaluation import cast_point

CPU = torch.device("cpu")
Weights = Mapping[str, Tensor]


def _doubled(case: Case) -> tuple[Weights, Weights, tuple[Tensor, ...]]:
    point = cast_point(case.point, torch.float64, CPU)
    inputs = tuple(t[:2].double() if t.is_floating_point() else t[:2] for t in case.inputs)
    return point.parameters, point.buffers, inputs


def _losses(case: Case) -> tuple[Callable[[Weights], Tensor], Callable[[Weights], Tensor], Weights]:
    """One smooth number as a function of the weights: of the program, and of the module."""
    parameters, buffers, inputs = _doubled(case)
    network, module = case.network(), copy.deepcopy(case.module).double()
    for buffer in module.buffers():
        buffer.requires_grad_(False)

    def ours(weights: Weights) -> Tensor:
        return network(weights, buffers, *inputs).sin().sum()

    def eager(weights: Weights) -> Tensor:
        with sdpa_kernel(SDPBackend.MATH), computing_in(torch.float64):
            return functional_call(module, dict(weights), inputs).sin().sum()

    return ours, eager, parameters


def _direction(parameters: Weights, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        n: torch.randn(p.shape, generator=generator, dtype=p.dtype) for n, p in parameters.items()
    }


def _close(found: Weights, wanted: Weights, relative: float = 1e-10) -> None:
    size = max(float(t.abs().max()) for t in wanted.values())
    assert size > 0
    for name, tensor in wanted.items():
        assert float((found[name] - tensor).abs().max()) <= relative * size, name


def test_gradient(case: Case) -> None:
    ours, eager, parameters = _losses(case)
    _close(grad(ours)(parameters), grad(eager)(parameters))


def test_plain_autograd_and_double_backward(case: Case) -> None:
    """∇(gᵀv) by two backward passes is jvp of the gradient: two routes to Hv."""
    ours, eager, parameters = _losses(case)
    v = _direction(parameters)
    leaves = {n: p.clone().requires_grad_() for n, p in parameters.items()}
    first = torch.autograd.grad(ours(leaves), list(leaves.values()), create_graph=True)
    dot = sum(((g * v[n]).sum() for g, n in zip(first, leaves, strict=True)), torch.zeros(()))
    second = torch.autograd.grad(dot, list(leaves.values()), allow_unused=True)
    found = {
        n: torch.zeros_like(leaf) if t is None else t
        for (n, leaf), t in zip(leaves.items(), second, strict=True)
    }
    _, wanted = jvp(grad(eager), (parameters,), (v,))
    _close(found, wanted, 1e-9)


def test_forward_over_reverse_in_a_batch(case: Case) -> None:
    """vmap of jvp of grad, as a block Lanczos method would call it."""
    ours, _, parameters = _losses(case)
    directions = [_direction(parameters, seed) for seed in (1, 2)]
    stacked = {n: torch.stack([d[n] for d in directions]) for n in parameters}

    def product(v: Weights) -> Weights:
        result: Weights = jvp(grad(ours), (parameters,), (v,))[1]
        return result

    together = vmap(product)(stacked)
    for index, direction in enumerate(directions):
        _close({n: t[index] for n, t in together.items()}, product(direction))


def test_points_in_a_batch(case: Case) -> None:
    """vmap over the weights themselves."""
    ours, _, parameters = _losses(case)
    points = [
        {n: p + 0.01 * d for (n, p), d in zip(parameters.items(), v.values(), strict=True)}
        for v in (_direction(parameters, 3), _direction(parameters, 4))
    ]
    stacked = {n: torch.stack([p[n] for p in points]) for n in parameters}
    found = vmap(ours)(stacked)
    wanted = torch.stack([ours(point) for point in points])
    assert torch.allclose(found, wanted, rtol=1e-9, atol=1e-9)


def test_gradients_of_single_samples(case: Case) -> None:
    """vmap over samples gives the sum's gradient back."""
    network = case.network()
    parameters, buffers, inputs = _doubled(case)

    def of_sample(weights: Weights, *sample: Tensor) -> Tensor:
        return network(weights, buffers, *(t.unsqueeze(0) for t in sample)).sin().sum()

    each = vmap(grad(of_sample), in_dims=(None, *(0 for _ in inputs)))(parameters, *inputs)
    ours, _, _ = _losses(case)
    _close({n: t.sum(0) for n, t in each.items()}, grad(ours)(parameters), 1e-9)


def test_a_whole_hessian_is_autograds(case: Case) -> None:
    """Over the smallest parameter, so that it stays small."""
    ours, eager, parameters = _losses(case)
    name = min(parameters, key=lambda n: parameters[n].numel())

    def at(function: Callable[[Weights], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda tensor: function({**parameters, name: tensor})

    found = hessian(at(ours))(parameters[name])
    wanted = jacrev(jacrev(at(eager)))(parameters[name])
    size = float(wanted.abs().max())
    assert float((found - wanted).abs().max()) <= max(1e-10 * size, 1e-12)


def test_nothing_kept_belongs_to_a_transform(case: Case) -> None:
    """Constants first needed inside a transform serve plain calls afterwards."""
    parameters, buffers, inputs = _doubled(case)
    network = case.network()

    def loss(weights: Weights) -> Tensor:
        return network(weights, buffers, *inputs).sum()

    with torch.inference_mode():
        network.at(parameters, buffers)(*inputs)
    inside = grad(loss)(parameters)
    leaves = {n: p.clone().requires_grad_() for n, p in parameters.items()}
    network(leaves, buffers, *inputs).sum().backward()  # type: ignore[no-untyped-call]
    outside = {n: t.grad if t.grad is not None else torch.zeros_like(t) for n, t in leaves.items()}
    _close(outside, inside)
