"""What a landscape answers, as terms that can be held against another's. Reads the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from service.domain.gates.comparing import terms
from service.domain.losses import LossOptions
from service.domain.questions.table import job_spec
from service.domain.results import unique_names
from service.inputs.directions import SPEC, spec_json
from service.inputs.plain import plain_json
from service.ledger import checkpoints, datasets, models
from service.ledger.records import LandscapeRecord
from service.ledger.session import Session


@dataclass(frozen=True)
class Question:
    """A landscape's terms, and the names under which it shows its data sets, in order."""

    terms: Mapping[str, Any]
    datasets: tuple[str, ...]


def question_of(session: Session, landscape: LandscapeRecord) -> Question:
    """What this landscape answers."""
    directions = {
        axis: _direction(planned["spec"])
        for axis, planned in (landscape.provenance.get("directions") or {}).items()
        if "spec" in planned and not axis.startswith("along")
    }
    named = [
        *_named(directions, "target"),
        *(c for made in directions.values() for c in made.get("checkpoints") or ()),
    ]
    ids = landscape.spec["datasets"]
    known = datasets.for_ids(session, [*ids, *_named(directions, "dataset")])
    model = models.get(session, landscape.model_id)
    found = terms(
        kind=landscape.kind,
        spec=_filled(landscape.spec),
        loss="" if model is None else model.loss,
        loss_options=plain_json(
            LossOptions.model_validate({} if model is None else model.loss_options)
        ),
        definitions=landscape.provenance.get("definitions"),
        datasets=[known[identity].object for identity in ids],
        directions=directions,
        weights={c.id: c.weights for c in checkpoints.for_ids(session, named).values()},
        objects={identity: dataset.object for identity, dataset in known.items()},
    )
    return Question(found, tuple(unique_names([known[identity].name for identity in ids])))


def _filled(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """The spec with every default said, so that older ones compare with newer ones."""
    try:
        filled: Mapping[str, Any] = plain_json(job_spec().validate_python(dict(spec)))
    except ValidationError:
        return spec
    return filled


def _direction(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        return spec_json(SPEC.validate_python(dict(spec)))
    except ValidationError:
        return spec


def _named(directions: Mapping[str, Mapping[str, Any]], field: str) -> Sequence[str]:
    return [made[field] for made in directions.values() if isinstance(made.get(field), str)]
