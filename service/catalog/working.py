"""Jobs: the queue, and one being worked on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from service.catalog import words
from service.domain.ids import ProjectName
from service.domain.questions.table import INGEST
from service.domain.states import FINISHED_JOB, JobState
from service.http.authentication import KeyHolder
from service.inputs import lookup
from service.ledger import catalog, jobs
from service.ledger.records import EventRecord, JobRecord, Progress
from service.ledger.session import Session

ON_A_PAGE: Final = 50

_Blank = BeforeValidator(lambda value: None if value == "" else value)

_SAID: Final = {
    "queued": "queued",
    "started": "taken by a worker",
    "planned": "planned",
    "unit_started": "started",
    "unit_done": "done",
    "unit_released": "given back by its worker",
    "unit_redone": "to be done again",
    "finished": "finished",
}


class JobsAsked(BaseModel):
    """The list's address, read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    state: Annotated[JobState | None, _Blank] = None
    project: Annotated[ProjectName | None, _Blank] = None
    cursor: Annotated[str | None, _Blank] = Field(default=None, max_length=1000)


@dataclass(frozen=True)
class JobLine:
    """A job in a list."""

    job: JobRecord
    model: str
    progress: Progress

    @property
    def live(self) -> bool:
        return self.job.state not in FINISHED_JOB

    @property
    def share(self) -> float:
        """Done, from 0 to 1."""
        return self.progress.done / self.progress.total if self.progress.total else 0.0


@dataclass(frozen=True)
class JobList:
    """A page of jobs."""

    asked: JobsAsked
    jobs: Sequence[JobLine]
    next_cursor: str | None

    @property
    def live(self) -> bool:
        return any(line.live for line in self.jobs)


@dataclass(frozen=True)
class JobPage:
    """All that the page of a job shows.

    Attributes:
        picture: there is something to see already.
        said: the newest events, in words.
    """

    line: JobLine
    author: str | None
    picture: bool
    described: str
    said: Sequence[tuple[EventRecord, str]]
    may_act: bool

    @property
    def job(self) -> JobRecord:
        return self.line.job


def job_list(session: Session, caller: KeyHolder, asked: JobsAsked) -> JobList:
    """Raises Problem `invalid_request` for a foreign cursor."""
    page = jobs.list(
        session,
        projects=caller.projects,
        project=asked.project,
        state=None if asked.state is None else asked.state.value,
        cursor=asked.cursor,
        limit=ON_A_PAGE,
    )
    names = catalog.names(session, "model", {job.model_id for job in page.items}, caller.projects)
    lines = [
        JobLine(
            job,
            names.get(job.model_id, job.model_id),
            jobs.progress(session, job.id)
            if job.state is JobState.RUNNING
            else jobs.at_a_glance(job),
        )
        for job in page.items
    ]
    return JobList(asked, lines, page.next_cursor)


def job_page(session: Session, caller: KeyHolder, identity: str) -> JobPage:
    """Raises Problem `not_found`."""
    job = lookup.job(session, caller, identity)
    names = catalog.names(session, "model", [job.model_id], caller.projects)
    people = catalog.names_of_authors(session, [job.created_by or ""])
    line = JobLine(job, names.get(job.model_id, job.model_id), jobs.progress(session, identity))
    events = jobs.events(session, identity)
    return JobPage(
        line=line,
        author=people.get(job.created_by or ""),
        picture=job.plan is not None and job.kind != INGEST,
        described=f"{words.kind_name(job.kind)} of {line.model} so far: "
        f"{words.count(line.progress.done, line.progress.unit.removesuffix('s'))} done"
        + (f" of {line.progress.total:,}." if line.progress.total else "."),
        said=[(event, _told(event.type, event.data)) for event in reversed(events[-30:])],
        may_act=caller.can_submit(job.project),
    )


def _told(kind: str, data: Mapping[str, Any]) -> str:
    said = _SAID.get(kind, kind.replace("_", " "))
    if kind.startswith("unit_"):
        part = str(data.get("kind", "part"))
        return f"{part} {data.get('seq', 0) + 1} {said}" if part == "tile" else f"{part} {said}"
    if kind == "planned" and data.get("cells"):
        return f"{said}: {data['cells']:,} cells in {data.get('tiles', 1):,} tiles"
    if kind == "finished":
        return str(data.get("state", said))
    attempt = data.get("attempt", 1)
    return f"{said}, attempt {attempt}" if attempt != 1 else said
