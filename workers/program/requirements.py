"""What operators' arguments must be to each other, where PyTorch's own checks stop short.

Some kernels believe numbers that they could have derived; others compute addresses in 32 bits.
Each rule here is one that a program of PyTorch's own making keeps, held against the real sizes
before the operator is called.

Owns the rules, by operator. Runs no operator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from torch import Tensor

#: Strides and dilations beyond this and beyond the image: a kernel's offsets are of 32 bits.
_FREE_STEP: Final = 1024


def require(operator: str, given: Mapping[str, Any]) -> None:
    """Holds a call's arguments, by name, against the rules of its operator.

    Raises:
        ValueError: they break one.
    """
    rule = _RULES.get(operator)
    if rule is not None:
        rule(given)


def _several(value: Any, count: int) -> list[int]:
    """A window's numbers, one for each dimension."""
    numbers = list(value) if isinstance(value, Sequence) else [value]
    return numbers * count if len(numbers) == 1 else numbers


def _convolution(given: Mapping[str, Any]) -> None:
    """A step past the image's end (of a transposed one: past the kernel's) is refused, but for
    steps that any image may have.
    """
    image, weight = given["input"], given["weight"]
    if not isinstance(image, Tensor) or not isinstance(weight, Tensor) or weight.dim() < 3:
        return
    count = weight.dim() - 2
    stride, dilation = (_several(given.get(name, 1), count) for name in ("stride", "dilation"))
    transposed = given.get("transposed") is True
    for positions, taps, step, spread in zip(
        image.shape[-count:], weight.shape[2:], stride, dilation, strict=False
    ):
        extent = spread * (taps - 1) + 1 if transposed else positions
        if max(step, spread) > max(extent, _FREE_STEP):
            raise ValueError(
                f"a stride of {step} or a dilation of {spread} goes past all {extent} positions"
            )


def _transposed_convolution(given: Mapping[str, Any]) -> None:
    _convolution({**given, "transposed": True})


def _of_scales(names: Sequence[str]) -> Callable[[Mapping[str, Any]], None]:
    """Factors told beside the sizes that they lead to must lead there."""

    def rule(given: Mapping[str, Any]) -> None:
        image, sizes = given.get("self"), given.get("output_size")
        if not isinstance(image, Tensor) or not isinstance(sizes, Sequence):
            return
        inner = image.shape[-len(sizes) :]
        for name, before, after in zip(names, inner, sizes, strict=False):
            scale = given.get(name)
            if scale is not None and not _leads(before, float(scale), int(after)):
                raise ValueError(
                    f"{name} is {scale}, which does not make {after} positions of {before}"
                )

    return rule


def _leads(before: int, scale: float, after: int) -> bool:
    return math.isfinite(scale) and scale > 0 and abs(before * scale - after) <= 1.0


def _group_norm(given: Mapping[str, Any]) -> None:
    x = given["input"]
    there = (*x.shape[:2], math.prod(x.shape[2:])) if x.dim() >= 2 else tuple(x.shape)
    told = (given["N"], given["C"], given["HxW"])
    if there != told:
        raise ValueError(
            f"a group norm is told of {told[0]} × {told[1]} × {told[2]} numbers; its input is "
            f"{list(x.shape)}"
        )


def _repeated(given: Mapping[str, Any]) -> None:
    told, x, dim = given.get("output_size"), given["self"], given.get("dim")
    if told is None:
        return
    there = x.numel() if dim is None else (x.shape[dim] if x.dim() else 1)
    if told != there * given["repeats"]:
        raise ValueError(f"its output_size is told as {told}; it is {there} × {given['repeats']}")


def _classes(given: Mapping[str, Any]) -> None:
    if given.get("num_classes", -1) < 0:
        raise ValueError("the number of classes must be given: its size may not depend on data")


_RULES: Final[Mapping[str, Callable[[Mapping[str, Any]], None]]] = {
    **{
        f"aten.{name}": _convolution
        for name in (
            *("conv1d.default", "conv2d.default", "conv3d.default"),
            *("conv1d.padding", "conv2d.padding", "conv3d.padding"),
            "convolution.default",
        )
    },
    **{
        f"aten.{name}": _transposed_convolution
        for name in ("conv_transpose1d.default", "conv_transpose2d.input", "conv_transpose3d.input")
    },
    **{
        f"aten.{name}.default": _of_scales(("scales",))
        for name in ("upsample_nearest1d", "upsample_linear1d")
    },
    **{
        f"aten.{name}.default": _of_scales(("scales_h", "scales_w"))
        for name in ("upsample_nearest2d", "upsample_bilinear2d", "upsample_bicubic2d")
    },
    "aten.native_group_norm.default": _group_norm,
    "aten.repeat_interleave.self_int": _repeated,
    "aten.one_hot.default": _classes,
}
