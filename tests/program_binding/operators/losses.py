"""Cases of losses. Reductions by PyTorch's numbers: 0 none, 1 mean, 2 sum."""

from __future__ import annotations

from typing import Any, Final

import torch

from tests.program_binding.operators.case import Drawn, OperatorCase, case, draw, positive, within

_LOGITS, _IMAGES = draw(4, 3), draw(2, 3, 2, 3)
_CLASSES: Final = torch.tensor([0, 2, 1, 2])
_SOME: Final = torch.tensor([0, -100, 1, 2])
_PIXELS: Final = torch.tensor([[[0, 2, 1], [1, 1, 0]], [[2, -100, 1], [0, 2, 2]]])
_SIGNS: Final = torch.tensor([1.0, -1.0, 1.0, -1.0])
#: Of classes: PyTorch takes no derivative in it.
_WEIGHT: Final = torch.tensor([0.5, 1.5, 1.0])
_REDUCTIONS: Final = (0, 1, 2)


def _of_classes() -> list[OperatorCase]:
    found = []
    for r in _REDUCTIONS:
        found += [
            case("cross_entropy_loss", _LOGITS, _SOME, _WEIGHT, r, -100, 0.1, note=f"{r}"),
            case("cross_entropy_loss", _LOGITS, _CLASSES, None, r, note=f"plain {r}"),
            case("cross_entropy_loss", _LOGITS, Drawn((4, 3), 0, 1), None, r, note=f"shares {r}"),
            case("cross_entropy_loss", _IMAGES, _PIXELS, None, r, note=f"pixels {r}"),
            case("nll_loss", _LOGITS, _SOME, _WEIGHT, r, note=f"{r}"),
            case("nll_loss_nd", _IMAGES, _PIXELS, _WEIGHT, r, note=f"{r}"),
            case("nll_loss2d", _IMAGES, _PIXELS, _WEIGHT, r, note=f"{r}"),
        ]
        for read in (0, 1) if r else (0,):
            found += [
                case("nll_loss_forward", _LOGITS, _SOME, _WEIGHT, r, -100, read=read, note=f"{r}"),
                case(
                    "nll_loss2d_forward", _IMAGES, _PIXELS, _WEIGHT, r, -100, read=read, note=f"{r}"
                ),
            ]
        for p in (1, 2):
            for weight in (None, _WEIGHT):
                note = f"p={p} {r}" + ("" if weight is None else " weighted")
                found.append(
                    case("multi_margin_loss", _LOGITS, _CLASSES, p, 0.7, weight, r, note=note)
                )
    return [
        *found,
        case("multi_margin_loss", draw(3), torch.tensor(1), note="one sample"),
        case("multi_margin_loss", draw(3), torch.tensor([1]), note="one sample in a row"),
        case("multi_margin_loss", draw(3), torch.tensor(1), reduction=0, note="one sample, none"),
        case("multi_margin_loss", draw(3), torch.tensor([1]), reduction=0, note="in a row, none"),
        case("cross_entropy_loss", draw(3), torch.tensor(1), note="one sample"),
        case("nll_loss", draw(3), torch.tensor(1), note="one sample"),
        case("nll_loss2d", _IMAGES, _PIXELS, reduction=2, note="by name"),
        case("nll_loss_nd", _IMAGES, _PIXELS.clamp(min=0), ignore_index=1, note="by name"),
        case("multi_margin_loss", _LOGITS, _CLASSES, margin=0.5, reduction=0, note="by name"),
    ]


def _of_numbers() -> list[OperatorCase]:
    found = []
    a, b, chance = draw(4, 3), draw(4, 3), Drawn((4, 3), 0.1, 0.9)
    for r in _REDUCTIONS:
        note: dict[str, Any] = {"note": f"{r}"}
        found += [
            case("mse_loss", a, b, r, **note),
            case("l1_loss", a, b, r, **note),
            case("smooth_l1_loss", a, b, r, 0.7, **note),
            case("smooth_l1_loss", a, b, r, 0.0, note=f"sharp {r}"),
            case("huber_loss", a, b, r, 0.7, **note),
            case(
                "binary_cross_entropy",
                chance,
                chance,
                torch.linspace(0.5, 2, 12).reshape(4, 3),
                r,
                **note,
            ),
            case("binary_cross_entropy", chance, torch.ones(4, 3), None, r, note=f"plain {r}"),
            case(
                "binary_cross_entropy_with_logits",
                *(a, chance, _WEIGHT, _WEIGHT.flip(0), r),
                **note,
            ),
            case("binary_cross_entropy_with_logits", a, chance, None, None, r, note=f"plain {r}"),
            case("kl_div", a, chance, r, **note),
            case("kl_div", a, b, r, log_target=True, note=f"logarithms {r}"),
            case("poisson_nll_loss", a, positive(4, 3), True, True, 1e-8, r, **note),
            case(
                "poisson_nll_loss", chance, positive(4, 3), False, False, 1e-8, r, note=f"plain {r}"
            ),
            case("hinge_embedding_loss", draw(4), _SIGNS, 0.7, r, **note),
            case("margin_ranking_loss", draw(4), draw(4), _SIGNS, 0.3, r, **note),
            case("soft_margin_loss", draw(4), _SIGNS, r, **note),
            case("cosine_embedding_loss", a, b, _SIGNS, 0.1, r, **note),
        ]
        for p in (2.0, 1.0, 3.0):
            found.append(
                case(
                    "triplet_margin_loss",
                    a,
                    b,
                    draw(4, 3),
                    1.5,
                    p,
                    1e-6,
                    True,
                    r,
                    note=f"p={p} {r}",
                )
            )
    found.append(case("triplet_margin_loss", a, b, within(4, 3)))
    return found


CASES: Final = (*_of_classes(), *_of_numbers())
