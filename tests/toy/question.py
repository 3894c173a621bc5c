"""What the toy asks for, refers to, measures and is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from service.domain.derived.grid import ANY, CENTER, CENTER_ACCURACY
from service.domain.derived.measure import Measure
from service.domain.derived.rule import Reads, Rule
from service.domain.directions import RandomDirection
from service.domain.grids import Axis
from service.domain.ids import CheckpointId
from service.domain.plan import Part
from service.domain.questions.question import Extent, Question, RecordedRun, Words
from service.domain.questions.references import AskedDirection, Named, References, named_datasets
from service.domain.questions.spec import QuestionSpec
from service.domain.results import DatasetGrid, GridResult


class ToyJob(QuestionSpec):
    """f(r) = L(θ + r·d) along one random direction, outwards."""

    kind: Literal["toy"]
    origin: CheckpointId
    seed: int = Field(ge=0, lt=2**63)
    reach: float = Field(default=1.0, gt=0, le=10)
    num: int = Field(default=5, ge=2, le=1000)


class ToyPart(Part):
    """How often the child was asked: it says so itself."""

    asked: int


class Toy(Question[ToyJob]):
    """Not one of the product's."""

    kind: ClassVar = "toy"
    spec = ToyJob
    words: ClassVar = Words("Toy", "Loss at growing radii")
    size_at: ClassVar = "/num"
    part: ClassVar = ToyPart

    def shape(self, spec: ToyJob) -> tuple[int, ...]:
        return (spec.num,)

    def axes(self, spec: ToyJob, part: Part | None, extent: Extent | None) -> tuple[Axis, None]:
        return Axis(min=0, max=spec.reach, num=spec.num), None

    def references(self, spec: ToyJob) -> References:
        return References(
            origin=Named(spec.origin, "/origin"),
            datasets=named_datasets(spec.datasets),
            directions={"x": AskedDirection(RandomDirection(seed=spec.seed), "")},
        )

    def recorded(
        self,
        spec: ToyJob,
        body: Mapping[str, Any],
        directions: Mapping[str, Any],
        runs: Sequence[RecordedRun],
    ) -> dict[str, Any]:
        return dict(body)

    def members(
        self, result: GridResult, provenance: Mapping[str, Any]
    ) -> Mapping[str, dict[str, Any]]:
        found = result.attachments.get("toy.radii")
        return {} if found is None else {"toy": {"radii": found.tolist()}}

    def measures(self, result: GridResult) -> tuple[Rule, ...]:
        return (*ANY, CENTER, RISE)

    @property
    def every_measure(self) -> tuple[Rule, ...]:
        return (*ANY, CENTER, CENTER_ACCURACY, RISE)


def _rise(result: GridResult, dataset: DatasetGrid) -> Measure:
    definition = "Loss at the largest radius minus the network's own."
    value = float(dataset.loss[-1] - dataset.loss[0])
    error = float(np.hypot(dataset.stderr[-1], dataset.stderr[0]))
    return Measure(value, definition, stderr=error)


RISE = Rule("toy_rise", "Rise of the toy", Reads.CELL, _rise)
