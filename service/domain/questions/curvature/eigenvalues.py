"""Whether a curvature job asks for eigenvalues that there are.

Owns the count of the parameters that a Hessian is taken over, as a model's signature has it. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from service.domain.directions import Ignored
from service.domain.problems import FieldError, Problem
from service.domain.questions.curvature.spec import CurvatureJob


def parameters_left(signature: Mapping[str, Any], exclude: frozenset[Ignored]) -> int:
    """How many numbers the parameters hold that `exclude` does not name.

    Tensors of more than one dimension are never excluded; of the others, gains and biases of norms
    are `norm` and the rest is `bias`.
    """
    return sum(
        prod(item["shape"])
        for item in signature["parameters"]
        if len(item["shape"]) > 1
        or (Ignored.NORM if item["normalisation"] else Ignored.BIAS) not in exclude
    )


def require_eigenvalues(spec: CurvatureJob, signature: Mapping[str, Any]) -> None:
    """Raises Problem `incompatible_inputs` where an end is asked for more than there is.

    Both ends together may be more: they share eigenvalues then, as those of one parameter do.
    """
    count = parameters_left(signature, spec.exclude)
    if count == 0:
        raise Problem(
            "incompatible_inputs",
            "every parameter of the model is excluded, so there is nothing to take a Hessian over; "
            "exclude less",
            pointer="/exclude",
        )
    without = f" without {' and '.join(sorted(spec.exclude))}" if spec.exclude else ""
    errors = [
        FieldError(f"/{end}", f"{wanted} asked for; there are {count}: give {count} or less")
        for end, wanted in (("largest", spec.largest), ("smallest", spec.smallest))
        if wanted > count
    ]
    if errors:
        raise Problem(
            "incompatible_inputs",
            f"the Hessian over the model's {_counted(count)}{without} has as many eigenvalues; "
            f"ask for no more of either end",
            errors=errors,
        )


def _counted(count: int) -> str:
    return f"{count:,} parameter{'' if count == 1 else 's'}"
