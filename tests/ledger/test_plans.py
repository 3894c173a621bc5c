"""What the server does for the hot statements when there is much to do: probes, never scans."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from service.ledger import claims, schema
from service.ledger.session import Database
from service.ledger.sqltext import rows
from tests.ledger.conftest import libpq, made
from tests.ledger.world import World, digest

JOBS, TILES = 50, 2000
PROJECTS = 5


@pytest.fixture(scope="module")
def crowded(database_url: str) -> Iterator[World]:
    """100 000 ready tiles of 50 jobs, as many done ones, and 200 leased."""
    with made(database_url) as url:
        schema.upgrade(url)
        database = Database(url)
        yield crowd(World(database), url)
        database.dispose()


def crowd(world: World, url: str) -> World:
    models = [world.model(f"p{n}") for n in range(PROJECTS)]
    jobs = [world.planned(models[n % PROJECTS], points=2) for n in range(JOBS)]
    with psycopg.connect(libpq(url), autocommit=True) as connection:
        connection.execute("INSERT INTO objects (digest) VALUES (%s)", [digest("t")])
        for state, first in (("ready", 2), ("done", TILES + 2)):
            connection.execute(
                """
                INSERT INTO units (id, job_id, project, kind, seq, state, start, stop, ready_at,
                                   finished_at, result)
                SELECT j.id || '.' || n, j.id, j.project, 'tile', n, %(state)s, n, n + 1, now(),
                       CASE %(state)s WHEN 'done' THEN now() END,
                       CASE %(state)s WHEN 'done' THEN %(digest)s END
                FROM jobs j, generate_series(%(first)s, %(first)s + %(count)s - 1) n
                WHERE j.id = ANY(%(jobs)s)
                """,
                {
                    "state": state,
                    "first": first,
                    "count": TILES,
                    "digest": digest("t"),
                    "jobs": [j.id for j in jobs],
                },
            )
        connection.execute("ANALYZE")
    for n in range(200):
        world.claim(f"w{n}")
    return world


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def explained(world: World, statement: str, **values: Any) -> dict[str, Any]:
    with world.database.transaction() as session:
        found = rows(session, "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement, **values)[0][
            "QUERY PLAN"
        ]
    plan: dict[str, Any] = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    return plan


def test_a_claim_among_a_hundred_thousand_units_is_a_few_probes(crowded: World) -> None:
    job = crowded.sql("SELECT id FROM jobs WHERE kind = 'surface' LIMIT 1")[0]["id"]
    for prefer in (None, job):
        plan = explained(
            crowded,
            claims._CLAIM,
            worker="w",
            lease=60.0,
            prefer=prefer,
            patience=10.0,
            shun=10.0,
            ingests=1,
        )
        scanned = [
            node
            for node in nodes(plan)
            if node["Node Type"] == "Seq Scan" and node["Relation Name"] == "units"
        ]
        assert scanned == []
        # pages touched: a probe for each live job and the leased rows, not the table
        assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 2000
        assert plan["Actual Rows"] == 1


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT DISTINCT job_id FROM units WHERE state = 'leased' AND lease_until < now()",
        "SELECT count(*) FROM units WHERE job_id = :job AND state = 'leased' AND kind = 'tile'",
        "SELECT seconds FROM units WHERE job_id = :job AND state = 'done' AND kind = 'tile'"
        " ORDER BY finished_at DESC LIMIT 32",
        "SELECT id FROM units WHERE job_id = :job AND state = 'ready' ORDER BY seq LIMIT 64",
    ],
)
def test_the_other_hot_questions_use_their_indexes(crowded: World, statement: str) -> None:
    job = crowded.sql("SELECT id FROM jobs WHERE kind = 'surface' LIMIT 1")[0]["id"]
    values = {"job": job} if ":job" in statement else {}
    plan = explained(crowded, statement, **values)
    assert [n["Node Type"] for n in nodes(plan) if n["Node Type"] == "Seq Scan"] == []
