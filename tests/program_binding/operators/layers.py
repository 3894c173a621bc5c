"""Cases of normalisations, pooling, padding and resampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor

from service.programs.graph import Arg
from tests.program_binding.operators.case import OperatorCase, case, draw, within

_X1, _X2, _X3 = draw(2, 4, 9), draw(2, 4, 6, 7), draw(2, 2, 4, 5, 4)


def _statistic(read: int, grouped: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """The mean or 1/σ that a norm's second or third result is; PyTorch has no derivative of it."""

    def formula(input: Tensor, eps: float, **_: Any) -> Tensor:
        x = grouped(input)
        kept = x is input
        if read == 1:
            return x.mean(-1, keepdim=kept)
        centred = x - x.mean(-1, keepdim=True)
        return 1 / (centred.square().mean(-1, keepdim=kept) + eps).sqrt()

    return formula


def _normalisations() -> list[OperatorCase]:
    gain, shift = draw(4), draw(4)
    # buffers: no derivative is taken in them
    mean, variance = torch.linspace(-1, 1, 4), torch.linspace(0.5, 2, 4)
    mode = (False, 0.1, 1e-5, True)
    found = [
        case("batch_norm", x, gain, shift, mean, variance, *mode, note=f"{len(x.shape)}D")
        for x in (draw(3, 4), _X1, _X2, draw(2, 4, 3, 2, 2))
    ]
    return [
        *found,
        case("batch_norm", _X2, None, None, mean, variance, *mode, note="plain"),
        case(
            "_native_batch_norm_legit_no_training",
            *(_X2, gain, shift, mean, variance, 0.1, 1e-5),
        ),
        case("layer_norm", draw(2, 3, 4), (4,), gain, shift),
        case("layer_norm", draw(2, 3, 4), (3, 4), note="plain, two dimensions"),
        case("layer_norm", draw(2, 3, 2, 4), (4,), gain, note="no shift"),
        *(
            case(
                "native_layer_norm",
                *(draw(2, 3, 4), (4,), gain, shift, 1e-5),
                read=read,
                formula=_statistic(read, lambda x: x) if read else None,
            )
            for read in range(3)
        ),
        case("group_norm", _X2, 2, gain, shift),
        case("group_norm", _X1, 4, note="plain"),
        *(
            case(
                "native_group_norm",
                *(_X2, gain, shift, 2, 4, 42, 2, 1e-5),
                read=read,
                formula=_statistic(read, lambda x: x.reshape(2, 2, -1)) if read else None,
            )
            for read in range(3)
        ),
        case("instance_norm", _X2, gain, shift, None, None, True, 0.1, 1e-5, True),
        case("instance_norm", _X1, None, None, None, None, True, 0.1, 1e-5, True, note="plain"),
        case(
            "instance_norm",
            *(_X2, gain, shift, mean, variance, False, 0.1, 1e-5, True),
            note="running",
        ),
        case("rms_norm", draw(2, 3, 4), (4,), gain, 1e-5),
        case("rms_norm", draw(2, 3, 4), (3, 4), note="plain"),
    ]


def _pooling() -> list[OperatorCase]:
    found = []
    for n, x in ((1, _X1), (2, _X2), (3, _X3)):
        for kind in ("max", "avg"):
            name, extra = f"{kind}_pool{n}d", {"dilation": 1} if kind == "max" else {}
            found += [
                case(name, x, 2),
                case(name, x, 3, 2, 1, note="padded"),
                case(name, x, 3, 2, 1, **extra, ceil_mode=True, note="ceil"),
                case(name, x, 2, 1, note="overlapping"),
            ]
        found.append(case(f"max_pool{n}d", x, 2, 1, 0, 2, note="dilated"))
        found.append(case(f"avg_pool{n}d", x, 3, 2, 1, count_include_pad=False, note="own count"))
        found.append(case(f"avg_pool{n}d", x, 3, 2, 1, True, False, note="own count, ceil"))
        for size in (1, 3):
            found.append(case(f"adaptive_avg_pool{n}d", x, (size,) * n, note=f"to {size}"))
    x3, x1 = draw(2, 6, 7), draw(4, 9)
    return [
        *found,
        case("avg_pool2d", _X2, 2, divisor_override=3, note="divisor"),
        case("avg_pool3d", _X3, 2, divisor_override=3, note="divisor"),
        case("max_pool2d", x3, (2, 3), (1, 2), note="no batch"),
        case("max_pool1d", x1, 2, note="no batch"),
        case("adaptive_avg_pool2d", _X2, (2, 7), note="uneven"),
        case("_adaptive_avg_pool2d", _X2, (2, 3)),
        case("_adaptive_avg_pool3d", _X3, (2, 3, 2)),
        case("adaptive_max_pool1d", _X1, 4),
        case("adaptive_max_pool2d", _X2, (2, 3)),
        case("adaptive_max_pool2d", _X2, (2, 3), read=1),
        case("max_pool2d_with_indices", _X2, 3, 2, 1, 1, True),
        case("max_pool2d_with_indices", _X2, 2, read=1),
        case("max_pool1d_with_indices", _X1, 3, 2, 1),
    ]


