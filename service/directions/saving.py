"""Use cases of directions: save one, and hand out its tensors once a job has made them."""

from __future__ import annotations

from service.directions.schemas import AnyNewDirection
from service.domain.problems import Problem
from service.domain.questions.references import Named
from service.http.services import Services
from service.inputs import lookup, recording
from service.inputs.directions import SPEC, Spec, with_axis
from service.inputs.finding import find_direction
from service.inputs.lookup import Caller
from service.inputs.plain import plain_json
from service.inputs.recording import Origin
from service.inputs.signatures import sockets_of
from service.ledger.records import DirectionRecord


def save(services: Services, caller: Caller, body: AnyNewDirection) -> DirectionRecord:
    """Records a direction; the same one again is the one already there.

    Raises:
        Problem: `invalid_request` for what is not there, `forbidden`, `object_missing`,
            `object_invalid`, `direction_invalid`, `incompatible_inputs`, `targets_invalid`.
    """
    spec = _spec_of(body)
    with services.database.transaction() as session:
        named = Named(body.checkpoint, "/checkpoint")
        found = find_direction(session, caller, named, spec, "")
    checkpoint = found.checkpoints[body.checkpoint]
    model = found.model_of(checkpoint)
    lookup.may_submit(caller, model.project, "/checkpoint")
    origin = Origin(checkpoint, model, sockets_of(model))
    needs = recording.needs_of(found, origin, spec, "")
    spec = recording.judge(services.store, origin, spec, needs, at="", axis=None)
    with services.database.transaction() as session:
        return recording.record(session, caller, origin, spec)


def tensors_of(direction: DirectionRecord) -> str:
    """The digest of a direction's tensors.

    Raises:
        Problem: `conflict` while no job has made them.
    """
    if direction.object is None:
        raise Problem(
            "conflict",
            f"the tensors of {direction.id} do not exist yet: the first job that uses the "
            "direction makes them. Submit one, and ask again when it has started",
            extra={"retryable": True},
            headers={"Retry-After": "5"},
        )
    return direction.object


def _spec_of(body: AnyNewDirection) -> Spec:
    fields = plain_json(body)
    del fields["checkpoint"]
    spec: Spec = SPEC.validate_python(fields)
    return with_axis(spec, "x")
