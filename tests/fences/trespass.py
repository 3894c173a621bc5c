"""One import for each contract that breaks it.

Owns the table; the contracts stand in `pyproject.toml`. The numbers are those of the import rules
that the project was designed by: 1 the domain and the edges, 2 the features, 3 one owner for
Celery, SQL and S3, 4 and 5 the workers' halves, 6 the child, 7 the client.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Trespass:
    """`line`, at the end of `file`, breaks the contract `contract`."""

    contract: str
    file: str
    line: str

    def __str__(self) -> str:
        return f"{self.contract}: {self.file}: {self.line}"


TRESPASSES: Final = (
    # 1: the domain knows nothing of ours, an edge only the domain and the settings
    Trespass("service-rows", "service/domain/ids.py", "import service.identity.tokens"),
    Trespass("service-rows", "service/domain/ids.py", "import service.settings"),
    Trespass("service-rows", "service/ledger/jobs.py", "import service.identity"),
    Trespass("service-rows", "service/store/objects.py", "import service.ledger"),
    Trespass("service-rows", "service/figures/page.py", "import service.exports"),
    Trespass("service-rows", "service/programs/check.py", "import service.http.app"),
    Trespass("domain-is-pure", "service/domain/ids.py", "import time"),
    Trespass("domain-is-pure", "service/domain/ids.py", "import socket"),
    # 2: features do not know each other; HTTP does not know them; nobody above knows processes
    Trespass("service-rows", "service/keys/issuing.py", "import service.jobs.submission"),
    Trespass("service-rows", "service/aliases/routes.py", "import service.jobs.schemas"),
    Trespass("service-rows", "service/http/app.py", "import service.jobs.routes"),
    Trespass("service-rows", "service/inputs/plain.py", "import service.http.app"),
    Trespass("service-rows", "service/embedded/demo.py", "import service.inputs"),
    Trespass("service-rows", "service/jobs/routes.py", "import service.catalog.words"),
    Trespass("pages-use-cases", "service/catalog/routes.py", "import service.keys.routes"),
    Trespass("pages-use-cases", "service/catalog/words.py", "import service.jobs.schemas"),
    Trespass(
        "pages-use-cases", "service/catalog/words.py", "import service.models.checkpoints.routes"
    ),
    Trespass("programs-are-started", "service/jobs/submission.py", "import service.dispatch"),
    Trespass("programs-are-started", "service/keys/routes.py", "import service.embedded.ports"),
    Trespass("packages-rows", "service/jobs/submission.py", "import workers.protocol"),
    Trespass("packages-rows", "service/ledger/schema.py", "import migrations.env"),
    Trespass("torch-in-the-child", "service/jobs/submission.py", "import torch"),
    Trespass("http-at-the-edge", "service/jobs/submission.py", "import fastapi"),
    Trespass("http-at-the-edge", "service/inputs/plain.py", "import starlette.requests"),
    # 3: one owner each
    Trespass("sql-in-ledger", "service/inputs/plain.py", "import sqlalchemy"),
    Trespass("sql-in-ledger", "service/identity/tokens.py", "import sqlalchemy.orm"),
    Trespass("sql-in-ledger", "workers/steps/tile.py", "import sqlalchemy"),
    Trespass("sql-in-ledger", "service/main.py", "import alembic"),
    Trespass("postgres-in-ledger", "service/jobs/submission.py", "import psycopg"),
    Trespass("minio-in-store", "service/inputs/plain.py", "import minio"),
    Trespass("minio-in-store", "workers/cache.py", "import minio"),
    Trespass("celery-in-dispatch", "service/inputs/plain.py", "import celery"),
    Trespass("celery-in-dispatch", "workers/supervisor.py", "import celery"),
    # 4: workers know no HTTP, no feature, and of the service only what is named
    Trespass("service-for-workers", "workers/steps/prepare.py", "import service.inputs.plain"),
    Trespass("service-for-workers", "workers/supervisor.py", "import service.jobs.submission"),
    Trespass("service-for-workers", "workers/app.py", "import service.http.app"),
    Trespass("service-for-workers", "workers/steps/tile.py", "import service.identity"),
    Trespass("service-for-workers", "workers/adaptive/design.py", "import service.ledger.jobs"),
    Trespass("service-for-workers", "migrations/env.py", "import service.settings"),
    Trespass("http-at-the-edge", "workers/app.py", "import fastapi"),
    # 5: the engine and program binding are narrow, the supervisor's half has no torch
    Trespass("service-for-workers", "workers/engine/losses.py", "import service.domain.losses"),
    Trespass("service-for-workers", "workers/program/binder.py", "import service.domain.ids"),
    Trespass("workers-rows", "workers/engine/losses.py", "import workers.program.binder"),
    Trespass("workers-rows", "workers/adaptive/design.py", "import workers.engine"),
    Trespass("workers-rows", "workers/computation/tile.py", "import workers.questions.table"),
    Trespass("numbers-only", "workers/engine/losses.py", "import pydantic"),
    Trespass("child-half", "workers/tools.py", "import workers.engine"),
    Trespass("child-half", "workers/supervisor.py", "import workers.computation.tile"),
    Trespass("child-half", "workers/steps/tile.py", "import workers.computation.tile"),
    Trespass(
        "child-half", "workers/questions/line/supervising.py", "import workers.computation.weights"
    ),
    Trespass("torch-in-the-child", "workers/steps/tile.py", "import torch"),
    Trespass("torch-in-the-child", "workers/adaptive/design.py", "import torch"),
    Trespass("supervisor-has-no-torch", "workers/runner.py", "import workers.program.binder"),
    Trespass(
        "supervisor-has-no-torch",
        "workers/questions/line/supervising.py",
        "import workers.questions.line.computing",
    ),
    # 6: the child holds nothing
    Trespass(
        "child-holds-nothing",
        "workers/questions/line/computing.py",
        "import workers.questions.line.supervising",
    ),
    Trespass("child-holds-nothing", "workers/protocol.py", "import service.settings"),
    Trespass("child-holds-nothing", "workers/computation/tile.py", "import service.ledger.jobs"),
    # 7: the client stands alone and stays light
    Trespass("client-stands-alone", "openapi/client/lossatlas/client.py", "import service.domain"),
    Trespass("client-is-outside", "service/embedded/demo.py", "import lossatlas.demo"),
    Trespass("torch-in-the-child", "openapi/client/lossatlas/client.py", "import torch"),
    Trespass("drawing-in-figures", "openapi/client/lossatlas/client.py", "import matplotlib"),
    Trespass("scipy-in-engine", "openapi/client/lossatlas/client.py", "import scipy"),
    Trespass("client-extras", "openapi/client/lossatlas/client.py", "import xarray"),
    Trespass(
        "gallery-is-a-user", "openapi/gallery/lossatlas_gallery/command.py", "import service.domain"
    ),
    # the other libraries
    Trespass("scipy-in-engine", "service/domain/gates/rules.py", "import scipy"),
    Trespass("drawing-in-figures", "service/catalog/words.py", "import matplotlib"),
    Trespass("hdf5-in-exports", "service/figures/page.py", "import h5py"),
    Trespass("templates-in-catalog", "service/exports/about.py", "import jinja2"),
    Trespass("serving-in-http", "service/jobs/submission.py", "import prometheus_client"),
    Trespass("anyio-in-objects", "service/uploads/transfer.py", "import anyio"),
    Trespass("outgoing-at-the-edge", "service/jobs/submission.py", "import urllib3"),
    Trespass("tokens-in-identity", "service/http/authentication.py", "import jwt"),
    Trespass("environment-in-settings", "workers/sandbox.py", "import pydantic_settings"),
    Trespass("safetensors-at-the-edge", "service/store/objects.py", "import safetensors"),
    Trespass("client-libraries", "service/checks/verdicts.py", "import httpx2"),
)
