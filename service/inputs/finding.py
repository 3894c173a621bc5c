"""Everything that a request refers to, found in one go: is it there, and may this key see it.

Owns the one look-up of a submission. Judges nothing that it finds; writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from service.domain.directions import BetweenDirection, UploadedDirection
from service.domain.questions.references import AskedRun, Named, References
from service.inputs import lookup
from service.inputs.directions import SPEC, Spec
from service.inputs.lookup import Caller
from service.ledger import checkpoints, models
from service.ledger.records import (
    CheckpointRecord,
    DatasetRecord,
    DirectionRecord,
    ModelRecord,
    ObjectRecord,
)
from service.ledger.session import Session


@dataclass(frozen=True)
class Found:
    """Rows by id, objects by digest.

    Attributes:
        models: those that were named, and those of every checkpoint and direction that was.
        of_models: every checkpoint, in order, of the models whose runs ask for all.
        listed: checkpoints that runs name one by one; those that are not there are missing.
    """

    checkpoints: dict[str, CheckpointRecord] = field(default_factory=dict)
    models: dict[str, ModelRecord] = field(default_factory=dict)
    datasets: dict[str, DatasetRecord] = field(default_factory=dict)
    directions: dict[str, DirectionRecord] = field(default_factory=dict)
    objects: dict[str, ObjectRecord] = field(default_factory=dict)
    of_models: dict[str, tuple[CheckpointRecord, ...]] = field(default_factory=dict)
    listed: dict[str, CheckpointRecord] = field(default_factory=dict)

    def model_of(self, made_for: CheckpointRecord | DirectionRecord) -> ModelRecord:
        """The model of a found checkpoint or direction."""
        return self.models[made_for.model_id]


def find(session: Session, caller: Caller, references: References) -> Found:
    """Finds what a question refers to.

    Raises:
        Problem: `invalid_request` or `object_missing` at the field that names what is not there.
    """
    finder = _Finder(session, caller)
    if references.origin is not None:
        finder.checkpoint(references.origin)
    for run in references.runs:
        finder.run(run)
    if references.target is not None:
        finder.checkpoint(references.target)
    finder.datasets(references.datasets)
    for asked in references.directions.values():
        if isinstance(asked.choice, str):
            finder.direction(Named(asked.choice, asked.at))
        else:
            finder.inside(asked.choice, asked.at)
    return finder.found


def find_direction(session: Session, caller: Caller, origin: Named, spec: Spec, at: str) -> Found:
    """Finds a direction's origin and what its spec refers to; raises as `find`.

    Args:
        at: pointer of the spec in the body; "" when it is the body.
    """
    finder = _Finder(session, caller)
    finder.checkpoint(origin)
    finder.inside(spec, at)
    finder.over(spec, at)
    return finder.found


@dataclass(frozen=True)
class _Finder:
    session: Session
    caller: Caller
    found: Found = field(default_factory=Found)

    def checkpoint(self, named: Named) -> None:
        checkpoint, model = lookup.checkpoint(self.session, self.caller, named.id, named.at)
        self.found.checkpoints[checkpoint.id] = checkpoint
        self.found.models[model.id] = model

    def datasets(self, named: Iterable[Named]) -> None:
        for one in named:
            dataset = lookup.dataset(self.session, self.caller, one.id, one.at)
            self.found.datasets[dataset.id] = dataset

    def direction(self, named: Named) -> None:
        """A saved direction, the model that it was made for, and what its spec refers to."""
        saved = lookup.direction(self.session, self.caller, named.id, named.at)
        self.found.directions[saved.id] = saved
        model = models.get(self.session, saved.model_id)
        if model is not None:
            self.found.models[model.id] = model
        spec = SPEC.validate_python(saved.spec)
        self.inside(spec, named.at)
        if saved.object is not None:
            self.over(spec, named.at)

    def inside(self, spec: Spec, at: str) -> None:
        """The uploaded object or the far end of a spec."""
        if isinstance(spec, UploadedDirection):
            found = lookup.uploaded(self.session, self.caller, spec.object, f"{at}/object")
            self.found.objects[spec.object] = found
        elif isinstance(spec, BetweenDirection):
            self.checkpoint(Named(spec.target, f"{at}/target"))

    def over(self, spec: Spec, at: str) -> None:
        """The data set that a spec is taken over, where it names one."""
        dataset = getattr(spec, "dataset", None)
        if dataset is not None:
            self.datasets([Named(dataset, f"{at}/dataset")])

    def run(self, asked: AskedRun) -> None:
        model = lookup.model_named(self.session, self.caller, asked.model, f"{asked.at}/model")
        self.found.models[model.id] = model
        if asked.checkpoints == "all":
            self.found.of_models[model.id] = tuple(checkpoints.all_of(self.session, model.id))
        else:
            self.found.listed.update(checkpoints.for_ids(self.session, asked.checkpoints))
