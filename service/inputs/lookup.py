"""Finding what a request names: is it there, and may this key see it.

What a key may not read does not exist for it: the answer is the same as for an unknown id. Reads
the ledger, writes nothing.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

from service.domain.ids import KINDS
from service.domain.problems import Problem
from service.ledger import checkpoints, datasets, directions, jobs, landscapes, models, objects
from service.ledger.records import (
    CheckpointRecord,
    DatasetRecord,
    DirectionRecord,
    JobRecord,
    KeyRecord,
    LandscapeRecord,
    ModelRecord,
    ObjectRecord,
)
from service.ledger.session import Session


class Caller(Protocol):
    """Who asks: an API key and what it may do."""

    @property
    def key(self) -> KeyRecord: ...
    def can_read(self, project: str) -> bool: ...
    def can_submit(self, project: str) -> bool: ...


class _Owned(Protocol):
    @property
    def project(self) -> str: ...


_T = TypeVar("_T", bound=_Owned)


def may_submit(caller: Caller, project: str, pointer: str | None = None) -> None:
    """Raises Problem `forbidden` unless the key may add to this project."""
    if not caller.can_submit(project):
        raise Problem(
            "forbidden",
            f"this key may not add anything to project {project!r}; use a key of role submitter "
            "or admin whose projects include it",
            pointer=pointer,
        )


def model(session: Session, caller: Caller, identity: str) -> ModelRecord:
    """The model of an address. Raises Problem `not_found`."""
    return _visible(models.get(session, identity), caller, identity, None)


def model_named(session: Session, caller: Caller, identity: str, pointer: str) -> ModelRecord:
    """The model that a field of the body names. Raises Problem `invalid_request` at `pointer`."""
    return _visible(models.get(session, identity), caller, identity, pointer)


def checkpoint(
    session: Session, caller: Caller, identity: str, pointer: str | None = None
) -> tuple[CheckpointRecord, ModelRecord]:
    """A checkpoint and its model.

    Args:
        pointer: the field of the body that names it; None when the address does.

    Raises:
        Problem: `not_found` for an address, `invalid_request` at `pointer` for a field.
    """
    found = checkpoints.get(session, identity)
    owner = None if found is None else models.get(session, found.model_id)
    if found is None or owner is None or not caller.can_read(owner.project):
        raise absent(identity, pointer)
    return found, owner


def dataset(
    session: Session, caller: Caller, identity: str, pointer: str | None = None
) -> DatasetRecord:
    """A data set; raises as `checkpoint` does."""
    return _visible(datasets.get(session, identity), caller, identity, pointer)


def direction(
    session: Session, caller: Caller, identity: str, pointer: str | None = None
) -> DirectionRecord:
    """A direction; raises as `checkpoint` does."""
    return _visible(directions.get(session, identity), caller, identity, pointer)


def job(session: Session, caller: Caller, identity: str) -> JobRecord:
    """The job of an address. Raises Problem `not_found`."""
    return _visible(jobs.get(session, identity), caller, identity, None)


def landscape(session: Session, caller: Caller, identity: str) -> LandscapeRecord:
    """The landscape of an address. Raises Problem `not_found`."""
    return _visible(landscapes.get(session, identity), caller, identity, None)


def landscape_named(
    session: Session, caller: Caller, identity: str, pointer: str
) -> LandscapeRecord:
    """The landscape that a field names. Raises Problem `invalid_request` at `pointer`."""
    return _visible(landscapes.get(session, identity), caller, identity, pointer)


def uploaded(session: Session, caller: Caller, digest: str, pointer: str) -> ObjectRecord:
    """An object that this key uploaded, or that a project it may read refers to.

    Raises:
        Problem: `object_missing`, with the request that would bring it.
    """
    found = objects.seen(session, digest, caller.key)
    if found is None:
        raise Problem(
            "object_missing",
            f"{digest} has not been uploaded with this key; PUT /v1/objects/{digest} first",
            pointer=pointer,
        )
    return found


def absent(identity: str, pointer: str | None) -> Problem:
    """The problem of something that is not there for this key."""
    kind = KINDS.get(identity.partition("_")[0], "thing")
    detail = f"there is no {kind} {identity} that this key may read"
    if pointer is None:
        return Problem("not_found", detail)
    plural = {k: f"{k}s" for k in ("dataset", "direction", "model", "landscape")}.get(kind)
    listed = f"GET /v1/{plural}" if plural else "GET /v1/models/{model}/checkpoints"
    return Problem("invalid_request", f"{detail}; {listed} lists those there are", pointer=pointer)


def _visible(found: _T | None, caller: Caller, identity: str, pointer: str | None) -> _T:
    if found is None or not caller.can_read(found.project):
        raise absent(identity, pointer)
    return found
