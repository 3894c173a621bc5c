"""Where the forms that stand for operators are asked what a table of smooth points does not ask."""

from __future__ import annotations

import inspect
import math

import pytest
import torch
from torch import Tensor
from torch.func import grad, hessian, jvp, vjp, vmap
from torch.nn import functional as F

from service.programs.schema import schema_of
from workers.program import derivatives

_INFINITY = math.inf


@pytest.mark.parametrize("operator", sorted(derivatives.FORMS))
def test_forms_take_their_arguments_by_place_and_what_is_optional_by_name(operator: str) -> None:
    """As a program gives them: from the first one left out on, by the names of the schema."""
    schema = schema_of(operator)
    assert schema is not None
    signature = inspect.signature(derivatives.FORMS[operator])
    places = [p.name for p in schema.parameters if not p.keyword_only]
    signature.bind(*places, **{p.name: p for p in schema.parameters if p.keyword_only})
    required = [p.name for p in schema.parameters if p.required]
    signature.bind(*required)
    for parameter in schema.parameters[len(required) :]:
        signature.bind(*required, **{parameter.name: parameter})


def _points(count: int, size: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, size, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0, _INFINITY])
def test_distances_of_points_from_themselves(p: float) -> None:
    """They are zero wherever the points go: derivatives are those of the other distances."""

    def of_all(x: Tensor) -> Tensor:
        return derivatives.cdist(x, x, p).square().sum()

    def of_others(x: Tensor) -> Tensor:
        pairs = ((i, j) for i in range(4) for j in range(4) if i != j)
        return sum(
            (torch.linalg.vector_norm(x[i] - x[j], p).square() for i, j in pairs),
            torch.zeros((), dtype=x.dtype),
        )

    x = _points(4, 3)
    assert torch.allclose(grad(of_all)(x), grad(of_others)(x), rtol=1e-12)
    assert torch.allclose(hessian(of_all)(x), hessian(of_others)(x), rtol=1e-10, atol=1e-10)


def test_points_that_coincide_by_chance_have_no_number_for_a_second_derivative() -> None:
    """The squared distance has one, 2: by way of the distance it is not to be found, nor zero."""
    x, y = _points(2, 3), _points(3, 3)

    def squares(x: Tensor) -> Tensor:
        return derivatives.cdist(x, y).square().sum()

    assert bool(grad(squares)(x).isfinite().all())
    assert bool(vjp(grad(squares), x)[1](torch.ones_like(x))[0].isnan().any())


def test_distances_of_what_is_no_number_are_none() -> None:
    x = _points(3, 3)
    x[1, 2] = math.nan
    assert torch.equal(derivatives.cdist(x, x).isnan(), torch.cdist(x, x).isnan())


def test_a_mask_that_depends_on_the_sample() -> None:
    """Gradients of single samples, masks among what is batched, add up to the sum's gradient."""
    q, k = _points(6, 4).reshape(3, 1, 2, 4), _points(9, 4, 1).reshape(3, 1, 3, 4)
    mask = (torch.arange(18) % 4 != 2).reshape(3, 1, 2, 3)

    def loss(scale: Tensor, q: Tensor, k: Tensor, mask: Tensor) -> Tensor:
        return derivatives.attention(q * scale, k, k, mask).sin().sum()

    scale = torch.full((4,), 0.7, dtype=torch.float64)
    each = vmap(grad(loss), in_dims=(None, 0, 0, 0))(scale, q, k, mask)
    assert torch.allclose(each.sum(0), grad(loss)(scale, q, k, mask), rtol=1e-12)


@pytest.mark.parametrize("boolean", [True, False])
def test_a_query_that_sees_nothing_has_no_derivative(boolean: bool) -> None:
    q, k = _points(2, 4)[None], _points(3, 4, 1)[None]
    seen = torch.tensor([[True, False, True], [False, False, False]])
    mask = seen if boolean else torch.where(seen, 0.0, -_INFINITY).double()

    def result(q: Tensor) -> Tensor:
        return derivatives.attention(q, k, k, mask)

    wanted = F.scaled_dot_product_attention(q, k, k, mask)
    assert torch.allclose(result(q), wanted, rtol=1e-12)
    assert torch.equal(result(q)[0, 1], torch.zeros(4, dtype=torch.float64))
    second = hessian(lambda q: result(q).sin().sum())(q)
    assert bool(second.isfinite().all())
    assert torch.equal(second[0, 1], torch.zeros_like(second[0, 1]))
    assert bool((second[0, 0] != 0).any())


def test_sums_of_logarithms_with_nothing_in_them() -> None:
    x = torch.tensor([-_INFINITY, -_INFINITY, 0.5, -_INFINITY, 2.0], dtype=torch.float64)
    found = derivatives.logcumsumexp(x, 0)
    assert torch.equal(found, torch.logcumsumexp(x, 0))
    weights = torch.arange(5, dtype=torch.float64)

    def loss(x: Tensor) -> Tensor:
        return (derivatives.logcumsumexp(x, 0)[2:] * weights[2:]).square().sum()

    finite = torch.tensor([0.5, 2.0], dtype=torch.float64)

    def plain(pair: Tensor) -> Tensor:
        a, b = pair
        both = torch.logaddexp(a, b)
        return (2 * a).square() + (3 * a).square() + (4 * both).square()

    wanted = grad(plain)(finite)
    gradient = grad(loss)(x)
    assert torch.allclose(gradient[[2, 4]], wanted, rtol=1e-12)
    assert torch.equal(gradient[[0, 1, 3]], torch.zeros(3, dtype=torch.float64))


@pytest.mark.parametrize("own", [True, False])
def test_scattered_products_forward_over_reverse(own: bool) -> None:
    """Where PyTorch's own is silently another number."""
    x, src = _points(3, 4), _points(2, 4, 1)
    index = torch.tensor([[0, 2, 1, 2], [0, 0, 1, 1]])

    def loss(src: Tensor) -> Tensor:
        out = derivatives.scatter_reduce(x, 0, index, src, "prod", own)
        return out.square().sum()

    def by_hand(src: Tensor) -> Tensor:
        total = torch.zeros((), dtype=src.dtype)
        for i in range(3):
            for j in range(4):
                factors = [src[r, j] for r in range(2) if index[r, j] == i]
                product = x[i, j] if own or not factors else torch.ones((), dtype=src.dtype)
                for factor in factors:
                    product = product * factor
                total = total + product.square()
        return total

    direction = _points(2, 4, 2)
    wanted = vjp(grad(by_hand), src)[1](direction)[0]
    found = jvp(grad(loss), (src,), (direction,))[1]
    assert torch.allclose(found, wanted, rtol=1e-12)


def test_infinite_logits_are_what_pytorch_says() -> None:
    a = torch.tensor([_INFINITY, -_INFINITY, _INFINITY, math.nan, 1.0])
    b = torch.tensor([1.0, 2.0, -_INFINITY, 0.0, math.nan])
    for ours, theirs in (
        (derivatives.logaddexp, torch.logaddexp),
        (derivatives.logaddexp2, torch.logaddexp2),
    ):
        assert torch.allclose(ours(a, b), theirs(a, b), equal_nan=True)
    one = torch.tensor([math.nan, _INFINITY, -_INFINITY])
    assert torch.equal(derivatives.hardsigmoid(one)[1:], torch.tensor([1.0, 0.0]))
    assert torch.allclose(derivatives.hardsigmoid(one), F.hardsigmoid(one), equal_nan=True)
    assert torch.allclose(derivatives.mish(one), F.mish(one), equal_nan=True)
    assert torch.allclose(derivatives.sinc(one), torch.sinc(one), equal_nan=True)
