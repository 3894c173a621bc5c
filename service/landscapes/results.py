"""Use cases of results: a landscape's arrays, and a running job's grid so far."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from numpy.typing import NDArray

from service.domain import networks
from service.domain.counted import counted_provenance
from service.domain.definitions import DEFINITIONS
from service.domain.derived.measures import measure
from service.domain.digests import digest_json, hex_of
from service.domain.plan import JobPlan
from service.domain.problems import Problem
from service.domain.questions.question import Question
from service.domain.questions.table import INGEST, job_spec, question_of, read_plan
from service.domain.results import GridResult, Tile, assemble, decode_npz, unique_names
from service.figures import Caption, Named
from service.http.services import Services
from service.landscapes import figures
from service.landscapes.figures import MEDIA_TYPES, FigureQuery, Format
from service.landscapes.grid import grid_json
from service.ledger import checkpoints, datasets, units
from service.ledger.records import JobRecord, LandscapeRecord
from service.ledger.session import Session

#: Raised when the same arrays would be written as other JSON.
JSON_REVISION: Final = 2

#: A grid of the largest size, several data sets, all values: far above what jobs make.
MAX_DATA_BYTES: Final = 2 << 30


@dataclass(frozen=True)
class Partial:
    """What a job has computed so far.

    Attributes:
        tiles: digests of finished tiles, in order; they name the state of the grid.
        attachments: what is known from the plan on: a trajectory's path.
    """

    job: JobRecord
    question: Question[Any]
    plan: JobPlan
    names: tuple[str, ...]
    samples: tuple[int, ...]
    tiles: tuple[str, ...]
    attachments: Mapping[str, NDArray[Any]] = field(default_factory=dict)


def arrays_of(services: Services, landscape: LandscapeRecord) -> GridResult:
    """A landscape's grid. Raises Problem `object_corrupt` when the stored bytes are not one."""
    data = services.store.get_bytes(landscape.data, max_bytes=MAX_DATA_BYTES)
    try:
        return GridResult.from_arrays(decode_npz(data))
    except (ValueError, KeyError) as error:
        raise Problem("object_corrupt", f"the arrays of {landscape.id} cannot be read") from error


def json_of(services: Services, landscape: LandscapeRecord) -> bytes:
    """A landscape's grid JSON."""
    return encoded(
        grid_json(
            landscape.kind,
            arrays_of(services, landscape),
            provenance=landscape.provenance,
            derived=landscape.derived,
        )
    )


def json_tag(landscape: LandscapeRecord) -> str:
    """Names the bytes of `json_of`, without reading the arrays."""
    return digest_json([JSON_REVISION, DEFINITIONS, landscape.id, landscape.data])


def npz_of(services: Services, landscape: LandscapeRecord) -> bytes:
    """A landscape's arrays as they are stored, verified."""
    data: bytes = services.store.get_bytes(landscape.data, max_bytes=MAX_DATA_BYTES)
    return data


def figure_of(
    services: Services,
    landscape: LandscapeRecord,
    query: FigureQuery,
    caption: Caption,
    format: Format,
    name: str,
) -> bytes:
    """A landscape's figure: kept from an earlier request, or drawn and kept.

    Raises:
        Problem: as `figures.require_fitting`.
    """
    key = f"figures/{landscape.id}/{hex_of(name)}.{format}"
    kept = services.store.get_cached(key)
    if kept is not None:
        return kept
    result = arrays_of(services, landscape)
    figures.require_fitting(query, result)
    image = figures.drawn(result, query, caption, format)
    services.store.put_cached(key, image, MEDIA_TYPES[format])
    return image


def overlay_of(
    services: Services,
    landscapes: Sequence[LandscapeRecord],
    labels: Sequence[str],
    query: FigureQuery,
    caption: Caption,
    format: Format,
    name: str,
) -> bytes:
    """A figure of several lines, the first one's: kept, or drawn and kept.

    Raises:
        Problem: as `figures.require_overlay`.
    """
    key = f"figures/{landscapes[0].id}/{hex_of(name)}.{format}"
    kept = services.store.get_cached(key)
    if kept is not None:
        return kept
    results = [arrays_of(services, landscape) for landscape in landscapes]
    figures.require_overlay(query, results)
    lines = [Named(label, result) for label, result in zip(labels, results, strict=True)]
    image = figures.drawn_overlay(lines, query, caption, format)
    services.store.put_cached(key, image, MEDIA_TYPES[format])
    return image


def partial_of(session: Session, job: JobRecord) -> Partial:
    """A job's finished tiles.

    Raises:
        Problem: `conflict` before the job is planned, `not_supported` for an ingest.
    """
    if job.kind == INGEST:
        raise Problem("not_supported", f"{job.id} is a model's ingest; it has no grid")
    if job.plan is None:
        raise Problem(
            "conflict",
            f"{job.id} has not been planned yet (it is {job.state}), so there is nothing to show; "
            "try again when its phase is `tile`",
            extra={"retryable": True},
            headers={"Retry-After": "2"},
        )
    found = [datasets.get(session, identity) for identity in job.spec["datasets"]]
    data = [d for d in found if d is not None]
    spec, plan = job_spec().validate_python(job.spec), read_plan(job.kind, job.plan)
    question = question_of(spec)
    known = checkpoints.for_ids(session, question.references(spec).listed)
    return Partial(
        job=job,
        question=question,
        plan=plan,
        names=unique_names([d.name for d in data]),
        samples=tuple(d.samples for d in data),
        tiles=tuple(tile.result for tile in units.tiles(session, job.id) if tile.result),
        attachments=question.attachments(plan, spec, known),
    )


def partial_tag(partial: Partial) -> str:
    """Names the state of a grid that is still being computed."""
    return digest_json([JSON_REVISION, partial.job.id, partial.job.state, list(partial.tiles)])


def assembled(services: Services, partial: Partial) -> GridResult:
    """The grid so far; cells that no finished tile covers are `pending`."""
    tiles = (
        Tile.from_npz(services.store.get_bytes(digest, max_bytes=MAX_DATA_BYTES))
        for digest in partial.tiles
    )
    laid_out = assemble(partial.plan, partial.names, partial.samples, tiles)
    result = partial.question.finished(partial.plan, laid_out)
    return replace(result, attachments={**partial.attachments, **result.attachments})


def partial_json(services: Services, partial: Partial) -> bytes:
    """The grid JSON so far, its measures included."""
    result = assembled(services, partial)
    body = grid_json(
        partial.job.kind,
        result,
        provenance=partial_provenance(partial),
        derived=measure(partial.question, result),
    )
    body["job"] = {"id": partial.job.id, "state": partial.job.state, "tiles": len(partial.tiles)}
    return encoded(body)


def partial_provenance(partial: Partial) -> dict[str, Any]:
    """What is known of the computation before it has finished."""
    plan = partial.plan
    return {
        "partial": True,
        "definitions": plan.definitions,
        "dtype": plan.precision.value,
        "device": plan.device,
        "buffers": plan.buffers.value,
        **(
            counted_provenance(partial.names, plan.counted)
            if plan.counted
            else {"samples": dict(zip(partial.names, partial.samples, strict=True))}
        ),
        "directions": {
            planned.axis: {"id": planned.id, "norm": planned.norm, "object": planned.object}
            for planned in plan.directions
        },
        "cosine": plan.cosine,
        "orthogonalised": plan.orthogonalised,
        **networks.provenance(plan, {}),
    }


def encoded(body: Mapping[str, Any]) -> bytes:
    """Compact JSON; NaN cannot occur in it."""
    return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
