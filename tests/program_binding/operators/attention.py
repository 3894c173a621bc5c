"""Cases of attention: every kind of mask, causal, grouped heads, lengths that differ."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor

from tests.program_binding.operators.case import Drawn, OperatorCase, case, draw

_PUBLIC: Final = "scaled_dot_product_attention"
_Q, _K, _V = draw(2, 2, 3, 4), draw(2, 2, 5, 4), draw(2, 2, 5, 6)
#: Queries by keys: ragged, so that neither all nor none of a row is seen.
_SEEN: Final = (torch.arange(15) % 4 != 1).reshape(3, 5)
_NEGATIVE: Final = torch.where(_SEEN, 0.0, -float("inf"))


def _blind(mask: Tensor) -> Tensor:
    """The mask with one query that sees nothing."""
    changed = mask.clone()
    changed[..., 1, :] = False
    return changed


def _public() -> list[OperatorCase]:
    padding = torch.tensor([[True, True, True, False, False], [True] * 5])[:, None, None]
    masks: dict[str, Any] = {
        "boolean": _SEEN,
        "boolean per sample": torch.stack([_SEEN, _SEEN.flip(1)])[:, None],
        "boolean of full shape": torch.stack([_SEEN, _SEEN.flip(1)] * 2).reshape(2, 2, 3, 5),
        "padding": padding,
        "all seen": torch.ones(3, 5, dtype=torch.bool),
        "a row that sees nothing": _blind(_SEEN),
        "nothing seen": torch.zeros(2, 1, 3, 5, dtype=torch.bool),
        "bias": draw(3, 5),
        "bias per head": draw(2, 3, 5),
        "bias of full shape": draw(2, 2, 3, 5),
        "minus infinity": _NEGATIVE,
        "minus infinity throughout a row": torch.where(_blind(_SEEN), 0.0, -float("inf")),
        "least number": torch.where(_SEEN, 0.0, torch.finfo(torch.float32).min),
        "numbers": torch.linspace(-1, 1, 15).reshape(3, 5),
    }
    found = []
    for note, mask in masks.items():
        found.append(case(_PUBLIC, _Q, _K, _V, mask, note=note))
    for note, mask in (("boolean", _SEEN), ("bias", draw(3, 5)), ("padding", padding[0])):
        flat = (draw(2, 3, 4), draw(2, 5, 4), draw(2, 5, 6))
        found.append(case(_PUBLIC, *flat, mask, scale=0.3, note=f"three dimensions, {note}"))
    heads = (draw(2, 4, 3, 4), draw(2, 2, 5, 4), draw(2, 2, 5, 4))
    for note, mask in (("", None), ("boolean", _SEEN), ("bias", draw(4, 3, 5))):
        found.append(case(_PUBLIC, *heads, mask, enable_gqa=True, note=f"grouped {note}"))
    long = (draw(2, 2, 5, 4), draw(2, 2, 3, 4), draw(2, 2, 3, 4))
    return [
        *found,
        case(_PUBLIC, _Q, _K, _V),
        case(_PUBLIC, _Q, _K, _V, scale=-0.7, note="scale"),
        case(_PUBLIC, _Q, _K, _V, None, 0.0, True, note="causal, more keys"),
        case(_PUBLIC, *long, None, 0.0, True, note="causal, more queries"),
        case(_PUBLIC, draw(2, 2, 3, 4), draw(2, 2, 3, 4), _Q, None, 0.0, True, note="causal"),
        case(_PUBLIC, *heads, None, 0.0, True, scale=0.3, enable_gqa=True, note="causal, grouped"),
        case(_PUBLIC, draw(3, 4), draw(5, 4), draw(5, 6), _SEEN, note="two dimensions"),
        case(
            _PUBLIC, draw(2, 1, 3, 4), draw(1, 2, 5, 4), draw(5, 6), _SEEN, note="broadcast heads"
        ),
        case(
            _PUBLIC, draw(2, 1, 2, 3, 4), draw(2, 1, 2, 5, 4), draw(2, 1, 2, 5, 6), _SEEN, note="5D"
        ),
    ]


def _plain(**given: Any) -> Tensor:
    """The public operator, for kernels that run on one kind of device or in one memory format."""
    mask = given.get("attn_mask", given.get("attn_bias"))
    result: Tensor = torch.ops.aten.scaled_dot_product_attention.default(
        *(given["query"], given["key"], given["value"], mask),
        is_causal=given.get("is_causal", False),
        scale=given.get("scale"),
    )
    return result


def _fused() -> list[OperatorCase]:
    value = draw(2, 2, 5, 4)
    found = []
    full = torch.stack([_SEEN, _SEEN.flip(1)] * 2).reshape(2, 2, 3, 5)
    masks: tuple[tuple[str, Any], ...] = (
        ("none", None),
        ("bias", Drawn((2, 2, 3, 5), -1.0, 1.0)),
        ("minus infinity", torch.where(full, 0.0, -float("inf"))),
    )
    flash, efficient = (
        f"_scaled_dot_product_{n}" for n in ("flash_attention_for_cpu", "efficient_attention")
    )
    for note, mask in masks:
        for causal in (False, True) if mask is None else (False,):
            about = f"{note}, causal" if causal else note
            found.append(
                case(
                    flash,
                    *(_Q, _K, value, 0.0, causal),
                    attn_mask=mask,
                    scale=0.3,
                    note=about,
                    formula=_plain,
                    runs=False,
                )
            )
            found.append(
                case(
                    efficient,
                    *(_Q, _K, value, mask, False, 0.0, causal),
                    scale=0.3,
                    note=about,
                    formula=_plain,
                    runs=False,
                )
            )
    return [
        *found,
        case(flash, _Q, _K, value, attn_mask=full, note="boolean", formula=_plain, runs=False),
    ]


CASES: Final = (*_public(), *_fused())
