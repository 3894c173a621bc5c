"""Keys and projects, for administrators; for everybody else what their own key may do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from service.domain.ids import DisplayName, ProjectName
from service.domain.problems import Problem
from service.http.authentication import KeyHolder
from service.inputs.bodies import field_errors
from service.keys import issuing as key_service
from service.ledger import catalog, keys
from service.ledger.catalog import Facet
from service.ledger.records import KeyRecord, Role
from service.ledger.session import Session

ON_A_PAGE: Final = 100


class NewKeyForm(BaseModel):
    """The form's fields, read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: DisplayName
    role: Role
    projects: frozenset[ProjectName] | None


@dataclass(frozen=True)
class KeysPage:
    """All that the page shows.

    Attributes:
        keys: every key, for administrators; the caller's own for others.
        made: a key just made and its secret, shown this once.
        wrong: what was wrong with the form, and what it held.
    """

    keys: Sequence[KeyRecord]
    projects: Sequence[Facet]
    next_cursor: str | None
    made: tuple[KeyRecord, str] | None = None
    wrong: str | None = None
    form: Mapping[str, str] | None = None


def keys_page(session: Session, caller: KeyHolder, cursor: str | None = None) -> KeysPage:
    """Raises Problem `invalid_request` for a foreign cursor."""
    projects = catalog.per_project(session, caller.projects)
    if not caller.is_admin:
        return KeysPage([caller.key], projects, None)
    page = keys.list(session, cursor=cursor, limit=ON_A_PAGE)
    return KeysPage(page.items, projects, page.next_cursor)


def with_made(found: KeysPage, made: tuple[KeyRecord, str]) -> KeysPage:
    """The page with a key just made."""
    return replace(found, made=made)


def refused(found: KeysPage, wrong: str, form: Mapping[str, str]) -> KeysPage:
    """The page with what was wrong with the form."""
    return replace(found, wrong=wrong, form=form)


def make(session: Session, caller: KeyHolder, form: Mapping[str, str]) -> tuple[KeyRecord, str]:
    """A key from the form's fields.

    Raises:
        Problem: `invalid_request` saying what is wrong with the form.
    """
    projects = form.get("projects", "").replace(",", " ").split()
    body = {
        "name": form.get("name", ""),
        "role": form.get("role", ""),
        "projects": frozenset(projects) or None,
    }
    try:
        wanted = NewKeyForm.model_validate(body)
    except ValidationError as error:
        first = field_errors(error.errors(include_url=False), body)[0]
        raise Problem(
            "invalid_request", f"{first.pointer.removeprefix('/')}: {first.detail}"
        ) from error
    return key_service.make(
        session,
        name=wanted.name,
        role=wanted.role,
        projects=wanted.projects,
        expires_at=_expiry(form.get("expires", "")),
        by=caller.key.id,
        can_promote=form.get("can_promote") == "on",
    )


def _expiry(text: str) -> datetime | None:
    """The end of a day."""
    if not text:
        return None
    try:
        return datetime.combine(datetime.strptime(text, "%Y-%m-%d").date(), time(23, 59), UTC)  # noqa: DTZ007 (a date alone)
    except ValueError:
        raise Problem("invalid_request", f"expires: {text[:40]!r} is no date") from None
