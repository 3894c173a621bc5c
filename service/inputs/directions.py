"""Directions as recorded: every default filled in, uploaded tensors matched with the program.

Pure. Owns the canonical JSON of a direction, the choice of an uploaded object's prefix and the
reasons for refusing one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from service.domain.definitions import direction_digest
from service.domain.directions import AnyDirection, RandomDirection
from service.inputs.fit import FLOATING, Misfit, TensorShape, misfits
from service.inputs.plain import plain_json

AxisName = Literal["x", "y"]
Spec = AnyDirection
SPEC: TypeAdapter[Spec] = TypeAdapter(Annotated[AnyDirection, Field(discriminator="kind")])

#: How materialised objects mark the part of a direction that moves running statistics.
BUFFER_MARK = "buffer:"


@dataclass(frozen=True)
class Matched:
    """An uploaded object matched with a program: the prefix to read it by, or what is wrong.

    `hint` is a fix in words, when one is known.
    """

    prefix: str
    faults: tuple[Misfit, ...]
    hint: str = ""


def with_axis(spec: Spec, axis: AxisName) -> Spec:
    """The spec with the stream of its seed said out loud, where it has one."""
    if isinstance(spec, RandomDirection) and spec.axis is None:
        return spec.model_copy(update={"axis": axis})
    return spec


def spec_json(spec: Spec) -> dict[str, Any]:
    """The spec as JSON in which equal specs are equal texts (sets sorted)."""
    body: dict[str, Any] = plain_json(spec)
    return body


def spec_digest(spec: Spec) -> str:
    """Names a spec, so that the same one at the same checkpoint is recorded once under the same
    definitions.
    """
    return direction_digest(spec_json(spec))


def match_uploaded(
    parameters: Mapping[str, TensorShape],
    buffers: Mapping[str, TensorShape],
    given: Mapping[str, TensorShape],
    prefix: str,
    axis: AxisName | None,
) -> Matched:
    """Finds the parameters in an uploaded object.

    Every parameter must be there as `<prefix><name>`; floating buffers may be. With a prefix, other
    names are another direction's and do not matter. Without one, an object that holds both axes
    (`x.<parameter>` and `y.<parameter>`) is read by the axis at hand.

    Args:
        parameters, buffers: the program's, by name.
        given: the object's tensors.
        prefix: as asked for.
        axis: the axis that the direction is given for; None outside a job.
    """
    if prefix:
        inside = {n.removeprefix(prefix): t for n, t in given.items() if n.startswith(prefix)}
        if not inside:
            fault = Misfit(prefix, "missing", f"no tensor's name begins with {prefix!r}")
            return Matched(prefix, (fault,), _hint_of_prefixes(parameters, buffers, given))
        return Matched(prefix, tuple(_faults(parameters, buffers, inside)))
    faults = _faults(parameters, buffers, given)
    if not faults:
        return Matched("", ())
    fitting = _fitting_prefixes(parameters, buffers, given)
    if axis is not None and f"{axis}." in fitting:
        return Matched(f"{axis}.", ())
    return Matched("", tuple(faults), _hint_of_prefixes(parameters, buffers, given))


def _faults(
    parameters: Mapping[str, TensorShape],
    buffers: Mapping[str, TensorShape],
    given: Mapping[str, TensorShape],
) -> list[Misfit]:
    movable = {n: t for n, t in buffers.items() if t.dtype in FLOATING}
    plain = {n.removeprefix(BUFFER_MARK): t for n, t in given.items()}
    return misfits(parameters, plain, optional=movable)


def _fitting_prefixes(
    parameters: Mapping[str, TensorShape],
    buffers: Mapping[str, TensorShape],
    given: Mapping[str, TensorShape],
) -> list[str]:
    fitting = []
    for prefix in ("x.", "y."):
        inside = {n.removeprefix(prefix): t for n, t in given.items() if n.startswith(prefix)}
        if inside and not _faults(parameters, buffers, inside):
            fitting.append(prefix)
    return fitting


def _hint_of_prefixes(
    parameters: Mapping[str, TensorShape],
    buffers: Mapping[str, TensorShape],
    given: Mapping[str, TensorShape],
) -> str:
    fitting = _fitting_prefixes(parameters, buffers, given)
    if not fitting:
        return "Name each tensor as the parameter it moves, in that parameter's shape."
    return (
        "Every name fits with a prefix: give "
        + " or ".join(f'"prefix": "{prefix}"' for prefix in fitting)
        + "."
    )
