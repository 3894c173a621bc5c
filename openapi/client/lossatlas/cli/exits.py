"""Exit codes: a contract for scripts and CI."""

from __future__ import annotations

from typing import Final

from lossatlas.errors import (
    AuthenticationError,
    ForbiddenError,
    JobCancelled,
    JobFailed,
    LossatlasError,
    ProblemError,
    RateLimitedError,
    ServiceUnreachable,
    WaitTimeout,
)

DONE: Final = 0
GATE_FAILED: Final = 1
USAGE: Final = 2
JOB_FAILED: Final = 3
TIMED_OUT: Final = 4
UNREACHABLE: Final = 5
#: A fault of this package.
FAULT: Final = 70
INTERRUPTED: Final = 130


def code_of(error: LossatlasError) -> int:
    """The exit code of an error."""
    if isinstance(error, JobFailed | JobCancelled):
        return JOB_FAILED
    if isinstance(error, WaitTimeout):
        return TIMED_OUT
    if isinstance(error, ServiceUnreachable | RateLimitedError):
        return UNREACHABLE
    if isinstance(error, AuthenticationError | ForbiddenError):
        return USAGE
    if isinstance(error, ProblemError) and error.status >= 500:
        return UNREACHABLE
    return USAGE
