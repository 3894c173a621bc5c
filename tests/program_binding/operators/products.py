"""Cases of convolutions, products, norms of vectors, and look-ups."""

from __future__ import annotations

from typing import Any, Final

import torch

from tests.program_binding.operators.case import OperatorCase, case, draw, positive

_C2, _C1, _C3 = draw(2, 4, 6, 5), draw(2, 4, 7), draw(2, 4, 4, 5, 4)


def _convolutions() -> list[OperatorCase]:
    found = []
    for name, x, kernel in (
        ("conv1d", _C1, (3,)),
        ("conv2d", _C2, (3, 2)),
        ("conv3d", _C3, (2, 3, 2)),
    ):
        n = len(kernel)
        dense, halved, bias = draw(6, 4, *kernel), draw(6, 2, *kernel), draw(6)
        found += [
            case(name, x, dense),
            case(name, x, dense, bias, (2,) * n, (1,) * n, note="strided"),
            case(name, x, halved, bias, (1,) * n, (1,) * n, (2,) * n, 2, note="grouped, dilated"),
            case(
                name,
                x,
                draw(4, 1, *kernel),
                None,
                (1,) * n,
                (1,) * n,
                (1,) * n,
                4,
                note="depthwise",
            ),
            case(f"{name}.padding", x, dense, bias, padding="same", note="same"),
            case(f"{name}.padding", x, halved, None, (2,) * n, "valid", groups=2, note="valid"),
        ]
    for name, x, kernel in (
        ("conv_transpose1d", _C1, (3,)),
        ("conv_transpose2d.input", _C2, (3, 2)),
        ("conv_transpose3d.input", _C3, (2, 3, 2)),
    ):
        n = len(kernel)
        found += [
            case(name, x, draw(4, 3, *kernel), draw(3)),
            case(name, x, draw(4, 3, *kernel), None, (2,) * n, (1,) * n, (1,) * n, note="strided"),
            case(
                name,
                x,
                draw(4, 3, *kernel),
                draw(6),
                (2,) * n,
                (1,) * n,
                (0,) * n,
                2,
                (2,) * n,
                note="grouped, dilated",
            ),
            case(
                name,
                x,
                draw(4, 1, *kernel),
                draw(4),
                (1,) * n,
                (0,) * n,
                (0,) * n,
                4,
                note="depthwise",
            ),
        ]
    weight = draw(4, 2, 3, 3)
    for transposed in (False, True):
        found.append(
            case(
                "convolution",
                *(_C2, weight, draw(4), (2, 1), (1, 1), (1, 1), transposed),
                *((1, 0) if transposed else (0, 0), 2),
                note="transposed" if transposed else "",
            )
        )
    return found


def _of_matrices() -> list[OperatorCase]:
    a, b, s = draw(3, 4), draw(4, 2), draw(3, 2)
    batched, other = draw(2, 3, 4), draw(2, 4, 5)
    scaled: dict[str, Any] = {"beta": 0.5, "alpha": -2}
    return [
        case("linear", draw(2, 3, 4), draw(5, 4), draw(5)),
        case("linear", draw(4), draw(5, 4), note="vector"),
        case("linear", draw(2, 2, 3, 4), draw(5, 4), draw(5), note="four dimensions"),
        case("bilinear", draw(2, 3), draw(2, 4), draw(5, 3, 4), draw(5)),
        case("bilinear", draw(2, 3), draw(2, 4), draw(5, 3, 4), note="no bias"),
        case("addmm", s, a, b),
        case("addmm", draw(2), a, b, **scaled, note="scaled"),
        case("addmm", draw(2), a, b, beta=0, note="nothing added"),
        case("mm", a, b),
        case("bmm", batched, other),
        case("baddbmm", draw(2, 3, 5), batched, other, **scaled),
        case("baddbmm", draw(1, 5), batched, other, note="broadcast"),
        case("addbmm", draw(3, 5), batched, other, **scaled),
        case("matmul", a, b),
        case("matmul", draw(4), draw(4), note="vectors"),
        case("matmul", draw(2, 1, 3, 4), draw(3, 4, 5), note="broadcast"),
        case("matmul", a, draw(4), note="matrix, vector"),
        case("mv", a, draw(4)),
        case("dot", draw(5), draw(5)),
        case("einsum", "bij,bjk->bki", (batched, other)),
        case("einsum", "bii->b", (draw(2, 3, 3),), note="diagonal"),
        case("einsum", "ij,jk,kl->il", (a, b, draw(2, 3)), path=(0, 1, 0, 1), note="path"),
        case("addmv", draw(3), a, draw(4), **scaled),
        case("addr", a, draw(3), draw(4), **scaled),
        case("outer", draw(3), draw(4)),
        case("inner", draw(2, 4), a),
        case("tensordot", batched, draw(4, 3, 2), (1, 2), (1, 0)),
        case("chain_matmul", (a, b, draw(2, 5))),
    ]


