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


class Model(_Value):
    """A registered network. `state`: checked, ready or refused."""

    id: str
    project: str
    name: str
    loss: str
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
    landscape: str | None = None
    error: dict[str, Any] | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen unless it is retried."""
        return self.state in ("succeeded", "failed", "cancelled")


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
    created_at: datetime
