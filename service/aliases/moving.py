"""Use cases of aliases: who may move them, to what; every move is on record twice, in the alias's
history and in the audit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.domain.problems import Problem
from service.http.authentication import KeyHolder
from service.http.etag import none_match, still_matches
from service.inputs import lookup
from service.ledger import aliases, audit
from service.ledger.records import AliasMove, AliasRecord, Page
from service.ledger.session import Session


@dataclass(frozen=True)
class Moved:
    """An alias after a request to move it. `created`: there was none before."""

    alias: AliasRecord
    created: bool


def get(session: Session, caller: KeyHolder, project: str, name: str) -> AliasRecord:
    """The alias. Raises Problem `not_found`."""
    found = aliases.get(session, project, name) if caller.can_read(project) else None
    if found is None:
        raise _absent(project, name)
    return found


def history(
    session: Session, caller: KeyHolder, project: str, name: str, cursor: str | None, limit: int
) -> Page[AliasMove]:
    """Its moves, of a removed one too. Raises Problem `not_found` for a name never given."""
    if not caller.can_read(project):
        raise _absent(project, name)
    page = aliases.history(session, project, name, cursor=cursor, limit=limit)
    if not page.items and cursor is None:
        raise _absent(project, name)
    return page


def move(
    session: Session,
    caller: KeyHolder,
    headers: Mapping[str, str],
    *,
    project: str,
    name: str,
    target: str,
    note: str | None,
) -> Moved:
    """Points an alias at something. Asking again for what is so already changes nothing.

    Raises:
        Problem: `forbidden`, `invalid_request` for a target that is not there,
            `incompatible_inputs` for one of another project, `precondition_failed`.
    """
    _require_right(caller, project)
    _require_target(session, caller, project, target)
    before = aliases.locked(session, project, name)
    _require_conditions(headers, before)
    if before is not None and (before.target, before.note) == (target, note):
        return Moved(before, created=False)
    after = aliases.move(
        session, before, project=project, name=name, target=target, note=note, by=caller.key.id
    )
    _note(session, caller, "alias.moved", before, after)
    return Moved(after, created=before is None)


def remove(
    session: Session, caller: KeyHolder, headers: Mapping[str, str], project: str, name: str
) -> AliasRecord:
    """Takes a name away; what it was.

    Raises:
        Problem: `not_found`, `forbidden`, `precondition_failed`.
    """
    get(session, caller, project, name)
    _require_right(caller, project)
    before = aliases.locked(session, project, name)
    if before is None:
        raise _absent(project, name)
    _require_conditions(headers, before)
    aliases.remove(session, before, note=None, by=caller.key.id)
    _note(session, caller, "alias.removed", before, None)
    return before


def tag_of(alias: AliasRecord) -> str:
    """Names the state of an alias; never the same after a move, a removal included."""
    return str(alias.revision)


def _require_right(caller: KeyHolder, project: str) -> None:
    lookup.may_submit(caller, project)
    if not caller.can_promote(project):
        raise Problem(
            "forbidden",
            f"this key may not move the aliases of project {project!r}, which others are judged "
            "against; use a key that was made with can_promote, or an administrator's",
        )


def _require_target(session: Session, caller: KeyHolder, project: str, target: str) -> None:
    match target.partition("_")[0]:
        case "mdl":
            owner = lookup.model_named(session, caller, target, "/target").project
        case "ckp":
            owner = lookup.checkpoint(session, caller, target, "/target")[1].project
        case _:
            owner = lookup.landscape_named(session, caller, target, "/target").project
    if owner != project:
        raise Problem(
            "incompatible_inputs",
            f"{target} is in project {owner!r}; an alias of {project!r} names what is there",
            pointer="/target",
        )


def _require_conditions(headers: Mapping[str, str], before: AliasRecord | None) -> None:
    tag = None if before is None else tag_of(before)
    if still_matches(headers, tag) and (tag is None or none_match(headers, tag)):
        return
    now = "there is none" if before is None else f"it is at {before.target}, ETag {tag}"
    raise Problem(
        "precondition_failed",
        f"the alias is not as expected: {now}; read it again and decide again",
    )


def _note(
    session: Session,
    caller: KeyHolder,
    action: str,
    before: AliasRecord | None,
    after: AliasRecord | None,
) -> None:
    one = after or before
    assert one is not None  # noqa: S101 (a move is from something or to something)
    audit.record(
        session,
        key_id=caller.key.id,
        action=action,
        entity_id=f"{one.project}/{one.name}",
        data={
            "from": None if before is None else before.target,
            "to": None if after is None else after.target,
            "note": None if after is None else after.note,
        },
    )


def _absent(project: str, name: str) -> Problem:
    return Problem("not_found", f"there is no alias {project}/{name} that this key may read")
