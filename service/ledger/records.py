"""The ledger's rows as frozen values, and the values that new rows are made from.

Owns no SQL. A record is the row as it was when it was read.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Generic, Literal, TypeVar, get_args, get_origin, get_type_hints

from service.domain.states import JobState, ModelState, UnitState
from service.domain.units import UnitKind

Role = Literal["reader", "submitter", "admin"]

T = TypeVar("T")


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some items in order, and where to go on; `next_cursor` is None on the last page."""

    items: list[T]
    next_cursor: str | None


@dataclass(frozen=True)
class KeyRecord:
    """An API key without its secret. `projects` None means all."""

    id: str
    name: str
    role: Role
    projects: tuple[str, ...] | None
    created_at: datetime
    created_by: str | None
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    can_promote: bool = False


@dataclass(frozen=True)
class SessionRecord:
    """A person's session in a browser, without its secret. It acts with its key's rights."""

    id: str
    key_id: str
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class PersonRecord:
    """Somebody whom an identity provider vouches for; `key_id` is what they may do."""

    id: str
    issuer: str
    subject: str
    name: str
    email: str | None
    key_id: str
    created_at: datetime
    signed_in_at: datetime


@dataclass(frozen=True)
class TrustRecord:
    """Whose identity tokens are exchanged for keys of a project, and what they have to say."""

    id: str
    issuer: str
    audience: str
    project: str
    role: Role
    claims: Mapping[str, str]
    created_at: datetime
    created_by: str | None
    revoked_at: datetime | None


@dataclass(frozen=True)
class ShareRecord:
    """A link to one figure, without its secret."""

    id: str
    landscape_id: str
    project: str
    options: Mapping[str, Any]
    created_at: datetime
    created_by: str | None
    expires_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True)
class ProjectRecord:
    """A project. `sharing`: whether links to its figures may be made and work."""

    name: str
    created_at: datetime
    sharing: bool


@dataclass(frozen=True)
class ObjectRecord:
    """Bytes as a key sees them; `created_at` is since when it does."""

    digest: str
    size: int
    created_at: datetime


@dataclass(frozen=True)
class UploadRecord:
    """A multipart upload. `digest` and `size` are what the caller promised."""

    id: str
    digest: str
    size: int
    part_size: int
    s3_upload_id: str
    key_id: str
    state: Literal["open", "completed", "aborted"]
    created_at: datetime


@dataclass(frozen=True)
class ModelRecord:
    """A network. Exactly one of `program` and `architecture` is set.

    `graph` and `constants` are digests of the canonical form, once `ready` (programs only).
    `loss_options` has those only that are not left at their defaults.
    """

    id: str
    project: str
    name: str
    program: str | None
    architecture: dict[str, Any] | None
    loss: str
    loss_options: dict[str, Any]
    tags: tuple[str, ...]
    metadata: dict[str, Any]
    state: ModelState
    problem: dict[str, Any] | None
    signature: dict[str, Any] | None
    graph: str | None
    constants: str | None
    note: str | None
    created_at: datetime
    created_by: str | None


@dataclass(frozen=True)
class CheckpointRecord:
    """Weights of a model; `seq` is the place in the model's trajectory, from 0."""

    id: str
    model_id: str
    seq: int
    weights: str
    step: int | None
    epoch: float | None
    label: str | None
    metrics: dict[str, float]
    learning_rate: float | None
    created_at: datetime
    created_by: str | None


@dataclass(frozen=True)
class DatasetRecord:
    """`inputs`: name → {dtype, shape}; `targets`: {dtype, shape, …}; shapes without samples."""

    id: str
    project: str
    name: str
    split: str | None
    object: str
    samples: int
    inputs: dict[str, Any]
    targets: dict[str, Any]
    created_at: datetime
    created_by: str | None


@dataclass(frozen=True)
class DirectionRecord:
    """`object` (tensors named as the parameters) and `norm` are set once materialised."""

    id: str
    project: str
    model_id: str
    checkpoint_id: str
    spec: dict[str, Any]
    spec_digest: str
    object: str | None
    norm: float | None
    created_at: datetime
    created_by: str | None


@dataclass(frozen=True)
class JobRecord:
    """`directions` maps axes to direction ids; `origin` is None for an ingest.

    `cells_total` is None until the job is planned; `cells_done` counts finished tiles only.
    """

    id: str
    project: str
    kind: str
    state: JobState
    spec: dict[str, Any]
    input_digest: str
    force: bool
    model_id: str
    origin: str | None
    directions: dict[str, str]
    priority: int
    phase: str
    cells_total: int | None
    cells_done: int
    attempt: int
    plan: dict[str, Any] | None
    error: dict[str, Any] | None
    landscape_id: str | None
    cancel_requested_at: datetime | None
    tags: tuple[str, ...]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    created_by: str | None


@dataclass(frozen=True)
class UnitRecord:
    """A piece of a job. `start` and `stop` slice the plan's order; None but for tiles.

    `attempt` counts claims and fences reports; `deaths` counts attempts that ended badly by what
    the unit's own child did, `losses` those whose worker fell silent. `shunned` is the worker on
    which the last attempt failed: others go first.
    """

    id: str
    job_id: str
    project: str
    kind: UnitKind
    seq: int
    state: UnitState
    start: int | None
    stop: int | None
    attempt: int
    deaths: int
    losses: int
    lease_until: datetime | None
    worker: str | None
    shunned: str | None
    cells_done: int
    result: str | None
    seconds: float | None
    problem: dict[str, Any] | None
    ready_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True)
