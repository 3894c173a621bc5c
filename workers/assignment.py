"""A claimed unit in the words that the steps use: its spec, its plan, its inputs.

Owns the reading of a claim's JSON into values. Reads no database.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.domain.plan import JobPlan
from service.domain.questions.spec import QuestionSpec
from service.domain.questions.table import job_spec, read_plan
from service.domain.results import unique_names
from service.domain.units import UnitKind
from service.ledger.records import (
    CheckpointRecord,
    ClaimedUnit,
    DatasetRecord,
    DirectionRecord,
    JobRecord,
    ModelRecord,
    UnitRecord,
)


@dataclass(frozen=True)
class Assignment:
    """Rows as they were when the unit was claimed; all but `unit` and `job` are immutable."""

    claimed: ClaimedUnit

    @property
    def unit(self) -> UnitRecord:
        return self.claimed.unit

    @property
    def job(self) -> JobRecord:
        return self.claimed.job

    @property
    def kind(self) -> UnitKind:
        return self.claimed.unit.kind

    @property
    def model(self) -> ModelRecord:
        return self.claimed.inputs.model

    @property
    def checkpoints(self) -> Mapping[str, CheckpointRecord]:
        return self.claimed.inputs.checkpoints

    @property
    def datasets(self) -> tuple[DatasetRecord, ...]:
        return self.claimed.inputs.datasets

    @property
    def directions(self) -> Mapping[str, DirectionRecord]:
        """By axis."""
        return self.claimed.inputs.directions

    @property
    def spec(self) -> QuestionSpec:
        """Raises ValidationError for an ingest, which has none."""
        return job_spec().validate_python(self.job.spec)

    @property
    def plan(self) -> JobPlan:
        """Raises ValueError when the job has none yet."""
        plan = self.claimed.inputs.plan
        if plan is None:
            raise ValueError(f"job {self.job.id} has no plan yet")
        return read_plan(self.job.kind, plan)

    @property
    def dataset_names(self) -> tuple[str, ...]:
        """Names that tell the data sets apart in results."""
        return unique_names([dataset.name for dataset in self.datasets])
