"""A job's inputs, looked up and judged before anything is written.

Owns which inputs belong together. Reads the ledger and the store, writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from service.domain.definitions import is_of_today
from service.domain.directions import (
    DirectionChoice,
    EigenvectorDirection,
    GradientDirection,
    PlaneDirections,
    RandomDirection,
    UploadedDirection,
)
from service.domain.jobs import (
    AnyJob,
    BufferPolicy,
    CurvatureJob,
    InterpolationJob,
    LineJob,
    SurfaceJob,
    TrajectoryJob,
    shape_of,
)
from service.domain.problems import Problem
from service.inputs import lookup, recording
from service.inputs.directions import SPEC, Spec, with_axis
from service.inputs.lookup import Caller
from service.inputs.recording import Needs, Origin
from service.inputs.signatures import sockets_of
from service.jobs.eigenvalues import require_eigenvalues
from service.jobs.path import Path, find_path
from service.ledger import models
from service.ledger.records import CheckpointRecord, DatasetRecord, DirectionRecord
from service.ledger.session import Session


@dataclass(frozen=True)
class Wanted:
    """A direction that a job asks for: one on record, or a spec to be put on record.

    Attributes:
        saved: the record, when it was named by id and belongs to the job's origin.
        at: pointer of the direction in the body.
    """

    spec: Spec
    saved: DirectionRecord | None
    needs: Needs
    at: str


@dataclass(frozen=True)
class Inputs:
    """Everything that a job refers to, found and fitting together.

    Attributes:
        directions: by axis: `x`, `y`; `line0`… of a line; `along0`… of curvature.
        path: a trajectory's runs.
    """

    origin: Origin
    target: CheckpointRecord | None
    datasets: tuple[DatasetRecord, ...]
    directions: Mapping[str, Wanted]
    path: Path | None = None


def require_size(spec: AnyJob, limit: int) -> None:
    """Raises Problem `grid_too_large`, with the fix, when the grid has more than `limit` cells."""
    cells = prod(shape_of(spec))
    if cells > limit:
        raise Problem(
            "grid_too_large",
            f"the grid has {cells} cells; at most {limit} are computed in one job. Lower `num`",
            pointer=_GRID_AT.get(spec.kind, "/grid"),
        )


_GRID_AT = {
    "interpolation": "/alpha",
    "line": "/alpha",
    "surface": "/grid",
    "trajectory": "/surface/num",
    "curvature": "/map/grid",
}


def look_up(session: Session, caller: Caller, spec: AnyJob) -> Inputs:
    """Finds a job's inputs and holds them against each other.

    Raises:
        Problem: `invalid_request` for what is not there, `forbidden`, `model_refused`,
            `object_missing`, `direction_invalid`, and `incompatible_inputs` or `targets_invalid`
            naming what differs.
    """
    if isinstance(spec, TrajectoryJob):
        path = find_path(session, caller, spec)
        lookup.may_submit(caller, path.origin.model.project, "/model")
        _require_recalibratable(spec, path.origin)
        datasets = _datasets(session, caller, spec, path.origin)
        directions = {
            axis: Wanted(path.direction(spec, component), None, Needs(), "")
            for axis, component in (("x", 1), ("y", 2))
        }
        return Inputs(path.origin, None, datasets, directions, path)
    checkpoint, model = lookup.checkpoint(session, caller, spec.origin, "/origin")
    lookup.may_submit(caller, model.project, "/origin")
    origin = Origin(checkpoint, model, sockets_of(model))
    _require_recalibratable(spec, origin)
    datasets = _datasets(session, caller, spec, origin)
    search = _Search(session, caller, origin, datasets)
    match spec:
        case InterpolationJob():
            target = recording.far_end(session, caller, origin, spec.target, "/target")
            line = SPEC.validate_python({"kind": "between", "target": spec.target})
            wanted = Wanted(line, None, Needs(target=target), "")
            return Inputs(origin, target, datasets, {"x": wanted})
        case LineJob():
            return Inputs(origin, None, datasets, search.lines(spec))
        case SurfaceJob():
            return Inputs(origin, None, datasets, search.plane(spec.directions, "/directions"))
        case CurvatureJob():
            require_eigenvalues(spec, origin.model.signature or {})
            directions = {} if spec.map is None else search.plane(spec.map.directions, _MAP_AT)
            directions |= {
                f"along{i}": search.find(choice, f"/along/{i}", "x")
                for i, choice in enumerate(spec.along)
            }
            return Inputs(origin, None, datasets, directions)


_MAP_AT = "/map/directions"


def _require_recalibratable(spec: AnyJob, origin: Origin) -> None:
    """Raises Problem `not_supported` where running statistics cannot be recomputed."""
    if spec.buffers is not BufferPolicy.RECALIBRATE:
        return
    if isinstance(spec, CurvatureJob):
        raise Problem(
            "not_supported",
            "curvature is taken with statistics that do not move with the weights; use the "
            "buffers `frozen` or `interpolate`",
            pointer="/buffers",
        )
    if not (origin.model.signature or {}).get("recalibratable", False):
        raise Problem(
            "not_supported",
            f"the running statistics of model {origin.model.name!r} cannot be recomputed: "
            + (
                "it is a named architecture; register it as an exported program"
                if origin.model.program is None
                else "a batch norm's are constants of the program; export a module that keeps "
                "them as buffers"
            )
            + ", or use the buffers `frozen` or `interpolate`",
            pointer="/buffers",
        )


@dataclass(frozen=True)
class _Search:
    """Directions at an origin, for a job over these data sets."""

    session: Session
    caller: Caller
    origin: Origin
    datasets: tuple[DatasetRecord, ...]

    def plane(self, directions: PlaneDirections, at: str) -> dict[str, Wanted]:
        return {
            "x": self.find(directions.x, f"{at}/x", "x"),
            "y": self.find(directions.y, f"{at}/y", "y"),
        }

    def lines(self, spec: LineJob) -> dict[str, Wanted]:
        """One direction, or random ones of growing seeds."""
        if not isinstance(spec.direction, RandomDirection):
            return {"line0": self.find(spec.direction, "/direction", "x")}
        seeds = range(spec.direction.seed, spec.direction.seed + spec.repeats)
        return {
            f"line{k}": self.find(
                spec.direction.model_copy(update={"seed": seed}), "/direction", "x"
            )
            for k, seed in enumerate(seeds)
        }

    def find(self, choice: DirectionChoice, at: str, stream: str) -> Wanted:
        """A direction given inline, or by id.

        Args:
            stream: of a random direction's seed, where it names none.
        """
        if not isinstance(choice, str):
            made = self._over_data(with_axis(choice, "y" if stream == "y" else "x"), at)
            needs = recording.look_up(self.session, self.caller, self.origin, made, at)
            return Wanted(made, None, needs, at)
        saved = lookup.direction(self.session, self.caller, choice, at)
        if saved.project != self.origin.model.project:
            raise Problem(
                "incompatible_inputs",
                f"{choice} is in project {saved.project!r}, the origin in "
                f"{self.origin.model.project!r}",
                pointer=at,
            )
        if saved.checkpoint_id != self.origin.checkpoint.id:
            return self._borrowed(saved, at)
        own: Spec = SPEC.validate_python(saved.spec)
        if not is_of_today(saved.spec, saved.spec_digest):
            return self._of_older_definitions(saved, own, at)
        if saved.object is None:
            own = self._over_data(own, at)
            if own.kind == "pca":
                raise _unmade(saved, at)
        needs = recording.look_up(self.session, self.caller, self.origin, own, at)
        return Wanted(own, saved, needs, at)

    def _over_data(self, spec: Spec, at: str) -> Spec:
        """A gradient or eigenvector over one of the job's data sets, the first unless named."""
        if not isinstance(spec, GradientDirection | EigenvectorDirection):
            return spec
        chosen = spec.dataset or self.datasets[0].id
        if chosen not in {dataset.id for dataset in self.datasets}:
            raise Problem(
                "incompatible_inputs",
                f"the {spec.kind} is taken over {chosen}, which is none of the job's data sets; "
                "add it to `datasets`",
                pointer=f"{at}/dataset",
            )
        return spec.model_copy(update={"dataset": chosen})

    def _of_older_definitions(self, saved: DirectionRecord, own: Spec, at: str) -> Wanted:
        """A direction of an earlier release: its very tensors where it has them, and else made
        under today's definitions, as if it were given inline.
        """
        if saved.object is not None:
            return Wanted(UploadedDirection(object=saved.object), None, Needs(), at)
        own = self._over_data(own, at)
        if own.kind == "pca":
            raise _unmade(saved, at)
        return Wanted(
            own, None, recording.look_up(self.session, self.caller, self.origin, own, at), at
        )

    def _borrowed(self, saved: DirectionRecord, at: str) -> Wanted:
        """A direction made at another checkpoint: its very tensors, as uploaded ones would be."""
        made_at = models.get(self.session, saved.model_id)
        if made_at is not None and made_at.id != self.origin.model.id:
            recording.require_same_tensors(self.origin.sockets, made_at, at)
        if saved.object is None:
            raise Problem(
                "incompatible_inputs",
                f"{saved.id} was made for {saved.checkpoint_id} and has no tensors yet; use it "
                "there first, or give its spec inline",
                pointer=at,
            )
        return Wanted(UploadedDirection(object=saved.object), None, Needs(), at)


def _unmade(saved: DirectionRecord, at: str) -> Problem:
    return Problem(
        "incompatible_inputs",
        f"{saved.id} is a component of a trajectory whose job has not made it yet; wait for that "
        "job",
        pointer=at,
    )


def _datasets(
    session: Session, caller: Caller, spec: AnyJob, origin: Origin
) -> tuple[DatasetRecord, ...]:
    return tuple(
        recording.evaluable(session, caller, origin, identity, f"/datasets/{i}")
        for i, identity in enumerate(spec.datasets)
    )
