"""How much work there is: counts for those who watch the service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.orm import Session

from service.ledger.sqltext import rows


@dataclass(frozen=True)
class Workload:
    """Counts at one moment.

    Attributes:
        jobs: by state; states without jobs are left out.
        oldest_ready_seconds: how long the longest waiting unit has been ready; 0 without one.
    """

    jobs: Mapping[str, int]
    units_ready: int
    units_leased: int
    outbox_unsent: int
    oldest_ready_seconds: float


def measure(session: Session) -> Workload:
    """Counts jobs by state, live units and unsent messages."""
    jobs = rows(session, "SELECT state, count(*) AS jobs FROM jobs GROUP BY state")
    live = rows(
        session,
        "SELECT (SELECT count(*) FROM units WHERE state = 'ready') AS ready,"
        " (SELECT count(*) FROM units WHERE state = 'leased') AS leased,"
        " (SELECT count(*) FROM outbox WHERE sent_at IS NULL) AS unsent,"
        " (SELECT coalesce(extract(epoch FROM now() - min(ready_at)), 0)"
        "  FROM units WHERE state = 'ready') AS oldest",
    )[0]
    return Workload(
        jobs={row["state"]: int(row["jobs"]) for row in jobs},
        units_ready=int(live["ready"]),
        units_leased=int(live["leased"]),
        outbox_unsent=int(live["unsent"]),
        oldest_ready_seconds=max(float(live["oldest"]), 0.0),
    )