def _padding() -> list[OperatorCase]:
    pairs: tuple[tuple[int, tuple[int, ...]], ...] = (
        (1, (1, 2)),
        (2, (1, 2, 2, 0)),
        (3, (1, 1, 2, 0, 0, 1)),
    )
    found = []
    for n, amounts in pairs:
        x = (_X1, _X2, _X3)[n - 1]
        for mode in ("reflect", "replicate", "circular"):
            found.append(case("pad", x, amounts, mode, note=f"{mode} {n}D"))
        found.append(case("pad", x, amounts, "constant", 1.5, note=f"constant {n}D"))
        found.append(case("_pad_circular", x, amounts, note=f"{n}D"))
    return [
        *found,
        case("pad", _X2, (-1, 2), note="cropped"),
        case("pad", _X2, (0, 0), note="nothing"),
        case("constant_pad_nd", _X2, (1, -1, 2, 0), 0.5),
        case("constant_pad_nd", _X2, (0, 0), note="nothing"),
        case("reflection_pad1d", _X1, (3, 1)),
        case("reflection_pad2d", _X2, (3, 1, 0, 2)),
        case("replication_pad1d", _X1, (3, 1)),
        case("replication_pad2d", _X2, (3, 1, 0, 2)),
    ]


def _resampling() -> list[OperatorCase]:
    found = []
    for n, x, smooth in ((1, _X1, "linear1d"), (2, _X2, "bilinear2d"), (3, _X3, "trilinear3d")):
        size, factors = (5, 8, 3)[:n], (1.7, 0.6, 2.0)[:n]
        choices: tuple[tuple[str, Arg, Arg], ...] = (
            ("size", size, None),
            ("factors", None, factors),
        )
        for note, given, scales in choices:
            found.append(case(f"upsample_nearest{n}d.vec", x, given, scales, note=note))
            for corners in (False, True):
                about = f"{note}, corners={corners}"
                found.append(case(f"upsample_{smooth}.vec", x, given, corners, scales, note=about))
                if n == 2:
                    for name in ("upsample_bicubic2d.vec", "_upsample_bilinear2d_aa.vec"):
                        found.append(case(name, x, given, corners, scales, note=about))
            if n == 2:
                found.append(case("_upsample_nearest_exact2d.vec", x, given, scales, note=note))
    for corners in (False, True):
        about = f"corners={corners}"
        found += [
            case("upsample_linear1d", _X1, (5,), corners, note=about),
            case("upsample_bilinear2d", _X2, (5, 8), corners, note=about),
            case("upsample_bilinear2d", _X2, (12, 14), corners, 2.0, 2.0, note=f"{about}, factors"),
            case("upsample_bicubic2d", _X2, (5, 8), corners, note=about),
        ]
    found += [
        case("upsample_nearest1d", _X1, (5,)),
        case("upsample_nearest2d", _X2, (5, 8)),
        case("upsample_nearest2d", _X2, (12, 14), 2.0, 2.0, note="factors"),
    ]
    for name in ("grid_sampler", "grid_sampler_2d"):
        for mode, how in enumerate(("bilinear", "nearest", "bicubic")):
            for padding, edge in enumerate(("zeros", "border", "reflection")):
                for corners in (False, True):
                    grid = within(2, 3, 4, 2, most=1.4)
                    about = f"{how} {edge} corners={corners}"
                    found.append(
                        case(name, draw(2, 3, 4, 5), grid, mode, padding, corners, note=about)
                    )
    for mode in (0, 1):
        for padding in (0, 1, 2):
            about = f"volumes {mode} {padding}"
            grid = within(2, 2, 3, 2, 3, most=1.4)
            found.append(
                case("grid_sampler", draw(2, 2, 3, 4, 5), grid, mode, padding, False, note=about)
            )
    for corners in (False, True):
        found.append(
            case("affine_grid_generator", draw(2, 2, 3), (2, 3, 4, 5), corners, note=f"{corners}")
        )
    found.append(case("affine_grid_generator", draw(2, 3, 4), (2, 1, 2, 3, 2), False, note="3D"))
    return found


CASES: Final = (*_normalisations(), *_pooling(), *_padding(), *_resampling())
