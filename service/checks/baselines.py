"""What a baseline stands for: an alias for its target, a model or a checkpoint for its latest
comparable landscape. Reads the ledger.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from service.checks.question import Question, question_of
from service.domain.gates.comparing import Difference, differences
from service.domain.ids import is_id
from service.domain.problems import FieldError, Problem
from service.inputs import lookup
from service.inputs.lookup import Caller
from service.ledger import aliases, landscapes
from service.ledger.records import AliasRecord, LandscapeRecord
from service.ledger.session import Session

_AT: Final = "/baseline"
_ALIAS: Final = re.compile(r"([a-z0-9][a-z0-9._-]{0,62})/([a-z0-9][a-z0-9._-]{0,62})")
#: A model's latest landscapes that are looked at for one that is comparable.
_MOST_LOOKED_AT: Final = 1_000
_PAGE: Final = 100


@dataclass(frozen=True)
class Baseline:
    """What a landscape is compared with.

    Attributes:
        asked: as the request names it.
        alias: as it was then, where the request names one.
    """

    asked: str
    alias: AliasRecord | None
    landscape: LandscapeRecord
    question: Question


def find_baseline(
    session: Session, caller: Caller, asked: str, landscape: LandscapeRecord, question: Question
) -> Baseline:
    """The landscape to compare with.

    Raises:
        Problem: `invalid_request` for what is not there, `incompatible_inputs` for another
            project, `not_comparable` naming every term that differs.
    """
    alias, target = _target(session, caller, asked)
    match target.partition("_")[0]:
        case "lsc":
            found = lookup.landscape_named(session, caller, target, _AT)
            _require_project(found.project, landscape, asked)
            other = question_of(session, found)
            unlike = differences(question.terms, other.terms)
            if unlike:
                raise _not_comparable(landscape, found, unlike)
            return Baseline(asked, alias, found, other)
        case "mdl":
            model = lookup.model_named(session, caller, target, _AT)
            _require_project(model.project, landscape, asked)
            origin = None
        case _:
            checkpoint, model = lookup.checkpoint(session, caller, target, _AT)
            _require_project(model.project, landscape, asked)
            origin = checkpoint.id
    return _latest(session, asked, alias, landscape, question, model.id, origin)


def _target(session: Session, caller: Caller, asked: str) -> tuple[AliasRecord | None, str]:
    if any(is_id(kind, asked) for kind in ("lsc", "mdl", "ckp")):
        return None, asked
    named = _ALIAS.fullmatch(asked)
    if named is None:
        raise Problem(
            "invalid_request",
            "must be the id of a landscape, a model or a checkpoint, or an alias such as "
            "`vision/prod`",
            pointer=_AT,
        )
    alias = aliases.get(session, *named.groups()) if caller.can_read(named[1]) else None
    if alias is None:
        raise Problem(
            "invalid_request",
            f"there is no alias {asked} that this key may read; an authorised key makes it: "
            f"PUT /v1/aliases/{asked}",
            pointer=_AT,
        )
    return alias, alias.target


def _latest(
    session: Session,
    asked: str,
    alias: AliasRecord | None,
    landscape: LandscapeRecord,
    question: Question,
    model_id: str,
    origin: str | None,
) -> Baseline:
    """The newest comparable landscape: another than the one under check, where there is one."""
    closest: tuple[LandscapeRecord, list[Difference]] | None = None
    itself: Baseline | None = None
    for found in _landscapes(session, landscape, model_id):
        if origin is not None and found.origin != origin:
            continue
        other = question_of(session, found)
        unlike = differences(question.terms, other.terms)
        if unlike:
            closest = closest or (found, unlike)
        elif found.id != landscape.id:
            return Baseline(asked, alias, found, other)
        else:
            itself = Baseline(asked, alias, found, other)
    if itself is not None:
        return itself
    if closest is not None:
        raise _not_comparable(landscape, *closest)
    raise Problem(
        "invalid_request",
        f"{origin or model_id} has no landscape of kind {landscape.kind} to compare with; ask for "
        "one with the same grid, directions and data",
        pointer=_AT,
    )


def _landscapes(
    session: Session, landscape: LandscapeRecord, model_id: str
) -> Iterator[LandscapeRecord]:
    cursor: str | None = None
    for _ in range(_MOST_LOOKED_AT // _PAGE):
        page = landscapes.list(
            session,
            project=landscape.project,
            model_id=model_id,
            kind=landscape.kind,
            cursor=cursor,
            limit=_PAGE,
        )
        yield from page.items
        cursor = page.next_cursor
        if cursor is None:
            return


def _require_project(project: str, landscape: LandscapeRecord, asked: str) -> None:
    if project != landscape.project:
        raise Problem(
            "incompatible_inputs",
            f"{asked} is in project {project!r}, the landscape in {landscape.project!r}; a check "
            "stays in one project, whose readers see its numbers",
            pointer=_AT,
        )


def _not_comparable(
    landscape: LandscapeRecord, baseline: LandscapeRecord, unlike: list[Difference]
) -> Problem:
    return Problem(
        "not_comparable",
        f"{landscape.id} and the baseline {baseline.id} are not comparable: "
        + "; ".join(difference.text() for difference in unlike[:3])
        + (f"; and {len(unlike) - 3} more" if len(unlike) > 3 else ""),
        errors=[FieldError(_AT, difference.text()) for difference in unlike],
        extra={
            "landscape": landscape.id,
            "baseline": baseline.id,
            "differences": [difference.to_json() for difference in unlike],
        },
    )