def _norms() -> list[OperatorCase]:
    away = draw(3, 4, kinks=(0.0,))
    found = []
    for p in (2, 1, 3, 1.5, 0, float("inf"), float("-inf"), 0.5):
        found += [
            case("linalg_vector_norm", away, p, (1,), note=f"p={p}"),
            case("norm.Scalar", away, p, note=f"p={p}"),
            case("norm.ScalarOpt_dim", away, p, (0,), True, note=f"p={p}"),
        ]
    far = positive(3, 4)
    for p in (2.0, 1.0, 3.0, 1.5, float("inf")):
        found.append(case("pairwise_distance", draw(3, 4), far, p, note=f"p={p}"))
    for p in (2.0, 1.0, 3.0, 1.5, 4.5, float("inf"), 0.0):
        for mode in (None, 1, 2):
            found.append(
                case("cdist", draw(2, 3, 4), draw(2, 5, 4), p, mode, note=f"p={p} mode={mode}")
            )
    return [
        *found,
        case("cdist", draw(3, 2), draw(4, 2), note="matrices"),
        case("cdist", draw(2, 1, 3, 4), draw(3, 2, 4), note="broadcast"),
        case("cdist", draw(30, 3), draw(28, 3), note="by products"),
        case("linalg_vector_norm", away, note="all"),
        *(
            case("linalg_vector_norm", draw(2, 3, special=(0.0,)), p, (1,), note=f"a zero, p={p}")
            for p in (2, 4)
        ),
        case("linalg_vector_norm", draw(2, 3, 2, 2), 2, (1, 3), True, note="two dimensions"),
        case("norm.ScalarOpt_dim", away, None, (1,), note="p=None"),
        case("pairwise_distance", draw(3, 4), draw(4), keepdim=True, note="broadcast"),
        case("linalg_vecdot", away, draw(3, 4)),
        case("linalg_vecdot", away, draw(3, 4), dim=0, note="dim"),
        case("frobenius_norm.dim", away, (1,)),
        case("frobenius_norm.dim", draw(2, 3, 4), (0, 2), True, note="two dimensions"),
        case("cosine_similarity", draw(3, 4), draw(3, 4)),
        case("cosine_similarity", draw(3, 1, 4), draw(2, 4), -1, 1e-3, note="broadcast"),
    ]


def _look_ups() -> list[OperatorCase]:
    tokens = torch.tensor([[0, 3, 2], [2, 2, 4]])
    weight = draw(5, 3)
    return [
        case("embedding", weight, tokens),
        case("embedding", weight, tokens, 2, note="padding", frozen=True),
        case(
            "embedding",
            *(weight, tokens),
            scale_grad_by_freq=True,
            note="by frequency",
            formula=lambda weight, indices, **_: weight[indices],
        ),
        case("embedding", weight, tokens, sparse=True, note="sparse"),
        case("one_hot", tokens, 5),
    ]


CASES: Final = (*_convolutions(), *_of_matrices(), *_norms(), *_look_ups())
