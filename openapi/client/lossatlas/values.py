"""What the service keeps, as frozen values. Fields that this version does not know are dropped:
changes inside `/v1` only add.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from lossatlas.display import card_of


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    def _repr_html_(self) -> str:
        return card_of(self)


class Tensor(_Value):
    """A tensor by name. None in `shape` is a size that may vary."""

    name: str
    dtype: str | None = None
    shape: tuple[int | None, ...] | None = None


class Signature(_Value):
    """What a network takes and gives; `parameters` and `buffers` are what weights must hold."""

    parameters: tuple[Tensor, ...]
    buffers: tuple[Tensor, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    parameter_count: int


class LossOptions(_Value):
    """How a model's loss is taken. `reduction`: what counts alike in its mean, every `sample` or
    every `position`.
    """

    reduction: str = "sample"


class Model(_Value):
    """A registered network. `state`: checked, ready or refused."""

    id: str
    project: str
    name: str
    loss: str
    loss_options: LossOptions = LossOptions()
    state: str
    program: str | None = None
    architecture: dict[str, Any] | None = None
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = {}
    problem: dict[str, Any] | None = None
    signature: Signature | None = None
    created_at: datetime


class Checkpoint(_Value):
    """Weights of a model at one moment. `seq` is the place in the model's order, from 0."""

    id: str
    model: str
    seq: int
    weights: str
    step: int | None = None
    epoch: float | None = None
    label: str | None = None
    metrics: dict[str, float] = {}
    learning_rate: float | None = None
    created_at: datetime


class Dataset(_Value):
    """Samples to evaluate on."""

    id: str
    project: str
    name: str
    object: str
    samples: int
    split: str | None = None
    inputs: dict[str, Any] = {}
    targets: dict[str, Any] = {}
    created_at: datetime


class Direction(_Value):
    """A recorded direction at a checkpoint. `norm` is known once a job has used it."""

    id: str
    model: str
    checkpoint: str
    spec: dict[str, Any]
    norm: float | None = None
    created_at: datetime


class Progress(_Value):
    """How far a job is. `total` is None until it is planned."""

    phase: str
    done: int
    total: int | None = None
    unit: str = "cells"
    eta_seconds: float | None = None


class JobState(_Value):
    """A job as the service last described it."""

    id: str
    kind: str
    project: str
    model: str
    state: str
    progress: Progress
    attempt: int = 1
    spec: dict[str, Any] = {}
    directions: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    priority: int = 0
    #: What to know of the question before its answer.
    notes: tuple[str, ...] = ()
    landscape: str | None = None
    error: dict[str, Any] | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen unless it is retried."""
        return self.state in ("succeeded", "failed", "cancelled")


class LandscapeRecord(_Value):
    """A finished result, without its arrays."""

    id: str
    project: str
    job: str
    kind: str
    model: str
    origin: str | None = None
    title: str | None = None
    tags: tuple[str, ...] = ()
    spec: dict[str, Any] = {}
    input_digest: str = ""
    data: str = ""
    derived: dict[str, Any] = {}
    provenance: dict[str, Any] = {}
    outdated: str | None = None
    created_at: datetime


class Alias(_Value):
    """A name for a model, a checkpoint or a landscape. `revision` is that of its last move."""

    project: str
    name: str
    alias: str
    target: str
    revision: int
    note: str | None = None
    moved_at: datetime
    moved_by: str | None = None


class AliasMove(_Value):
    """A move on record. No `from_target`: it was made; no `to_target`: it was removed."""

    revision: int
    from_target: str | None = None
    to_target: str | None = None
    note: str | None = None
    at: datetime
    by: str | None = None


class Share(_Value):
    """A link to a figure, without its secret. `figure` is what it shows."""

    id: str
    landscape: str
    project: str
    figure: dict[str, Any] = {}
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None


class MadeShare(Share):
    """A link just made; its address cannot be had again."""

    url: str


class Estimate(_Value):
    """A measure's number. It lies between `low` and `high` for certain: the value itself for most
    measures; None is no bound.
    """

    value: float | None = None
    stderr: float | None = None
    low: float | None = None
    high: float | None = None


class LimitResult(_Value):
    """One limit of a rule: `margin` says how far inside `bound` the value lies."""

    limit: str
    given: float
    text: str
    bound: float | None = None
    error: float | None = None
    margin: float | None = None
    verdict: str
    reason: str | None = None


class RuleResult(Estimate):
    """A rule with its numbers and its verdict; `reason` says why it does not pass."""

    rule: dict[str, Any]
    text: str
    dataset: str
    verdict: str
    reason: str | None = None
    definition: str = ""
    baseline: Estimate | None = None
    limits: tuple[LimitResult, ...] = ()


class Baseline(_Value):
    """What a landscape was compared with. `identical`: the very numbers under check."""

    asked: str
    alias_target: str | None = None
    alias_revision: int | None = None
    landscape: str
    data: str
    model: str
    origin: str | None = None
    identical: bool = False


class Check(_Value):
    """A verdict on record: pass, fail or inconclusive."""

    id: str
    project: str
    landscape: str
    data: str
    verdict: str
    baseline: Baseline | None = None
    standard_errors: float
    rules: tuple[RuleResult, ...]
    created_at: datetime
    created_by: str | None = None

    @property
    def passed(self) -> bool:
        """Whether every rule passes."""
        return self.verdict == "pass"
