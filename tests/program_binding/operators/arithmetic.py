"""Cases of arithmetic, comparison and choice between tensors."""

from __future__ import annotations

import math
from typing import Any, Final

import torch
from torch import Tensor

from tests.program_binding.operators.case import Drawn, OperatorCase, case, draw, positive

_A, _B = draw(2, 3, 2, 2), draw(2, 3, 2, 2)
_ROW: Final = draw(3, 1, 2)
_FAR: Final = Drawn((2, 3, 2, 2), -300, 300)
_DIVISOR: Final = Drawn((2, 3, 2, 2), 0.6, 1.7)
_MASK: Final = (torch.arange(24) % 3 == 0).reshape(2, 3, 2, 2)
_ROW_MASK: Final = torch.tensor([True, False, True]).reshape(3, 1, 1)
_WHOLE: Final = torch.arange(24).reshape(2, 3, 2, 2) % 5


def _floored(self: Tensor, other: Tensor | float) -> Tensor:
    """PyTorch has no derivative of `floor_divide`."""
    return (self / other).floor()


def _logaddexp(self: Tensor, other: Tensor) -> Tensor:
    """PyTorch's own second derivative is NaN for numbers that lie far apart."""
    return torch.logsumexp(torch.stack(torch.broadcast_tensors(self, other)), 0)


def _logaddexp2(self: Tensor, other: Tensor) -> Tensor:
    return _logaddexp(self * math.log(2), other * math.log(2)) / math.log(2)


def _sums_and_products() -> list[OperatorCase]:
    found = []
    for name in ("add", "sub", "rsub", "subtract"):
        found += [
            case(f"{name}.Tensor", _A, _B),
            case(f"{name}.Tensor", _A, _ROW, alpha=-1.5, note="broadcast, scaled"),
        ]
        found.append(case(f"{name}.Scalar", _A, 0.7, -2))
    for name in ("mul", "multiply", "div", "divide", "true_divide"):
        other = _DIVISOR if "di" in name else _B
        found += [
            case(f"{name}.Tensor", _A, other),
            case(f"{name}.Tensor", _A, positive(3, 1, 2), note="broadcast"),
            case(f"{name}.Tensor", _A, 1.7, note="number"),
            case(f"{name}.Scalar", _A, -1.7),
        ]
    found += [
        case("mul.Tensor", _A, _WHOLE, note="whole numbers"),
        case("add.Tensor", _WHOLE, _A, note="whole numbers"),
        case("add.Tensor", _A, 2, note="number"),
    ]
    for mode in (None, "floor", "trunc"):
        found += [
            case("div.Tensor_mode", _A, _DIVISOR, rounding_mode=mode, note=f"{mode}"),
            case("div.Scalar_mode", _A, 0.7, rounding_mode=mode, note=f"{mode}"),
        ]
    for name in ("remainder", "fmod"):
        found += [
            case(f"{name}.Tensor", _A, _DIVISOR),
            case(f"{name}.Tensor", _A, positive(3, 1, 2), note="broadcast"),
            case(f"{name}.Scalar", _A, 0.7),
        ]
    found += [
        case("floor_divide", _A, _DIVISOR, formula=_floored),
        case("floor_divide", _A, 0.7, note="number", formula=_floored),
        case("floor_divide.Scalar", _A, 0.7, formula=_floored),
    ]
    for exponent in (2, 3, 0, 1, -1, 0.5, 2.5, -0.5):
        found.append(case("pow.Tensor_Scalar", positive(2, 3, 2, 2), exponent, note=f"{exponent}"))
    return [
        *found,
        *(
            case("pow.Tensor_Scalar", draw(2, 3, special=(0.0,)), n, note=f"zero to the {n}")
            for n in (1, 2, 3, 2.0)
        ),
        case("pow.Tensor_Tensor", positive(2, 3, 2, 2), _ROW),
        case(
            "pow.Tensor_Tensor",
            draw(2, 4, special=(0.0, 0.0, 0.0, 0.0)),
            torch.tensor([0.0, 1.0, 2.0, 3.0]),
            note="whole powers",
        ),
        case("pow.Tensor_Tensor", _WHOLE, _WHOLE.flip(0), note="whole numbers"),
        case("pow.Tensor_Scalar", _WHOLE, 2, note="whole numbers"),
        case("floor_divide", _WHOLE, _WHOLE.flip(0) + 1, note="whole numbers"),
        case("floor_divide.Scalar", _WHOLE, 2, note="whole numbers"),
        case("pow.Scalar", 1.7, _A),
        case("atan2", _A, _B),
        case("hypot", _A, _B),
        case("logaddexp", _A, _ROW),
        case("logaddexp", _FAR, _B, note="far apart", formula=_logaddexp),
        case("logaddexp2", _FAR, _B, note="far apart", formula=_logaddexp2),
        case("logaddexp2", _A, _B),
        case("xlogy.Tensor", _A, positive(2, 3, 2, 2)),
        case("lerp.Scalar", _A, _B, 0.3),
        case("lerp.Scalar", _A, _B, 0.8, note="over a half"),
        case("lerp.Tensor", _A, _B, draw(3, 1, 2)),
        case("addcmul", _A, _B, _ROW, value=-1.5),
        case("addcdiv", _A, _B, positive(3, 1, 2), value=-1.5),
    ]


