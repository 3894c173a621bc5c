"""The form of a network that is differentiated, held against the one that losses are computed in.

Owns the comparison, sample by sample at one point over the whole of a data set, and what still
counts as rounding. A network's differentiable form stands beside its inference form: attention
without fused kernels, batch norms that are not folded, whatever an operator needs so as to have
two derivatives. Where one of them is another function, every derivative is that of another loss,
silently. So whoever differentiates compares first (`workers.engine.objective.Objective` does, for
all that is built on it).

Rounding is told from a difference by the type: in float32 a sample's losses may differ by some
hundred units in the last place of what they are made of (the loss and the spread of losses over
the data set). Where they differ by more, because a network is badly conditioned or its losses are
differences of large numbers, the batches they are in are compared once more in float64, where
rounding is 10⁹ times smaller and a difference of functions is as large as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from workers.engine.errors import FormsDiffer

#: Both forms' losses in float64, for all batches that hold one of the samples of a mask.
InDouble = Callable[[Tensor], tuple[Tensor, Tensor]]

#: What rounding can make of a sample's loss, relative to it and to the spread: for every program,
#: and for one that does not run in float64, where nothing else can tell.
_UNITS: Final = 2**8
_UNITS_ALONE: Final = 2**14
_DOUBLE: Final = 1e-9
#: In float64, of losses that are exactly zero in one form: logits of hundreds cancel.
_LEAST: Final = 1e-11


@dataclass(frozen=True)
class FormsCompared:
    """What the comparison found where it found no fault.

    Attributes:
        differentiable, inference: the mean losses.
        largest: the largest |difference| of a sample's losses that are finite in both.
        rounding: whether float64 had to tell that it is rounding.
    """

    differentiable: float
    inference: float
    largest: float
    rounding: bool


def compare_forms(
    differentiable: Tensor,
    inference: Tensor,
    dtype: torch.dtype,
    in_double: InDouble | None,
    *,
    dataset: str,
) -> FormsCompared:
    """Holds per-sample losses, shape (samples,), of both forms against each other.

    Args:
        dtype: that they were computed in.
        in_double: what to ask where float32 does not tell; None where `dtype` is float64.

    Raises:
        FormsDiffer: they differ by more than rounding; says both losses and what to do.
    """
    ours, theirs = differentiable.double().cpu(), inference.double().cpu()
    both = torch.isfinite(ours) & torch.isfinite(theirs)
    apart = torch.where(both, (ours - theirs).abs(), torch.zeros_like(ours))
    found = FormsCompared(float(ours.mean()), float(theirs.mean()), float(apart.max()), False)
    double = dtype is torch.float64
    excess = _excess(ours, theirs, _DOUBLE if double else _UNITS * torch.finfo(dtype).eps, double)
    suspect = excess > 1
    if not bool(suspect.any()):
        return found
    if in_double is not None:
        try:
            exact = in_double(suspect)
        except (RuntimeError, ValueError, TypeError):  # the program has no float64 form
            allowed = _UNITS_ALONE * torch.finfo(dtype).eps
            if not bool((_excess(ours, theirs, allowed, False) > 1).any()):
                return found
        else:
            more, other = (losses.double().cpu() for losses in exact)
            if not bool((_excess(more, other, _DOUBLE, True) > 1).any()):
                return FormsCompared(found.differentiable, found.inference, found.largest, True)
    sample = int(excess.argmax())
    raise FormsDiffer(
        f"over data set {dataset!r} the loss is {found.differentiable:.9g} in the form of the "
        f"program that is differentiated and {found.inference:.9g} in the form that losses are "
        f"computed in (sample {sample}: {float(ours[sample]):.9g} and "
        f"{float(theirs[sample]):.9g}), which is more than rounding: derivatives would be those of "
        "another function. An operator of the program is at fault, not your weights or data; "
        "surfaces and lines along other directions are not touched by it. Please report the "
        "program, or export it with the operator written out"
    )


def _excess(ours: Tensor, theirs: Tensor, relative: float, double: bool) -> Tensor:
    """By how many times what is allowed each sample's losses differ; infinite where one of them
    alone is not finite."""
    both = torch.isfinite(ours) & torch.isfinite(theirs)
    alike = both | (ours == theirs) | (torch.isnan(ours) & torch.isnan(theirs))
    kept = theirs[torch.isfinite(theirs)]
    spread = float(kept.std()) if len(kept) > 1 else 0.0
    least = _LEAST if double else torch.finfo(torch.float32).tiny
    allowed = relative * (theirs.abs() + spread) + least
    ratio = torch.where(both, (ours - theirs).abs() / allowed, torch.zeros_like(ours))
    return torch.where(alike, ratio, torch.full_like(ours, torch.inf))
