"""A job as the wire shows it."""

from __future__ import annotations

from collections.abc import Mapping

from service.domain.questions.table import INGEST
from service.jobs.schemas import EventOut, JobOut, ProgressOut
from service.ledger.records import EventRecord, JobRecord, Progress


def shown(job: JobRecord, progress: Progress, notes: Mapping[str, list[str]]) -> JobOut:
    """State, progress, result or error, and where to go from here.

    Args:
        notes: by job (`service.jobs.notes`).
    """
    here = f"/v1/jobs/{job.id}"
    links = {
        "self": here,
        "events": f"{here}/events",
        "model": f"/v1/models/{job.model_id}",
    }
    if job.kind != INGEST:
        links |= {"partial": f"{here}/partial.json", "partial_figure": f"{here}/partial.png"}
    if job.state in ("queued", "running"):
        links["cancel"] = f"{here}/cancel"
    if job.state in ("failed", "cancelled") and job.kind != INGEST:
        links["retry"] = f"{here}/retry"
    if job.landscape_id is not None:
        landscape = f"/v1/landscapes/{job.landscape_id}"
        links |= {
            "landscape": landscape,
            "data": f"{landscape}/data.json",
            "figure": f"{landscape}/figure.png",
        }
    return JobOut(
        id=job.id,
        kind=job.kind,
        project=job.project,
        model=job.model_id,
        state=job.state,
        progress=ProgressOut(
            phase=progress.phase,
            done=progress.done,
            total=progress.total,
            unit=progress.unit,
            eta_seconds=progress.eta_seconds,
        ),
        memory_bytes=((job.plan or {}).get("memory") or {}).get("estimated_bytes"),
        attempt=job.attempt,
        spec=job.spec,
        directions=job.directions,
        priority=job.priority,
        tags=sorted(job.tags),
        notes=notes.get(job.id, []),
        landscape=job.landscape_id,
        error=job.error,
        links=links,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        created_by=job.created_by,
    )


def shown_event(event: EventRecord) -> EventOut:
    """An event as the wire shows it."""
    return EventOut(id=event.id, type=event.type, data=event.data, at=event.at)
