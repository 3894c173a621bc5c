"""Every allowed operator, as it is bound, against PyTorch's public one.

The truth of a first derivative is autograd's on the public operator in float64, checked by central
differences of its values; that of a second one is a central difference of that gradient, so that it
owes nothing to PyTorch's second derivatives, which for some operators are missing or wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import pytest
import torch
from torch import Tensor
from torch.func import grad, jvp, vjp, vmap

from service.programs.schema import schema_of
from service.programs.targets import anew
from tests.program_binding.operators import TABLE
from tests.program_binding.operators.case import OperatorCase, weights_for
from tests.programs.test_allowlist import ALLOWED

Point = Mapping[str, Tensor]
Function = Callable[[Point], Tensor]

#: Of central differences, whose error is its square and 1e-16 / _STEP.
_STEP: Final = 1e-5
_BY_DIFFERENCES: Final = 1e-6
_VALUE: Final = {torch.float64: 1e-12, torch.float32: 1e-5}
_GRADIENT: Final = {torch.float64: 1e-10, torch.float32: 1e-4}
_PRODUCT: Final = {torch.float64: _BY_DIFFERENCES, torch.float32: 3e-4}
#: Between forms of one product, in float64.
_SAME: Final = 1e-9
#: What PyTorch says where a form of product is not there.
_MISSING: Final = (NotImplementedError, RuntimeError)

#: Operators that no graph has: the reader puts others in their place, or leaves them out.
NEVER_IN_A_GRAPH: Final = {
    **{
        name: "a dropout in evaluation mode is left out, in training mode refused"
        for name in ALLOWED
        if "dropout" in name
    },
    **{
        name: "states something about sizes and has no result"
        for name in ALLOWED
        if "_assert" in name or "constrain_range" in name
    },
    "aten.to.device": "a copy to a device is read as one to a type",
    "aten.to.prim_Device": "a copy to a device is read as one to a type",
    "aten.to.prim_dtype": "read as the copy to a type that says so",
    "aten.sym_size.int": "has a size as its result",
    "aten.sym_numel.default": "has a size as its result",
}


def _writes_in_place(name: str) -> bool:
    schema = schema_of(name)
    assert schema is not None
    return schema.mutates


def test_the_table_covers_the_list() -> None:
    covered = {case.operator for case in TABLE}
    in_place = {name for name in ALLOWED if _writes_in_place(name)} - set(NEVER_IN_A_GRAPH)
    rest = set(ALLOWED) - in_place - set(NEVER_IN_A_GRAPH)
    assert rest == covered
    written = {"aten.detach_.default", *in_place}
    assert {anew(name) for name in written} <= covered


def test_cases_have_names_of_their_own() -> None:
    assert len({str(case) for case in TABLE}) == len(TABLE)


def _points(case: OperatorCase, dtype: torch.dtype) -> list[Point]:
    """The point in the plain order and, where there are images, in channels-last order too."""
    plain = case.point(dtype)
    if not any(tensor.dim() == 4 for tensor in plain.values()):
        return [plain]
    last = {
        name: tensor.to(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor
        for name, tensor in plain.items()
    }
    return [plain, last]


def _error(found: Point, wanted: Point) -> float:
    """The largest difference, relative to the largest number wanted; NaN where one is."""
    size = max([1e-3, *(float(t.abs().max()) for t in wanted.values() if t.numel())])
    errors = [(found[name].double() - wanted[name]).abs().max() for name in wanted]
    return float(torch.stack(errors).max()) / size


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_values(case: OperatorCase) -> None:
    """Of the differentiable form and of the one for inference."""
    for dtype in (torch.float64, torch.float32):
        ours = case.ours(dtype)
        for point in _points(case, dtype):
            with torch.no_grad():
                truths = [case.truth(dtype)(point)]
                truths += [case.public(dtype)(point)] if case.runs else []
                found = [ours(point)]
            with torch.inference_mode():
                found.append(ours(point))
            for tensor in found:
                for truth in truths:
                    assert (tensor.shape, tensor.dtype) == (truth.shape, truth.dtype)
                    _assert_equal(tensor, truth, dtype)


def _assert_equal(found: Tensor, wanted: Tensor, dtype: torch.dtype) -> None:
    if wanted.is_floating_point():
        size = float(wanted.abs().max())
        assert torch.allclose(found, wanted, rtol=0, atol=_VALUE[dtype] * max(1e-3, size))
    else:
        assert torch.equal(found, wanted)


def _loss(function: Function) -> Function:
    """A quadratic function of the result: its Hessian has both derivatives of the operator."""

    def loss(point: Point) -> Tensor:
        out = function(point)
        slope, curvature = (weights_for(out.shape, phase).to(out.dtype) for phase in (0.3, 1.9))
        return (slope * out + 0.5 * curvature * out * out).sum()

    return loss


def _gradient(loss: Function, point: Point) -> dict[str, Tensor]:
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in point.items()}
    value = loss(leaves)
    if not value.requires_grad:
        return {name: torch.zeros_like(tensor) for name, tensor in point.items()}
    found = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
    return {
        name: torch.zeros_like(tensor) if part is None else part.to_dense()
        for (name, tensor), part in zip(point.items(), found, strict=True)
    }


def _moved(point: Point, direction: Point, step: float) -> dict[str, Tensor]:
    return {name: tensor + step * direction[name] for name, tensor in point.items()}


def _direction(point: Point, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(tensor.shape, generator=generator).to(tensor.dtype)
        for name, tensor in point.items()
    }


_DIFFERENTIATED: Final = [
    case
    for case in TABLE
    if case.drawn and case.truth(torch.float64)(case.point(torch.float64)).is_floating_point()
]


@pytest.mark.parametrize("case", _DIFFERENTIATED, ids=str)
def test_derivatives(case: OperatorCase) -> None:
    """First and second, the latter in every form that the engine may take products in."""
    truth, point = _loss(case.truth(torch.float64)), case.point(torch.float64)
    direction = _direction(point, 1)
    gradient = _gradient(truth, point)
    ahead, behind = (_moved(point, direction, step) for step in (_STEP, -_STEP))
    if not case.frozen:
        with torch.no_grad():
            slope = float(truth(ahead) - truth(behind)) / (2 * _STEP)
        along = sum(float((gradient[name] * direction[name]).sum()) for name in point)
        assert along == pytest.approx(slope, rel=_BY_DIFFERENCES, abs=_BY_DIFFERENCES)
    a, b = _gradient(truth, ahead), _gradient(truth, behind)
    product = {name: (a[name] - b[name]) / (2 * _STEP) for name in point}

    for dtype in (torch.float64, torch.float32):
        loss = _loss(case.ours(dtype))
        for at in _points(case, dtype):
            vector = _direction(at, 1)
            found, back = vjp(grad(loss), at)
            assert _error(found, gradient) <= _GRADIENT[dtype]
            swept = back(vector)[0]
            assert _error(swept, product) <= _PRODUCT[dtype]
            if dtype is torch.float64:
                _other_forms_agree(loss, at, vector, back, swept)


def _other_forms_agree(
    loss: Function, at: Point, vector: Point, back: Callable[..., tuple[Point]], swept: Point
) -> None:
    """Or are not there, which the engine sees; silently wrong they are never."""
    try:
        forward = jvp(grad(loss), (at,), (vector,))[1]
    except _MISSING:
        forward = swept
    assert _error(forward, swept) <= _SAME
    pair = {name: torch.stack([tensor, -2 * tensor]) for name, tensor in vector.items()}
    try:
        (both,) = vmap(back)(pair)
    except _MISSING:
        return
    for place, factor in enumerate((1, -2)):
        one = {name: tensor[place] for name, tensor in both.items()}
        assert _error(one, {name: factor * tensor for name, tensor in swept.items()}) <= _SAME
