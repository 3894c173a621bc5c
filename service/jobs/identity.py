"""What makes two jobs the same computation: the canonical digest of a spec over its inputs.

Ids are replaced by the digests of what they stand for, so that the same question about the same
bytes has one answer, whoever registered them and however often. Tags, priority and `force` ask for
nothing to be computed and do not count. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.domain.digests import digest_json
from service.domain.jobs import InterpolationJob, SurfaceJob

#: Raised when the meaning of a spec changes, so that older results are not taken for answers.
REVISION = 1


@dataclass(frozen=True)
class Program:
    """A network: its archive's digest, or a named architecture; and the loss."""

    program: str | None
    architecture: Mapping[str, Any] | None
    loss: str


@dataclass(frozen=True)
class Samples:
    """A data set: its bytes, and the name that results show it under."""

    object: str
    name: str


@dataclass(frozen=True)
class Direction:
    """A direction at the origin: its spec, and the other end's weights if it has one."""

    spec: Mapping[str, Any]
    target_weights: str | None


def input_digest(
    spec: InterpolationJob | SurfaceJob,
    *,
    program: Program,
    origin: str,
    target: str | None,
    datasets: Sequence[Samples],
    directions: Mapping[str, Direction],
) -> str:
    """The digest of the question.

    Args:
        spec: as submitted.
        program: the origin's network.
        origin: digest of the origin's weights.
        target: digest of the far end's weights, for a line.
        datasets: in the order of the spec.
        directions: by axis, as resolved.
    """
    question: dict[str, Any] = {
        "revision": REVISION,
        "kind": spec.kind,
        "program": {
            "program": program.program,
            "architecture": dict(program.architecture) if program.architecture else None,
            "loss": program.loss,
        },
        "origin": origin,
        "datasets": [{"object": d.object, "name": d.name} for d in datasets],
        "precision": spec.precision.value,
        "buffers": spec.buffers.value,
    }
    if isinstance(spec, SurfaceJob):
        question |= {
            "directions": {
                axis: {
                    "spec": {k: v for k, v in d.spec.items() if k != "target"},
                    "target": d.target_weights,
                }
                for axis, d in directions.items()
            },
            "orthogonalise": spec.orthogonalise,
            "grid": spec.grid.model_dump(mode="json"),
            "sampling": spec.sampling.model_dump(mode="json"),
        }
    else:
        question |= {"target": target, "alpha": spec.alpha.model_dump(mode="json")}
    return digest_json(question)
