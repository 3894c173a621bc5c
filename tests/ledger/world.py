"""Everything that a job needs, made by the ledger's own functions."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from service.domain.digests import digest_json
from service.domain.plan import PLANE_ANCHORS, JobPlan, PlannedDirection
from service.domain.questions.spec import BufferPolicy, Precision
from service.ledger import checkpoints, datasets, directions, jobs, keys, models, objects, units
from service.ledger.records import (
    CheckpointRecord,
    ClaimedUnit,
    DatasetRecord,
    JobRecord,
    KeyRecord,
    ModelRecord,
    NewJob,
    NewLandscape,
)
from service.ledger.session import Database
from service.ledger.sqltext import rows, run
from tests.support.ledger import units_of

SIGNATURE: dict[str, Any] = {"parameters": [], "buffers": [], "inputs": [], "outputs": []}
PROBLEM = {"code": "computation_failed", "detail": "it did not work"}


def digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


@dataclass
class World:
    database: Database
    numbers: Any = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        with self.database.transaction() as session:
            self.key, self.secret = keys.create(
                session,
                name="tests",
                role="admin",
                projects=None,
                expires_at=None,
                created_by=None,
            )

    def object(self) -> str:
        """A new object, uploaded with the world's key."""
        name = digest(f"object {next(self.numbers)}")
        self.object_by(self.key, name)
        return name

    def object_by(self, key: KeyRecord, name: str) -> None:
        with self.database.transaction() as session:
            objects.record(session, name, 10, key)

    def model(
        self, project: str = "alpha", *, ready: bool = True, program: str | None = None, **more: Any
    ) -> ModelRecord:
        program = program or self.object()
        with self.database.transaction() as session:
            model = models.create(
                session,
                **{
                    "project": project,
                    "name": "net",
                    "program": program,
                    "architecture": None,
                    "loss": "cross_entropy",
                    "signature": SIGNATURE,
                    "created_by": self.key.id,
                    **more,
                },
            )
        if ready and model.state == "checked":
            own = self.sql("SELECT id FROM jobs WHERE model_id = :id", id=model.id)[0]["id"]
            self.ingest(self.claim(prefer_job=own))
        return self.model_now(model.id)

    def model_now(self, identity: str) -> ModelRecord:
        with self.database.transaction() as session:
            found = models.get(session, identity)
        assert found is not None
        return found

    def ingest(self, claimed: ClaimedUnit) -> None:
        assert claimed.unit.kind == "ingest"
        graph = None if claimed.inputs.model.program is None else digest("graph")
        with self.database.transaction() as session:
            units.report_ingested(
                session,
                claimed.unit.id,
                claimed.unit.attempt,
                signature=SIGNATURE,
                graph=graph,
                constants=None,
            )

    def checkpoint(self, model: ModelRecord, **more: Any) -> CheckpointRecord:
        weights = self.object()
        with self.database.transaction() as session:
            return checkpoints.create(
                session, model_id=model.id, weights=weights, created_by=self.key.id, **more
            )

    def dataset(self, project: str = "alpha", name: str = "digits") -> DatasetRecord:
        stored = self.object()
        with self.database.transaction() as session:
            return datasets.create(
                session,
                project=project,
                name=name,
                object=stored,
                samples=100,
                inputs={"": {"dtype": "float32", "shape": [8, 8]}},
                targets={"dtype": "int64", "shape": []},
                created_by=self.key.id,
            )

    def new_job(self, model: ModelRecord, **more: Any) -> NewJob:
        """A surface over fresh inputs: a question never asked before."""
        origin = self.checkpoint(model)
        dataset = self.dataset(model.project)
        axes = {}
        with self.database.transaction() as session:
            for axis in ("x", "y"):
                spec = {"kind": "random", "seed": 1, "axis": axis}
                axes[axis] = directions.create(
                    session,
                    project=model.project,
                    model_id=model.id,
                    checkpoint_id=origin.id,
                    spec=spec,
                    spec_digest=digest_json(spec),
                    created_by=self.key.id,
                ).id
        spec = {"kind": "surface", "origin": origin.id, "datasets": [dataset.id]}
        fields: dict[str, Any] = {
            "project": model.project,
            "kind": "surface",
            "spec": spec,
            "input_digest": digest_json(spec),
            "model_id": model.id,
            "origin": origin.id,
            "directions": axes,
            "created_by": self.key.id,
        }
        return NewJob(**{**fields, **more})

    def submit(self, model: ModelRecord, **more: Any) -> JobRecord:
        new = self.new_job(model, **more)
        with self.database.transaction() as session:
            return jobs.submit(session, new)

    def job(self, identity: str) -> JobRecord:
        with self.database.transaction() as session:
            found = jobs.get(session, identity)
        assert found is not None
        return found

    def claim(self, worker: str = "w1", lease: float = 60, **more: Any) -> ClaimedUnit:
        claimed = self.try_claim(worker, lease, **more)
        assert claimed is not None, "nothing to claim"
        return claimed

    def try_claim(self, worker: str = "w1", lease: float = 60, **more: Any) -> ClaimedUnit | None:
        with self.database.transaction() as session:
            return units.claim(session, worker=worker, lease_seconds=lease, **more)

    def settle(self) -> None:
        """Time passes: whatever waited after a failure may be claimed, by any worker."""
        self.sql("UPDATE units SET ready_at = now() - interval '1 hour' WHERE state = 'ready'")

    def plan(self, claimed: ClaimedUnit, *, points: int = 4, tile_cells: int = 1) -> JobPlan:
        """A line of `points` (the centre among them) along the job's directions."""
        return JobPlan(
            x=tuple(float(i) for i in range(points)),
            y=(0.0,),
            anchors=PLANE_ANCHORS,
            directions=tuple(
                PlannedDirection(axis=axis, id=d.id, object=digest(f"tensors {d.id}"), norm=1.0)
                for axis, d in claimed.inputs.directions.items()
            ),
            cosine=0.0,
            orthogonalised=False,
            precision=Precision.FLOAT32,
            buffers=BufferPolicy.FROZEN,
            batch_size=10,
            threads=1,
            cell_seconds=0.5,
            tile_cells=tile_cells,
            device="cpu",
        )

    def prepare(self, claimed: ClaimedUnit, **sizes: int) -> None:
        assert claimed.unit.kind == "prepare"
        with self.database.transaction() as session:
            units.report_prepared(
                session,
                claimed.unit.id,
                claimed.unit.attempt,
                plan=self.plan(claimed, **sizes),
            )

    def finish_tile(self, claimed: ClaimedUnit, seconds: float = 2.0) -> None:
        assert claimed.unit.kind == "tile"
        with self.database.transaction() as session:
            units.report_tile(
                session,
                claimed.unit.id,
                claimed.unit.attempt,
                result=digest(f"tile {claimed.unit.id}"),
                seconds=seconds,
            )

    def finalise(self, claimed: ClaimedUnit, **more: Any) -> str:
        assert claimed.unit.kind == "finalise"
        fields: dict[str, Any] = {
            "data": digest(f"data {claimed.job.id}"),
            "provenance": {"engine": "test"},
            "derived": {},
            "title": "net: surface",
            **more,
        }
        with self.database.transaction() as session:
            return units.report_finalised(
                session,
                claimed.unit.id,
                claimed.unit.attempt,
                landscape=NewLandscape(**fields),
            ).id

    def planned(
        self,
        model: ModelRecord | None = None,
        *,
        points: int = 4,
        tile_cells: int = 1,
        **more: Any,
    ) -> JobRecord:
        """A job whose tiles are ready."""
        job = self.submit(model or self.model(), **more)
        self.prepare(self.claim(prefer_job=job.id), points=points, tile_cells=tile_cells)
        return self.job(job.id)

    def done(self, model: ModelRecord | None = None, *, points: int = 2, **more: Any) -> str:
        """A finished job's landscape."""
        landscape = more.pop("landscape", {})
        job = self.planned(model, points=points, **more)
        for _ in range(points):
            self.finish_tile(self.claim(prefer_job=job.id))
        return self.finalise(self.claim(prefer_job=job.id), **landscape)

    def states(self, job_id: str) -> dict[str, list[str]]:
        """The units' states by kind, in order."""
        found: dict[str, list[str]] = {}
        with self.database.transaction() as session:
            for unit in units_of(session, job_id):
                found.setdefault(unit.kind.value, []).append(unit.state.value)
        return found

    def events(self, job_id: str) -> list[str]:
        with self.database.transaction() as session:
            return [event.type for event in jobs.events(session, job_id)]

    def linked(self, name: str) -> set[str]:
        """Projects that refer to an object."""
        found = self.sql("SELECT project FROM object_links WHERE digest = :digest", digest=name)
        return {str(row["project"]) for row in found}

    def sql(self, statement: str, **values: Any) -> list[dict[Any, Any]]:
        """Reads or meddles, behind the ledger's back."""
        with self.database.transaction() as session:
            if statement.lstrip().upper().startswith("SELECT"):
                return [dict(row) for row in rows(session, statement, **values)]
            run(session, statement, **values)
            return []
