"""Problems: every error that a caller can meet, as RFC 9457 data.

A `Problem` may be raised anywhere above the domain; the HTTP edge renders it and the ledger
stores it as a job's `error`. The catalogue fixes each code's status, title and whether trying
again unchanged can help. A code, once published, keeps its meaning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True)
class Kind:
    """What a problem code always means."""

    status: int
    title: str
    retryable: bool = False


@dataclass(frozen=True)
class FieldError:
    """One fault in the request: an RFC 6901 pointer into the body, and what to do about it."""

    pointer: str
    detail: str

    def to_json(self) -> dict[str, str]:
        return {"pointer": self.pointer, "detail": self.detail}


#: An answer lists so many faults at most, and counts the others.
MOST_TOLD: Final = 50
#: So many are looked at, to tell those that were meant from the others; beyond, only counted.
MOST_LOOKED_AT: Final = 1000


KINDS: Final[Mapping[str, Kind]] = {
    # the request
    "invalid_request": Kind(422, "The request is not valid"),
    "malformed_json": Kind(400, "The body is not JSON"),
    "body_too_large": Kind(413, "The body is too large"),
    "unsupported_media_type": Kind(415, "This media type is not accepted here"),
    "not_acceptable": Kind(406, "None of the accepted media types can be served"),
    "method_not_allowed": Kind(405, "This method is not allowed here"),
    "not_found": Kind(404, "Not found"),
    "precondition_failed": Kind(412, "The precondition does not hold"),
    "range_not_satisfiable": Kind(416, "The range lies outside the object"),
    "length_required": Kind(411, "The request needs a Content-Length"),
    "rate_limited": Kind(429, "Too many requests", retryable=True),
    "too_many_at_once": Kind(429, "Too many requests at once", retryable=True),
    "request_timeout": Kind(408, "The request did not come in time", retryable=True),
    "malformed_request": Kind(400, "The request is not HTTP as it is read here"),
    "head_too_large": Kind(431, "The request's head is too large"),
    # who asks
    "unauthenticated": Kind(401, "A valid API key is needed"),
    "forbidden": Kind(403, "This key may not do that"),
    "cross_site_refused": Kind(403, "The request did not come from a page of this service"),
    "token_refused": Kind(401, "The identity token is refused"),
    "identity_provider_unavailable": Kind(
        503, "The identity provider does not answer", retryable=True
    ),
    "sharing_off": Kind(409, "Sharing is off in this project"),
    # objects
    "digest_mismatch": Kind(422, "The bytes do not match their digest"),
    "quota_exceeded": Kind(429, "A quota is used up", retryable=True),
    "upload_incomplete": Kind(400, "The upload ended early", retryable=True),
    "object_missing": Kind(422, "A referenced object has not been uploaded"),
    "object_corrupt": Kind(500, "A stored object does not match its digest"),
    "object_invalid": Kind(422, "The object is not what this field needs"),
    # programs and weights
    "program_refused": Kind(422, "The program is refused"),
    "architecture_unknown": Kind(422, "No such architecture"),
    "weights_invalid": Kind(422, "The weights do not fit the program"),
    "dataset_invalid": Kind(422, "The data set is not usable"),
    "targets_invalid": Kind(422, "The targets do not fit the loss"),
    "direction_invalid": Kind(422, "The direction does not fit the model"),
    "model_refused": Kind(409, "The model was refused at ingest"),
    "model_not_ready": Kind(409, "The model is not ready yet", retryable=True),
    # jobs
    "grid_too_large": Kind(422, "The grid has too many cells"),
    "incompatible_inputs": Kind(422, "These inputs do not belong together"),
    "not_supported": Kind(422, "This combination is not supported"),
    "idempotency_key_reused": Kind(422, "The Idempotency-Key was used for another request"),
    "job_finished": Kind(409, "The job has already finished"),
    "job_not_retryable": Kind(409, "Only failed or cancelled jobs can be retried"),
    "conflict": Kind(409, "The change conflicts with the present state"),
    # checks
    "not_comparable": Kind(422, "These landscapes cannot be compared"),
    # what a job can fail of
    "poison": Kind(500, "The work killed its worker repeatedly"),
    "time_limit": Kind(500, "The unit exceeded its time limit"),
    "out_of_memory": Kind(500, "The unit ran out of memory"),
    "computation_failed": Kind(500, "The computation failed"),
    "forms_differ": Kind(500, "The differentiable form computes another loss than the program"),
    # the service
    "internal_error": Kind(500, "Something went wrong on our side", retryable=True),
    "unavailable": Kind(503, "The service is not available now", retryable=True),
}

_TYPE_ROOT: Final = "https://lossatlas.dev/problems/"


class Problem(Exception):
    """An error with a code of the catalogue, a sentence for this occurrence, and field pointers.

    Args:
        more_errors: how many faults there are beside `errors`.

    Raises:
        KeyError: when constructed with a code the catalogue lacks.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        pointer: str | None = None,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
        more_errors: int = 0,
    ) -> None:
        super().__init__(detail)
        self.more_errors = more_errors
        self.code = code
        self.kind = KINDS[code]
        self.detail = detail
        self.errors = (
            (FieldError(pointer, detail), *errors) if pointer is not None else tuple(errors)
        )
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})

    def to_json(self, request_id: str | None = None) -> dict[str, Any]:
        """The RFC 9457 members, ours included (`code errors request_id retryable`)."""
        left = self.more_errors + len(self.errors[MOST_TOLD:])
        body: dict[str, Any] = {
            "type": _TYPE_ROOT + self.code,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "code": self.code,
            "errors": [error.to_json() for error in self.errors[:MOST_TOLD]],
            **({"errors_left_out": left} if left > 0 else {}),
            "retryable": self.kind.retryable,
            **self.extra,
        }
        if request_id is not None:
            body["request_id"] = request_id
        return body

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Problem:
        """Rebuilds a stored problem (a job's `error`). Unknown codes become `internal_error`."""
        code = str(body.get("code", "internal_error"))
        return cls(
            code if code in KINDS else "internal_error",
            str(body.get("detail", "")),
            errors=[
                FieldError(str(e["pointer"]), str(e["detail"])) for e in body.get("errors", ())
            ],
        )
