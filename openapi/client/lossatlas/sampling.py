"""How the cells of a surface are filled: all evaluated, or few of them and the others estimated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lossatlas.errors import InputError


@dataclass(frozen=True)
class Adaptive:
    """Evaluate few cells and interpolate the others, each with a stated error.

    Attributes:
        tolerance: relative, on the loss of every data set: at least 95 % of the cells lie within.
        audit: share of the cells that are drawn at random to check the others.
    """

    tolerance: float = 0.03
    audit: float = 0.05


#: `exact`, `adaptive`, an `Adaptive`, or a spec as the API takes it.
SamplingLike = Adaptive | str | Mapping[str, Any]


def sampling_spec(sampling: SamplingLike) -> dict[str, Any]:
    """What a job takes. Raises InputError for anything else."""
    if isinstance(sampling, Adaptive):
        return {"mode": "adaptive", "tolerance": sampling.tolerance, "audit": sampling.audit}
    if isinstance(sampling, Mapping):
        return dict(sampling)
    if sampling in ("exact", "adaptive"):
        return {"mode": sampling}
    raise InputError(
        f"sampling {sampling!r}: give 'exact', 'adaptive' or lossatlas.Adaptive(tolerance=0.03)"
    )
