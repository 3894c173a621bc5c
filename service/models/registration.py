"""Use cases of models: register a network after checking its structure."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from service.domain.problems import FieldError, Problem
from service.http.services import Services
from service.inputs import lookup
from service.inputs.lookup import Caller
from service.ledger import models
from service.ledger.records import ModelRecord
from service.models import architectures
from service.models.schemas import NewModel
from service.programs import ProgramRefused, check_in_child


def register(services: Services, caller: Caller, body: NewModel) -> ModelRecord:
    """Records a model and queues its ingest.

    The structural check runs between two transactions, so that no connection waits for it.

    Raises:
        Problem: `forbidden`; `invalid_request` unless exactly one of program and architecture is
            given; `object_missing`; `program_refused` with the reader's reason;
            `architecture_unknown` with the names there are.
    """
    lookup.may_submit(caller, body.project, "/project")
    signature: dict[str, Any] | None = None
    if body.architecture is not None and body.program is None:
        _require_known(body.architecture.name)
    elif body.program is not None and body.architecture is None:
        with services.database.transaction() as session:
            lookup.uploaded(session, caller, body.program, "/program")
        signature = _checked(services, body.program)
    else:
        raise Problem(
            "invalid_request",
            "give exactly one of `program` and `architecture`",
            pointer="/program",
        )
    with services.database.transaction() as session:
        return models.create(
            session,
            project=body.project,
            name=body.name,
            program=body.program,
            architecture=None
            if body.architecture is None
            else body.architecture.model_dump(mode="json"),
            loss=body.loss.value,
            loss_options=body.loss_options.asked(),
            tags=sorted(body.tags),
            metadata=body.metadata,
            signature=signature,
            created_by=caller.key.id,
        )


def _require_known(name: str) -> None:
    known = architectures.known()
    if name not in known:
        have = f"there are {', '.join(known)}" if known else "none is installed here"
        raise Problem(
            "architecture_unknown",
            f"no architecture is named {name!r}; {have}. Or upload a program, made by "
            "lossatlas.export_model",
            pointer="/architecture/name",
        )


def _checked(services: Services, digest: str) -> dict[str, Any]:
    """The signature of an uploaded archive, read in a short-lived child."""
    with tempfile.TemporaryDirectory(prefix="lossatlas-check-") as folder:
        path = Path(folder) / "program.pt2"
        services.store.fetch_to(digest, path)
        try:
            return check_in_child(path).to_json()
        except ProgramRefused as refusal:
            inside = f" (at {refusal.pointer} of the archive)" if refusal.pointer else ""
            raise Problem(
                "program_refused",
                f"{refusal.detail}{inside}",
                errors=[FieldError("/program", refusal.detail)],
                extra={"reason": refusal.to_json()},
            ) from None
