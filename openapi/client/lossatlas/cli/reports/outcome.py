"""What a gate came to: a verdict, or what stood in the way of one; and its exit code."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lossatlas.cli import exits
from lossatlas.errors import LossatlasError
from lossatlas.landscapes import Landscape
from lossatlas.values import Check


class Policy(StrEnum):
    """What becomes of a gate that could not decide."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"


@dataclass(frozen=True)
class Policies:
    """What an inconclusive verdict and an outage of the service count as."""

    inconclusive: Policy = Policy.FAIL
    outage: Policy = Policy.FAIL


@dataclass(frozen=True)
class Outcome:
    """A check, or the error instead of one.

    Attributes:
        resume: the command that goes on where this one stopped, where there is one.
    """

    policies: Policies
    check: Check | None = None
    landscape: Landscape | None = None
    error: LossatlasError | None = None
    resume: str | None = None

    @property
    def word(self) -> str:
        """pass, fail, inconclusive; or job_failed, timed_out, outage, error."""
        if self.check is not None:
            return self.check.verdict
        if self.error is None:
            return "error"
        words = {
            exits.JOB_FAILED: "job_failed",
            exits.TIMED_OUT: "timed_out",
            exits.UNREACHABLE: "outage",
        }
        return words.get(exits.code_of(self.error), "error")

    @property
    def lenient(self) -> bool:
        """Whether nothing was decided and this counts as passed all the same."""
        policy = {
            "inconclusive": self.policies.inconclusive,
            "outage": self.policies.outage,
        }.get(self.word)
        return policy is Policy.PASS

    @property
    def exit_code(self) -> int:
        """0 passed; 1 failed or undecided; else the error's."""
        if self.lenient or self.word == "pass":
            return exits.DONE
        if self.check is not None:
            return exits.GATE_FAILED
        return exits.FAULT if self.error is None else exits.code_of(self.error)
