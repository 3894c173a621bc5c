"""What makes two jobs the same computation: the canonical digest of a spec over its inputs.

The definitions that numbers are computed under are part of the question. Ids are replaced by the
digests of what they stand for, so that the same question about the same bytes has one answer,
whoever registered them and however often. Tags, priority and `force` ask for nothing to be computed
and do not count. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from service.domain.definitions import DEFINITIONS
from service.domain.digests import digest_json
from service.domain.questions.question import unused
from service.domain.questions.spec import QuestionSpec
from service.domain.questions.table import question_of
from service.inputs.plain import plain_json

#: Raised when the meaning of a spec changes, so that older results are not taken for answers.
REVISION = 2


@dataclass(frozen=True)
class Program:
    """A network: its archive's digest, or a named architecture; and the loss.

    Attributes:
        loss_options: those that are not left at their defaults (`LossOptions.asked`).
    """

    program: str | None
    architecture: Mapping[str, Any] | None
    loss: str
    loss_options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Samples:
    """A data set: its bytes, and the name that results show it under."""

    object: str
    name: str


@dataclass(frozen=True)
class Direction:
    """A direction at the origin: its spec, and the bytes of what the spec names.

    Attributes:
        target_weights: of the other end, for `between`.
        dataset: the object that a gradient or an eigenvector is taken over.
    """

    spec: Mapping[str, Any]
    target_weights: str | None
    dataset: str | None = None


#: Fields of specs that name things by id, or ask for nothing to be computed.
_NOT_ASKED: Final = frozenset(
    {"tags", "priority", "force", "origin", "target", "datasets", "directions", "along"}
    | {"direction"}
    | {"model", "checkpoints", "runs"}
)
_IDS_OF_DIRECTIONS: Final = frozenset({"target", "dataset", "checkpoints"})


def input_digest(
    spec: QuestionSpec,
    *,
    program: Program,
    origin: str,
    target: str | None,
    datasets: Sequence[Samples],
    directions: Mapping[str, Direction],
    path: Sequence[Mapping[str, Any]] = (),
) -> str:
    """The digest of the question.

    Args:
        spec: as submitted.
        program: the origin's network.
        origin: digest of the origin's weights.
        target: digest of the far end's weights, for a line.
        datasets: in the order of the spec.
        directions: by axis, as resolved.
        path: a trajectory's runs: digests of the weights, and labels, steps, rates that are shown.
    """
    question: dict[str, Any] = {
        "revision": REVISION,
        # what an earlier release answered under other definitions is no answer to this question
        "definitions": DEFINITIONS,
        "program": {
            "program": program.program,
            "architecture": dict(program.architecture) if program.architecture else None,
            "loss": program.loss,
            # not there where there are none, as it never was: those answers are answers still
            **({"loss_options": dict(program.loss_options)} if program.loss_options else {}),
        },
        "origin": origin,
        "target": target,
        "datasets": [{"object": d.object, "name": d.name} for d in datasets],
        "directions": {
            axis: {
                "spec": _without(d.spec, _IDS_OF_DIRECTIONS),
                "target": d.target_weights,
                "dataset": d.dataset,
            }
            for axis, d in directions.items()
        },
        "path": [dict(run) for run in path],
        "asked": _without(
            plain_json(spec), _NOT_ASKED | unused(spec) | question_of(spec).unasked(spec)
        ),
    }
    return digest_json(question)


def _without(value: Any, names: frozenset[str]) -> Any:
    """A JSON value without the members of these names, at any depth."""
    if isinstance(value, Mapping):
        return {key: _without(item, names) for key, item in value.items() if key not in names}
    return value