class LandscapeRecord:
    """A finished result: immutable, but for tags and note. `data` is its arrays' digest (npz)."""

    id: str
    project: str
    job_id: str
    kind: str
    model_id: str
    origin: str | None
    input_digest: str
    data: str
    provenance: dict[str, Any]
    derived: dict[str, Any]
    spec: dict[str, Any]
    title: str | None
    tags: tuple[str, ...]
    note: str | None
    created_at: datetime
    created_by: str | None


@dataclass(frozen=True)
class AliasRecord:
    """A name for a model, a checkpoint or a landscape. `revision` is that of its last move."""

    project: str
    name: str
    target: str
    revision: int
    note: str | None
    moved_at: datetime
    moved_by: str | None


@dataclass(frozen=True)
class AliasMove:
    """A move of an alias. No `from_target`: it was made; no `to_target`: it was removed."""

    project: str
    name: str
    revision: int
    from_target: str | None
    to_target: str | None
    note: str | None
    at: datetime
    key_id: str | None


@dataclass(frozen=True)
class CheckRecord:
    """A verdict on a landscape: immutable.

    `data` and `baseline["data"]` are the digests of the arrays that were judged; `rules` holds each
    rule with its verdict and its numbers.
    """

    id: str
    project: str
    landscape_id: str
    data: str
    baseline: dict[str, Any] | None
    baseline_id: str | None
    standard_errors: float
    verdict: str
    rules: list[dict[str, Any]]
    idempotency_key: str | None
    request_digest: str
    created_at: datetime
    created_by: str | None


@dataclass(frozen=True)
class EventRecord:
    """Something that happened to a job; ids grow."""

    id: int
    job_id: str
    type: str
    data: dict[str, Any]
    at: datetime


@dataclass(frozen=True)
class OutboxMessage:
    """Something to be sent. A hint's payload is {"unit": id, "job": id}."""

    id: int
    topic: str
    payload: dict[str, Any]
    attempts: int


@dataclass(frozen=True)
class EditRecord:
    """A change of what people say of a thing; `key_id` made it."""

    id: int
    at: datetime
    key_id: str | None
    project: str
    entity_id: str
    field: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Idempotency:
    """An `Idempotency-Key` of a caller, and the digest of the request that it came with."""

    key: str
    api_key_id: str
    request_digest: str


@dataclass(frozen=True)
class NewJob:
    """A job to submit.

    Attributes:
        spec: as it will be shown, defaults filled in.
        input_digest: digest of the spec over the inputs' digests: the question itself.
        origin: the checkpoint at the centre; None for an ingest.
        directions: direction ids by axis.
        cells_total: cells if known already.
        force: compute again even if the same question is being answered.
    """

    project: str
    kind: str
    spec: Mapping[str, Any]
    input_digest: str
    model_id: str
    origin: str | None = None
    directions: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0
    tags: tuple[str, ...] = ()
    cells_total: int | None = None
    force: bool = False
    created_by: str | None = None
    idempotency: Idempotency | None = None


@dataclass(frozen=True)
class NewLandscape:
    """What `finalise` adds to what the job knows already."""

    data: str
    provenance: Mapping[str, Any]
    derived: Mapping[str, Any]
    title: str | None = None
    size: int | None = None


@dataclass(frozen=True)
class Progress:
    """How far a job is; `total` and `eta_seconds` are None while unknown."""

    phase: str
    done: int
    total: int | None
    eta_seconds: float | None
    unit: str = "cells"


@dataclass(frozen=True)
class ClaimedInputs:
    """Every row that a unit's work refers to, but the job itself.

    Attributes:
        checkpoints: by id: the origin, a line's target, the far ends of `between` directions.
        datasets: in the spec's order.
        directions: by axis.
    """

    model: ModelRecord
    checkpoints: dict[str, CheckpointRecord]
    datasets: tuple[DatasetRecord, ...]
    directions: dict[str, DirectionRecord]
    plan: dict[str, Any] | None


@dataclass(frozen=True)
class ClaimedUnit:
    """A unit in a worker's hands, with all it needs."""

    unit: UnitRecord
    job: JobRecord
    inputs: ClaimedInputs


@dataclass(frozen=True)
class ExpiredUnit:
    """A unit taken back from a worker that stopped beating. `poison`: its job failed for it."""

    unit_id: str
    job_id: str
    worker: str
    losses: int
    poison: bool


def from_row(record: type[T], row: Mapping[Any, Any]) -> T:
    """A record from a row's mapping; columns that the record lacks are left out."""
    conversions = _CONVERSIONS.get(record)
    if conversions is None:
        hints = get_type_hints(record)
        conversions = {name: _conversion(hint) for name, hint in hints.items()}
        _CONVERSIONS[record] = conversions
    return record(**{name: convert(row[name]) for name, convert in conversions.items()})


_CONVERSIONS: Final[dict[type, dict[str, Callable[[Any], Any]]]] = {}


def _conversion(hint: Any) -> Callable[[Any], Any]:
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return hint
    if any(get_origin(option) is tuple for option in (hint, *get_args(hint))):
        return lambda value: None if value is None else tuple(value)
    return lambda value: value