def _bounds() -> list[OperatorCase]:
    bent = draw(2, 3, 2, 2, kinks=(-0.7, 0.9))
    found = [
        case(name, bent, low, high, note=f"{low}..{high}")
        for name in ("clamp", "clip")
        for low, high in ((-0.7, 0.9), (None, 0.9), (-0.7, None))
    ]
    found += [
        case(name, _A, _B) for name in ("maximum", "minimum", "max.other", "min.other", "fmax")
    ]
    return [
        *found,
        case("fmin", _A, _ROW),
        case("maximum", _A, _ROW, note="broadcast"),
        case("clamp.Tensor", _A, draw(3, 1, 2), positive(2, 3, 2, 2)),
        case("clamp.Tensor", _A, None, _B, note="above"),
        case("clamp_min", bent, -0.7),
        case("clamp_min.Tensor", _A, _B),
        case("clamp_max", bent, 0.9),
        case("clamp_max.Tensor", _A, _B),
    ]


def _choices() -> list[OperatorCase]:
    return [
        case("where.self", _MASK, _A, _B),
        case("where.self", _ROW_MASK, _A, _ROW, note="broadcast"),
        case("where.ScalarSelf", _MASK, 0.5, _A),
        case("where.ScalarOther", _MASK, _A, 0.5),
        case("where.Scalar", _MASK, 0.5, -0.25),
        case("masked_fill.Scalar", _A, _MASK, -3),
        case("masked_fill.Scalar", _A, _ROW_MASK, 0.5, note="broadcast"),
        case("masked_fill.Tensor", _A, _MASK, draw()),
    ]


def _truths() -> list[OperatorCase]:
    """Without derivatives: their values are compared."""
    found: list[OperatorCase] = []
    for name in ("eq", "ne", "lt", "le", "gt", "ge"):
        found += [case(f"{name}.Tensor", _A, _ROW), case(f"{name}.Scalar", _WHOLE, 2)]
    other = _WHOLE.flip(0)
    for name in ("logical_and", "logical_or", "logical_xor"):
        found.append(case(name, _MASK, _MASK.flip(0)))
    for name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
        found += [case(f"{name}.Tensor", _WHOLE, other), case(f"{name}.Scalar", _WHOLE, 3)]
    for name in ("__and__", "__or__", "__xor__"):
        found.append(case(f"{name}.Tensor", _MASK, _MASK.flip(0)))
    plain: dict[str, Any] = {"self": _MASK}
    return [
        *found,
        case("__and__.Scalar", _WHOLE, 3),
        case("__or__.Scalar", _WHOLE, 3),
        case("logical_not", **plain),
        case("bitwise_not", **plain),
        case("isnan", _A),
        case("isinf", _A),
        case("isfinite", _A),
    ]


CASES: Final = (*_sums_and_products(), *_bounds(), *_choices(), *_truths())
