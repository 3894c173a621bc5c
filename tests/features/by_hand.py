"""A worker's part of a job played by hand: the ledger's own reports, with values of a known form.

The numbers are not a network's; what is tested here is how they come back over HTTP.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from service.domain.cells import CellStatus
from service.domain.definitions import DEFINITIONS
from service.domain.digests import digest_bytes
from service.domain.plan import LINE_ANCHORS, PLANE_ANCHORS, JobPlan, PlannedDirection
from service.domain.questions.interpolation.spec import InterpolationJob
from service.domain.questions.table import job_spec, read_plan
from service.domain.results import (
    DatasetTile,
    GridResult,
    Tile,
    assemble,
    encode_npz,
    unique_names,
)
from service.http.services import Services
from service.ledger import directions, units
from service.ledger.records import ClaimedUnit, NewLandscape
from tests.features.reference import packed
from tests.support.measured import measure


class ByHand:
    """Claims units of one job and reports what a worker would.

    Args:
        steepness: of the bowl that is found.
        definitions: of the release that the worker is of.
    """

    def __init__(
        self,
        services: Services,
        job: str,
        steepness: float = 1.0,
        definitions: str = DEFINITIONS,
    ) -> None:
        self.services = services
        self.job = job
        self.steepness = steepness
        self.definitions = definitions

    def claim(self) -> ClaimedUnit:
        """The job's next unit. A model's ingest is done on the way; other jobs' units that come
        first stay in hand, where they are out of the way."""
        while True:
            with self.services.database.transaction() as session:
                claimed = units.claim(
                    session, worker="by hand", lease_seconds=600, prefer_job=self.job
                )
            assert claimed is not None, "nothing to claim"
            if claimed.job.id == self.job:
                return claimed
            if claimed.unit.kind == "ingest":
                self.ingest(claimed)

    def ingest(self, claimed: ClaimedUnit) -> None:
        signature = dict(claimed.inputs.model.signature or {})
        graph = self.store(b'{"canonical": "graph"}')
        with self.services.database.transaction() as session:
            units.report_ingested(
                session,
                claimed.unit.id,
                claimed.unit.attempt,
                signature=signature,
                graph=graph,
                constants=None,
            )

    def prepare(self, tile_cells: int) -> JobPlan:
        """Plans the job with directions of zeros."""
        claimed = self.claim()
        assert claimed.unit.kind == "prepare", claimed.unit
        spec = job_spec().validate_python(claimed.job.spec)
        line = isinstance(spec, InterpolationJob)
        planned = []
        for axis, record in sorted(claimed.inputs.directions.items()):
            digest = self.store(packed(**{f"{axis}_weights": np.zeros(3, np.float32)}))
            planned.append(PlannedDirection(axis=axis, id=record.id, object=digest, norm=2.0))
        x, y = (
            (spec.alpha, None) if isinstance(spec, InterpolationJob) else (spec.grid.x, spec.grid.y)
        )
        plan = JobPlan(
            x=tuple(x.points().tolist()),
            y=None if y is None else tuple(y.points().tolist()),
            anchors=LINE_ANCHORS if line else PLANE_ANCHORS,
            directions=tuple(planned),
            cosine=None if line else 0.01,
            orthogonalised=False,
            precision=spec.precision,
            buffers=spec.buffers,
            batch_size=64,
            threads=1,
            cell_seconds=0.01,
            tile_cells=tile_cells,
            device="cpu",
            definitions=self.definitions,
        )
        with self.services.database.transaction() as session:
            for direction in planned:
                directions.materialise(session, direction.id, direction.object, direction.norm)
            units.report_prepared(session, claimed.unit.id, claimed.unit.attempt, plan=plan)
        return plan

    def tile(self) -> Tile:
        """Computes the next tile: a bowl, with one cell NaN and one infinite."""
        claimed = self.claim()
        assert claimed.unit.kind == "tile", claimed.unit
        plan = read_plan(claimed.job.kind, claimed.inputs.plan or claimed.job.plan or {})
        index = plan.order()[claimed.unit.start : claimed.unit.stop]
        at = plan.coordinates()[index]
        parts = tuple(
            _bowl(at, shift, self.steepness) for shift in range(len(claimed.inputs.datasets))
        )
        made = Tile(index=index, datasets=parts)
        digest = self.store(made.to_npz())
        with self.services.database.transaction() as session:
            units.report_tile(
                session, claimed.unit.id, claimed.unit.attempt, result=digest, seconds=0.1
            )
        return made

    def finalise(self) -> GridResult:
        claimed = self.claim()
        assert claimed.unit.kind == "finalise", claimed.unit
        plan = read_plan(claimed.job.kind, claimed.inputs.plan or claimed.job.plan or {})
        with self.services.database.transaction() as session:
            done = units.tiles(session, self.job)
        tiles = [Tile.from_npz(self.services.store.get_bytes(str(t.result))) for t in done]
        names = unique_names([d.name for d in claimed.inputs.datasets])
        result = assemble(plan, names, [d.samples for d in claimed.inputs.datasets], tiles)
        digest = self.store(encode_npz(result.to_arrays()))
        landscape = NewLandscape(
            data=digest,
            derived=measure(result),
            title=f"{claimed.inputs.model.name}: {claimed.job.kind}",
            provenance={
                "engine": "by hand",
                "definitions": plan.definitions,
                "dtype": "float32",
                "buffers": "frozen",
                "directions": {
                    p.axis: {
                        "id": p.id,
                        "norm": p.norm,
                        "object": p.object,
                        "spec": claimed.inputs.directions[p.axis].spec,
                    }
                    for p in plan.directions
                },
                "cosine": plan.cosine,
            },
        )
        with self.services.database.transaction() as session:
            units.report_finalised(
                session, claimed.unit.id, claimed.unit.attempt, landscape=landscape
            )
        return result

    def whole(self, tile_cells: int = 1000) -> GridResult:
        """The job from beginning to end."""
        plan = self.prepare(tile_cells)
        for _ in range(-(-plan.evaluations // tile_cells)):
            self.tile()
        return self.finalise()

    def store(self, data: bytes) -> str:
        digest = digest_bytes(data)
        self.services.store.put_bytes(data, digest)
        return digest


def _bowl(at: Any, shift: int, steepness: float) -> DatasetTile:
    loss = 0.1 + shift + steepness * (at**2).sum(axis=1)
    status = np.full(len(loss), CellStatus.OK, dtype=np.int8)
    corner = (at[:, 0] == 1.0) & (at[:, 1] == 1.0)
    loss[corner], status[corner] = np.nan, CellStatus.NAN
    far = (at[:, 0] == -1.0) & (at[:, 1] == -1.0)
    loss[far], status[far] = np.inf, CellStatus.POSINF
    return DatasetTile(
        loss=loss, stderr=0.01 * np.ones_like(loss), accuracy=np.full_like(loss, 0.5), status=status
    )
