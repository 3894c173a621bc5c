"""Everything that can go wrong, as exceptions by what a caller can do about it.

A problem that the service answered with keeps its code, its pointers and its request id. Nothing
here prints or retries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final


class LossatlasError(Exception):
    """Base of every exception of this package."""


class ConfigurationError(LossatlasError):
    """No service or no key is known, or what names them cannot be read."""


class ExportError(LossatlasError):
    """The module cannot be written as a program; the message says what stands in the way."""


class InputError(LossatlasError):
    """Tensors or arguments that cannot be sent as they are."""


class ServiceUnreachable(LossatlasError):
    """No answer, or none that can be understood, for as long as was allowed."""


class WaitTimeout(LossatlasError):
    """The job is not finished yet; it goes on. `job` is its id."""

    def __init__(self, job: str, detail: str) -> None:
        super().__init__(detail)
        self.job = job


@dataclass(frozen=True)
class FieldError:
    """One fault: a JSON pointer into the request, and what is wrong there."""

    pointer: str
    detail: str


class ProblemError(LossatlasError):
    """The service refused (RFC 9457).

    Attributes:
        code: stable name of the problem, `weights_invalid` for example.
        status: of the HTTP answer.
        errors: which fields, with the fix.
        request_id: to quote when asking the operators.
        retryable: whether the same request can succeed later.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        status: int = 0,
        title: str = "",
        errors: Sequence[FieldError] = (),
        request_id: str | None = None,
        retryable: bool = False,
        body: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail or title or code)
        self.code = code
        self.detail = detail
        self.status = status
        self.title = title
        self.errors = tuple(errors)
        self.request_id = request_id
        self.retryable = retryable
        self.body = dict(body or {})


class AuthenticationError(ProblemError):
    """The key is missing, unknown, expired or revoked."""


class ForbiddenError(ProblemError):
    """The key may not do that."""


class NotFoundError(ProblemError):
    """There is no such thing, or the key may not know of it."""


class InvalidRequestError(ProblemError):
    """The request itself must change; `errors` says where."""


class ProgramRefusedError(InvalidRequestError):
    """The program breaks a rule of the reader; `body["reason"]` names it."""


class WeightsInvalidError(InvalidRequestError):
    """The weights do not fit the program, or are not all numbers."""


class DatasetInvalidError(InvalidRequestError):
    """The data set or its targets cannot be used."""


class IncompatibleInputsError(InvalidRequestError):
    """Model, checkpoint, data and directions do not belong together."""


class NotComparableError(InvalidRequestError):
    """Two landscapes answer different questions, or the same one under different definitions."""

    @property
    def differences(self) -> Sequence[Mapping[str, Any]]:
        """Each with `field`, and its value of the `landscape` and of the `baseline`."""
        found = self.body.get("differences")
        return found if isinstance(found, list) else []


class ConflictError(ProblemError):
    """Not in the present state."""


class PreconditionFailedError(ConflictError):
    """It is not as it was expected to be: somebody else was faster."""


class RateLimitedError(ProblemError):
    """Too many requests, still so after waiting as told."""


class UnavailableError(ProblemError):
    """The service, or a server behind it, is away for now."""


class ServerError(ProblemError):
    """A fault on the service's side."""


class JobFailed(ProblemError):
    """The job ended without a result. `job` is its id."""

    job: str = ""


class JobCancelled(LossatlasError):
    """The job was cancelled; `retry` goes on from what was finished. `job` is its id."""

    def __init__(self, job: str) -> None:
        super().__init__(f"{job} was cancelled; retry it to go on from what is finished")
        self.job = job


_BY_CODE: Final[Mapping[str, type[ProblemError]]] = {
    "unauthenticated": AuthenticationError,
    "forbidden": ForbiddenError,
    "not_found": NotFoundError,
    "program_refused": ProgramRefusedError,
    "model_refused": ProgramRefusedError,
    "architecture_unknown": ProgramRefusedError,
    "weights_invalid": WeightsInvalidError,
    "dataset_invalid": DatasetInvalidError,
    "targets_invalid": DatasetInvalidError,
    "incompatible_inputs": IncompatibleInputsError,
    "direction_invalid": IncompatibleInputsError,
    "not_comparable": NotComparableError,
    "precondition_failed": PreconditionFailedError,
    "rate_limited": RateLimitedError,
    "unavailable": UnavailableError,
}


def from_problem(body: Mapping[str, Any], status: int) -> ProblemError:
    """The exception of a problem document; unknown codes go by their status."""
    code = str(body.get("code") or "unknown")
    return _build(_BY_CODE.get(code) or _by_status(status), code, body, status)


def job_failed(job: str, body: Mapping[str, Any]) -> JobFailed:
    """The exception of a job's recorded error."""
    code = str(body.get("code") or "computation_failed")
    failed = _build(JobFailed, code, body, int(body.get("status") or 500))
    assert isinstance(failed, JobFailed)  # noqa: S101 - for the type checker
    failed.job = job
    return failed


def _by_status(status: int) -> type[ProblemError]:
    if status == 401:
        return AuthenticationError
    if status == 403:
        return ForbiddenError
    if status == 404:
        return NotFoundError
    if status == 409:
        return ConflictError
    if status == 429:
        return RateLimitedError
    if status in (502, 503, 504):
        return UnavailableError
    return ServerError if status >= 500 else InvalidRequestError


def _build(
    kind: type[ProblemError], code: str, body: Mapping[str, Any], status: int
) -> ProblemError:
    errors = body.get("errors")
    return kind(
        code,
        str(body.get("detail") or ""),
        status=status,
        title=str(body.get("title") or ""),
        errors=[
            FieldError(str(item.get("pointer", "")), str(item.get("detail", "")))
            for item in (errors if isinstance(errors, list) else [])
            if isinstance(item, Mapping)
        ],
        request_id=None if body.get("request_id") is None else str(body["request_id"]),
        retryable=bool(body.get("retryable")),
        body=body,
    )
