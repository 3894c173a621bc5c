"""HTTP of projects, which begin with the first thing that is put into them."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from service.domain.ids import ProjectName
from service.domain.problems import Problem
from service.http.dependencies import Administrator, Principal, Transaction
from service.http.documentation import problems
from service.http.paging import Cursor, Limit, link_next
from service.ledger import audit, projects
from service.ledger.records import ProjectRecord
from service.projects.schemas import ProjectChange, ProjectOut, ProjectPage

router = APIRouter(tags=["projects"])


@router.get("/v1/projects", summary="List projects", responses=problems("invalid_request"))
def list_projects(
    request: Request,
    response: Response,
    session: Transaction,
    caller: Principal,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> ProjectPage:
    """Those that the key may read, by name."""
    page = projects.list(session, projects=caller.projects, cursor=cursor, limit=limit)
    link_next(request, response, page.next_cursor)
    return ProjectPage(items=[shown(one) for one in page.items], next_cursor=page.next_cursor)


@router.patch(
    "/v1/projects/{project}",
    summary="Change what holds in a project",
    responses=problems("invalid_request", "forbidden", "not_found"),
)
def change(
    project: ProjectName, body: ProjectChange, session: Transaction, caller: Administrator
) -> ProjectOut:
    """For administrators. On record."""
    changed = projects.set_sharing(session, project, body.sharing)
    if changed is None:
        raise Problem("not_found", f"there is no project {project}")
    audit.record(
        session,
        key_id=caller.key.id,
        action="project.sharing",
        entity_id=project,
        data={"sharing": body.sharing},
    )
    return shown(changed)


def shown(project: ProjectRecord) -> ProjectOut:
    """A project as the wire shows it."""
    return ProjectOut(name=project.name, sharing=project.sharing, created_at=project.created_at)
