"""Cases of activations, softmaxes and other functions of one tensor."""

from __future__ import annotations

from typing import Any, Final

from torch.nn import functional

from service.programs.graph import Dtype
from tests.program_binding.operators.case import (
    Drawn,
    OperatorCase,
    case,
    draw,
    positive,
    within,
)

_SHAPE: Final = (2, 3, 2, 2)
_ANY: Final = draw(*_SHAPE, kinks=(0.0,))
_WIDE: Final = Drawn(_SHAPE, -8.0, 8.0, (-6.0, -3.0, 0.0, 3.0, 6.0))
_POSITIVE: Final = positive(*_SHAPE)
_INSIDE: Final = within(*_SHAPE)
_SPLIT: Final = draw(*_SHAPE, kinks=tuple(n / 2 for n in range(-4, 5)))

_PLAIN: Final = (
    *("gelu", "silu", "mish", "sigmoid", "tanh", "softplus", "log_sigmoid", "square", "exp"),
    *("expm1", "sin", "cos", "atan", "sinh", "cosh", "asinh", "erf", "erfc", "sinc", "neg"),
    *("negative", "special_expit", "special_erf"),
)
_KINKED: Final = ("relu", "leaky_relu", "elu", "selu", "celu", "abs", "absolute", "sign", "sgn")
_POSITIVE_ONLY: Final = ("sqrt", "rsqrt", "log", "log2", "log10", "reciprocal", "log1p")
_INSIDE_ONLY: Final = ("asin", "acos", "atanh", "erfinv", "tan")
_STEPS: Final = ("floor", "ceil", "round", "trunc", "frac")
_BENT_WIDE: Final = ("relu6", "hardswish", "hardtanh")
#: Smooth ones at zero, and those that are no exponentials far out: where formulas of derivatives
#: divide zero by zero or infinity by infinity.
_AT_ZERO: Final = (
    *(name for name in _PLAIN),
    *("log1p", "tan", "asin", "acos", "atanh", "erfinv"),
)
_EXPONENTIAL: Final = ("exp", "expm1", "sinh", "cosh", "square")


def _functions() -> list[OperatorCase]:
    by_domain: tuple[tuple[tuple[str, ...], Drawn], ...] = (
        (_PLAIN, draw(*_SHAPE)),
        (_KINKED, _ANY),
        (_POSITIVE_ONLY, _POSITIVE),
        (_INSIDE_ONLY, _INSIDE),
        (_STEPS, _SPLIT),
        (_BENT_WIDE, _WIDE),
    )
    found = [case(name, x) for names, x in by_domain for name in names]
    return [
        *found,
        *(case(name, _WIDE, note="wide") for name in (*_KINKED, "silu", "mish", "softplus")),
        *(case(name, Drawn((6,), -0.9, 0.9, (), (0.0, -0.0)), note="at zero") for name in _AT_ZERO),
        *(
            case(name, Drawn((6,), -3.0, 3.0, (), (-400.0, -60.0, 60.0, 400.0)), note="far out")
            for name in (*_PLAIN, *_KINKED)
            if name not in _EXPONENTIAL
        ),
        case("hardsigmoid", _WIDE, formula=lambda self: functional.relu6(self + 3) / 6),
        case("logit", Drawn((4,), 0.2, 0.8, (), (0.0, 1.0)), 0.1, note="saturated"),
        case("acosh", Drawn(_SHAPE, 1.2, 3.0)),
        case("reciprocal", _ANY, note="either sign"),
        case("logit", Drawn(_SHAPE, 0.1, 0.9)),
        case("logit", Drawn(_SHAPE, -0.2, 1.2, (0.1, 0.9)), 0.1, note="eps"),
        case("round.decimals", Drawn(_SHAPE, 0.56, 0.64), decimals=1),
        case("nan_to_num", draw(*_SHAPE), 0.5, 2.0, -2.0),
        case("gelu", draw(*_SHAPE), approximate="tanh", note="tanh"),
        case("leaky_relu", _ANY, 0.3, note="slope"),
        case("leaky_relu", _ANY, -0.3, note="negative slope"),
        case("elu", _ANY, 1.3, 0.7, 1.9, note="all numbers"),
        case("celu", _ANY, 0.6, note="alpha"),
        case("hardtanh", _SPLIT, -0.25, 0.8, note="bounds"),
        case("softplus", _WIDE, 2.0, 5.0, note="threshold"),
        case("hardshrink", _SPLIT),
        case("hardshrink", _SPLIT, 0.25, note="lambda"),
        case("softshrink", _SPLIT),
        case("softshrink", _SPLIT, 0.25, note="lambda"),
        case("threshold", _SPLIT, 0.25, 3.0),
        case("prelu", _ANY, draw(3)),
        case("prelu", _ANY, draw(1), note="one slope"),
        case("_prelu_kernel", _ANY, draw(1, 3, 1, 1)),
        case("glu", draw(2, 4, 3), 1),
        case("glu", draw(2, 3, 2, 4), note="last"),
    ]


def _softmaxes() -> list[OperatorCase]:
    x = draw(2, 3, 2, 4)
    single: dict[str, Any] = {"dtype": Dtype("float32")}
    return [
        *(case(f"{name}.int", x, 1) for name in ("softmax", "log_softmax")),
        *(
            case(f"{name}.int", x, -1, **single, note="typed")
            for name in ("softmax", "log_softmax")
        ),
        *(case(name, x, -1) for name in ("special_softmax", "special_log_softmax")),
        *(case(name, x, 2, False) for name in ("_softmax", "_log_softmax")),
        case("logsumexp", x, (1,)),
        case("logsumexp", x, (0, 3), True, note="two dimensions"),
        *(
            case(f"{name}.int", Drawn((2, 4), -3.0, 3.0, (), (400.0, -400.0)), 1, note="far apart")
            for name in ("softmax", "log_softmax")
        ),
        case("logsumexp", Drawn((2, 4), -3.0, 3.0, (), (400.0, -400.0)), (1,), note="far apart"),
    ]


CASES: Final = (*_functions(), *_softmaxes())
