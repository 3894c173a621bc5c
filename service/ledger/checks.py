"""Checks: verdicts on landscapes, written once and never changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from service.ledger.ids import new_id
from service.ledger.paging import DEFAULT_LIMIT, bounded, cut, decode
from service.ledger.records import CheckRecord, LandscapeRecord, Page
from service.ledger.sqltext import json, record, records


def create(
    session: Session,
    landscape: LandscapeRecord,
    *,
    baseline: Mapping[str, Any] | None,
    baseline_id: str | None,
    standard_errors: float,
    verdict: str,
    rules: Sequence[Mapping[str, Any]],
    idempotency_key: str | None,
    request_digest: str,
    created_by: str,
) -> CheckRecord | None:
    """Records a verdict; None when this key has used this idempotency key in the meantime."""
    return record(
        session,
        CheckRecord,
        "INSERT INTO checks (id, project, landscape_id, data, baseline, baseline_id,"
        " standard_errors, verdict, rules, idempotency_key, request_digest, created_by)"
        " VALUES (:id, :project, :landscape_id, :data, :baseline, :baseline_id, :standard_errors,"
        " :verdict, :rules, :idempotency_key, :request_digest, :created_by)"
        " ON CONFLICT (created_by, idempotency_key) DO NOTHING RETURNING *",
        id=new_id("chk"),
        project=landscape.project,
        landscape_id=landscape.id,
        data=landscape.data,
        baseline=json(baseline),
        baseline_id=baseline_id,
        standard_errors=standard_errors,
        verdict=verdict,
        rules=json(rules),
        idempotency_key=idempotency_key,
        request_digest=request_digest,
        created_by=created_by,
    )


def get(session: Session, identity: str) -> CheckRecord | None:
    """The check of this id."""
    return record(session, CheckRecord, "SELECT * FROM checks WHERE id = :id", id=identity)


def find_idempotent(session: Session, key: str, api_key_id: str) -> CheckRecord | None:
    """The check that this caller made with this idempotency key."""
    return record(
        session,
        CheckRecord,
        "SELECT * FROM checks WHERE created_by = :caller AND idempotency_key = :key",
        caller=api_key_id,
        key=key,
    )


def list(
    session: Session,
    *,
    projects: Collection[str] | None = None,
    project: str | None = None,
    landscape: str | None = None,
    verdict: str | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[CheckRecord]:
    """Checks, newest first; `projects` are those that the caller may see, None for all."""
    found = records(
        session,
        CheckRecord,
        "SELECT * FROM checks"
        " WHERE (CAST(:projects AS text[]) IS NULL OR project = ANY(:projects))"
        " AND (CAST(:project AS text) IS NULL OR project = :project)"
        " AND (CAST(:landscape AS text) IS NULL OR landscape_id = :landscape)"
        " AND (CAST(:verdict AS text) IS NULL OR verdict = :verdict)"
        " AND (CAST(:before AS text) IS NULL OR id < :before)"
        " ORDER BY id DESC LIMIT :most",
        projects=None if projects is None else [*projects],
        project=project,
        landscape=landscape,
        verdict=verdict,
        before=decode(cursor, str)[0] if cursor else None,
        most=bounded(limit) + 1,
    )
    return cut(found, limit, lambda check: (check.id,))
