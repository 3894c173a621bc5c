"""A database and a bucket as an earlier release left them, put back on real servers.

Owns the way back: rows are written as they were, no trigger looks at them again.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from service.ledger import schema
from tests.support.servers import libpq, minio

ARCHIVE: Final = Path(__file__).parents[1] / "data" / "earlier_release" / "numerics_1.zip"
#: Of the schema that the rows were written under.
REVISION: Final = "0004"


@dataclass(frozen=True)
class Expected:
    """What the earlier release said.

    Attributes:
        landscapes: by name: the id and the SHA-256 of `data.npz` as served.
        served: by name: `data.json` as served.
        queued: by name: the id of a job that had not finished, and its question's digest.
    """

    landscapes: Mapping[str, Mapping[str, str]]
    queued: Mapping[str, Mapping[str, str]]
    served: Mapping[str, bytes]


def restore(database_url: str, s3: Mapping[str, str], bucket: str) -> Expected:
    """Fills an empty database and bucket, and brings the schema up to date."""
    with zipfile.ZipFile(ARCHIVE) as archive:
        schema.upgrade(database_url, REVISION)
        _rows(database_url, json.loads(archive.read("rows.json")))
        store = minio(s3)
        for name in archive.namelist():
            if name.startswith("objects/"):
                data = archive.read(name)
                store.put_object(bucket, name, io.BytesIO(data), len(data))
        expected = json.loads(archive.read("expected.json"))
        served = {name: archive.read(f"served/{name}.json") for name in expected["landscapes"]}
    schema.upgrade(database_url)
    return Expected(expected["landscapes"], expected["queued"], served)


def _rows(database_url: str, tables: Mapping[str, list[dict[str, Any]]]) -> None:
    with psycopg.connect(libpq(database_url)) as connection:
        connection.execute("SET session_replication_role = replica")
        for name, rows in tables.items():
            table = sql.Identifier(name)
            connection.execute(sql.SQL("DELETE FROM {}").format(table))
            connection.execute(
                sql.SQL(
                    "INSERT INTO {} OVERRIDING SYSTEM VALUE"
                    " SELECT * FROM jsonb_populate_recordset(NULL::{}, %s::jsonb)"
                ).format(table, table),
                [json.dumps(rows)],
            )
        # identities go on after what is there
        connection.execute(
            "SELECT setval(pg_get_serial_sequence('job_events', 'id'), max(id)) FROM job_events"
        )
        connection.execute(
            "SELECT setval(pg_get_serial_sequence('outbox', 'id'), max(id)) FROM outbox"
        )
