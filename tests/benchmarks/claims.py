"""What a unit costs database and store: claims, reports and beats a second, and their times.

The ledger's own statements against a real Postgres, with a thousand units in workers' hands and
tens of thousands waiting. Clients and servers share the machine's cores, so the rates are lower
bounds of what a database of its own gives. `deploy/simulation` builds on these numbers.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg

from service.embedded import processes
from service.embedded.postgres import Postgres
from service.embedded.s3 import S3
from service.ledger import schema, units
from service.ledger.session import Database
from service.settings import Settings
from service.store.objects import ObjectStore
from tests.benchmarks.timing import write
from tests.ledger.conftest import libpq, made
from tests.ledger.world import World, digest

LEASED: Final = 1_000
TILES: Final = 4_000
JOBS: Final = 10
SECONDS: Final = 4.0
CLIENTS: Final = (1, 2, 4, 8)
TILE_BYTES: Final = 4_096


def run() -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lossatlas-bench-")))
        postgres, s3 = stack.enter_context(_servers(folder))
        found: dict[str, Any] = {}
        for name, jobs in (("ten jobs", JOBS), ("one job", 1)):
            url = stack.enter_context(made(postgres.url("postgres")))
            schema.upgrade(url)
            found[name] = _scenario(url, jobs)
            for clients, body in found[name].items():
                print(f"{name}, {clients} clients: {body}")
        found["store"] = _store(s3)
    write(
        "claims",
        {
            "note": f"{LEASED} units leased, {TILES * JOBS} (one job: {TILES}) ready; client "
            "threads in one process, beside the server on the same cores",
            **found,
        },
    )


@contextmanager
def _servers(folder: Path) -> Iterator[tuple[Postgres, S3]]:
    """As `up` has them: what they answer for is on disk."""
    servers = (Postgres(folder / "postgres", folder), S3(folder / "s3", folder))
    try:
        for server in servers:
            server.start()
        for server in servers:
            processes.wait_until(server.ready, what=server.name, seconds=60.0)
        yield servers
    finally:
        processes.stop([s.child for s in servers if s.child is not None], 5.0)
        for server in servers:
            server.clear()


def _scenario(url: str, jobs: int) -> dict[str, Any]:
    database = Database(url, pool_size=max(CLIENTS) + 2, application_name="claims-bench")
    try:
        world = World(database)
        model = world.model()
        planned = [world.planned(model, points=2) for _ in range(jobs)]
        _crowd(url, [job.id for job in planned])
        for n in range(LEASED):
            world.claim(f"held{n}")
        return {str(clients): _measure(database, clients) for clients in CLIENTS}
    finally:
        database.dispose()


def _crowd(url: str, jobs: list[str]) -> None:
    with psycopg.connect(libpq(url), autocommit=True) as connection:
        connection.execute(
            """
            INSERT INTO units (id, job_id, project, kind, seq, state, start, stop, ready_at)
            SELECT j.id || '.' || n, j.id, j.project, 'tile', n, 'ready', n, n + 1, now()
            FROM jobs j, generate_series(2, %(count)s + 1) n WHERE j.id = ANY(%(jobs)s)
            """,
            {"count": TILES, "jobs": jobs},
        )
        connection.execute(
            "UPDATE jobs SET cells_total = cells_total + %(count)s WHERE id = ANY(%(jobs)s)",
            {"count": TILES, "jobs": jobs},
        )
        connection.execute("ANALYZE")


def _measure(database: Database, clients: int) -> dict[str, float]:
    """Cycles of claim, beat and report by so many clients at once."""
    times: dict[str, list[float]] = {"claim": [], "beat": [], "report": []}
    lock, until = threading.Lock(), time.monotonic() + SECONDS

    def timed(name: str, call: Callable[..., Any], *given: Any) -> Any:
        began = time.perf_counter()
        value = call(database, *given)
        with lock:
            times[name].append(time.perf_counter() - began)
        return value

    def client(number: int) -> None:
        while time.monotonic() < until:
            unit = timed("claim", _claim, f"bench{number}").unit
            timed("beat", _beat, unit.id, unit.attempt)
            timed("report", _report, unit.id, unit.attempt)

    threads = [threading.Thread(target=client, args=(n,)) for n in range(clients)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.monotonic() - began
    return {
        "cycles_per_s": round(len(times["report"]) / elapsed, 1),
        **{f"{name}_median_ms": round(1e3 * statistics.median(t), 2) for name, t in times.items()},
        **{
            f"{name}_p99_ms": round(1e3 * statistics.quantiles(t, n=100)[-1], 2)
            for name, t in times.items()
        },
    }


def _claim(database: Database, worker: str) -> Any:
    with database.transaction() as session:
        claimed = units.claim(session, worker=worker, lease_seconds=60.0)
    if claimed is None:
        raise AssertionError("no unit is left to claim; raise TILES")
    return claimed


def _beat(database: Database, unit: str, attempt: int) -> None:
    with database.transaction() as session:
        kept = units.beat(session, unit, attempt, cells_done=0, lease_seconds=60.0)
    if kept != "ok":
        raise AssertionError(f"the beat of {unit} came to {kept}")


def _report(database: Database, unit: str, attempt: int) -> None:
    with database.transaction() as session:
        units.report_tile(session, unit, attempt, result=digest(f"tile {unit}"), seconds=1.0)


def _store(s3: S3) -> dict[str, float]:
    """Putting a tile's bytes where they belong, one after another."""
    given = {name.lower(): value for name, value in s3.environment().items()}
    store = ObjectStore.from_settings(Settings(**given, s3_bucket="claims"))  # type: ignore[arg-type]
    store.ensure_bucket()
    times = []
    for _ in range(100):
        data = os.urandom(TILE_BYTES)
        began = time.perf_counter()
        store.put_bytes(data)
        times.append(time.perf_counter() - began)
    return {
        "tile_bytes": TILE_BYTES,
        "put_median_ms": round(1e3 * statistics.median(times), 2),
        "put_p99_ms": round(1e3 * statistics.quantiles(times, n=100)[-1], 2),
    }
