"""Cases of reductions, scans and orderings."""

from __future__ import annotations

from typing import Final

import torch

from service.programs.graph import Dtype
from tests.program_binding.operators.case import OperatorCase, case, draw, positive

_X: Final = draw(2, 3, 2, 4)
_MASK: Final = (torch.arange(12) % 5 == 0).reshape(3, 4)


def _sums() -> list[OperatorCase]:
    found = []
    for name in ("sum", "mean"):
        found += [
            case(name, _X),
            case(name, _X, dtype=Dtype("float32"), note="typed"),
            case(f"{name}.dim" + ("_IntList" if name == "sum" else ""), _X, (2, 3)),
            case(
                f"{name}.dim" + ("_IntList" if name == "sum" else ""), _X, (1,), True, note="kept"
            ),
            case(f"{name}.dim" + ("_IntList" if name == "sum" else ""), _X, None, note="all"),
        ]
    for name in ("var", "std"):
        found += [
            case(name, _X),
            case(name, _X, False, note="biased"),
            case(f"{name}.dim", _X, (1,), True, True),
            case(f"{name}.dim", _X, (2, 3), False, note="biased"),
            case(f"{name}.correction", _X, (1, 3), correction=0, keepdim=True),
            case(f"{name}.correction", _X, note="all"),
            case(f"{name}.correction", _X, (3,), correction=1.5, note="fraction"),
        ]
        for read in (0, 1):
            found += [
                case(f"{name}_mean.dim", _X, (1,), False, True, read=read),
                case(f"{name}_mean.correction", _X, (2, 3), correction=0, read=read),
            ]
    return [
        *found,
        *(case("var_mean", _X, read=read) for read in (0, 1)),
        case("prod", draw(2, 3, kinks=(0.0,))),
        case("prod.dim_int", _X, 1, True),
        case("prod", draw(4, special=(0.0,)), note="one zero"),
        case("prod", draw(4, special=(0.0, 0.0)), note="two zeros"),
        case("prod.dim_int", draw(2, 3, special=(0.0, 1.0, 0.0)), 1, note="zeros"),
        case("trace", draw(3, 4)),
    ]


def _scans() -> list[OperatorCase]:
    return [
        case("cumsum", _X, 1),
        case("cumsum", _X, -1, dtype=Dtype("float32"), note="typed"),
        case("cumprod", _X, 1),
        case("logcumsumexp", draw(2, 7), -1, note="last"),
        case("cumprod", draw(5, special=(1.5, 0.0)), 0, note="one zero"),
        case("cumprod", draw(5, special=(1.5, 0.0, 0.0)), 0, note="two zeros"),
        case("logcumsumexp", _X, 1),
        case("logcumsumexp", draw(5, special=(1.0, -60.0, 60.0)), 0, note="far apart"),
        case("diff", _X),
        case("diff", _X, 2, 1, note="second"),
        case("diff", _X, 1, 1, draw(2, 1, 2, 4), draw(2, 1, 2, 4), note="ends"),
    ]


def _orders() -> list[OperatorCase]:
    found = []
    for name in ("max", "min"):
        found += [
            case(name, _X),
            case(f"a{name}", _X, (1,)),
            case(f"a{name}", _X, (1, 3), True, note="two dimensions"),
            case(f"a{name}", _X, note="all"),
            *(case(f"{name}.dim", _X, 1, True, read=read) for read in (0, 1)),
            case(f"arg{name}", _X, 1),
            case(f"arg{name}", _X, note="all"),
        ]
    for read in (0, 1):
        found += [
            case("sort", _X, 1, read=read),
            case("sort", _X, -1, True, read=read, note="descending"),
            case("topk", _X, 2, 1, read=read),
            case("topk", _X, 2, -1, False, read=read, note="smallest"),
        ]
    return [
        *found,
        case("argsort", _X, 1, True),
        case("any", _MASK),
        case("any.dim", _MASK, 1),
        case("any.dims", _MASK, (0, 1), True),
        case("all", _MASK),
        case("all.dim", _MASK, 0),
        case("count_nonzero", _MASK, 1),
        case("bucketize.Tensor", positive(2, 3), torch.tensor([0.5, 1.0, 2.0]), right=True),
    ]


CASES: Final = (*_sums(), *_scans(), *_orders())
