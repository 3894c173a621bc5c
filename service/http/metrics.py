"""Numbers for Prometheus: requests as they pass, and how much work there is when somebody looks.

Owns the names of the metrics. A registry belongs to one application, so that several may live in
one process.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from service.domain.states import JobState
from service.ledger.workload import Workload

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """One application's numbers."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self._requests = Counter(
            "lossatlas_http_requests_total", "Answers sent.", labels, registry=self._registry
        )
        self._seconds = Histogram(
            "lossatlas_http_request_seconds",
            "From the request's head to the answer's last byte.",
            ("method", "route"),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._jobs = Gauge("lossatlas_jobs", "Jobs.", ("state",), registry=self._registry)
        self._units = Gauge("lossatlas_units", "Live units.", ("state",), registry=self._registry)
        self._outbox = Gauge(
            "lossatlas_outbox_depth", "Messages not sent yet.", registry=self._registry
        )
        self._oldest = Gauge(
            "lossatlas_oldest_ready_unit_seconds",
            "How long the unit that waits longest has been ready.",
            registry=self._registry,
        )

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts an answer. `route` is the route's template, never an address."""
        known = method if method in _METHODS else "other"
        self._requests.labels(known, route, str(status)).inc()
        self._seconds.labels(known, route).observe(seconds)

    def exposition(self, workload: Workload) -> bytes:
        """Everything in Prometheus' text format."""
        for state in JobState:
            self._jobs.labels(state.value).set(workload.jobs.get(state.value, 0))
        self._units.labels("ready").set(workload.units_ready)
        self._units.labels("leased").set(workload.units_leased)
        self._outbox.set(workload.outbox_unsent)
        self._oldest.set(workload.oldest_ready_seconds)
        return generate_latest(self._registry)
