"""Wire types of checks."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from service.domain.gates.judging import STANDARD_ERRORS, Verdict
from service.domain.gates.rules import AnyRule, Number
from service.domain.ids import CheckId, CheckpointId, LandscapeId, ModelId


class NewCheck(BaseModel):
    """A landscape to hold against rules."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "landscape": "lsc_01k5m8z3r7c2v9x4w6q1t8n0pd",
                    "baseline": "vision/prod",
                    "rules": ["sharpness <= baseline + 10%", {"measure": "center_loss", "max": 2}],
                }
            ]
        },
    )

    landscape: LandscapeId
    baseline: Annotated[str, Field(max_length=200)] | None = Field(
        default=None,
        description="What to compare with: a landscape's id; an alias (`vision/prod`); or the id "
        "of a model or a checkpoint, which stands for its latest comparable landscape.",
    )
    rules: Annotated[tuple[AnyRule, ...], Field(min_length=1, max_length=64)]
    standard_errors: Annotated[Number, Field(ge=0, le=10)] = Field(
        default=STANDARD_ERRORS,
        description="How many count as doubt, in which a rule is inconclusive; 0 judges the values "
        "alone.",
    )


class EstimateOut(BaseModel):
    """A measure's number and its error."""

    value: float | None = Field(description="Null where it is undefined.")
    stderr: float | None = Field(description="Null where it has none or it is not known.")
    low: float | None = Field(
        description="Whatever the samples, it lies between `low` and `high`: the value itself for "
        "most measures. Null: no bound on that side."
    )
    high: float | None


class LimitOut(BaseModel):
    """One limit of a rule."""

    limit: str = Field(examples=["max_increase_rel"])
    given: float
    text: str = Field(examples=["<= baseline + 10%"])
    bound: float | None = Field(description="The limit in the measure's units.")
    error: float | None = Field(
        description="Doubt about value minus bound: so many standard errors as were asked for."
    )
    margin: float | None = Field(description="How far inside the limit; negative: beyond it.")
    verdict: Verdict
    reason: str | None = None


class RuleOut(EstimateOut):
    """A rule with its numbers and its verdict."""

    rule: dict[str, Any] = Field(description="As it was given, text read into fields.")
    text: str = Field(examples=["sharpness <= baseline + 10%"])
    dataset: str = Field(description="The data set that was looked at.")
    verdict: Verdict
    reason: str | None = Field(description="Why it does not pass.")
    definition: str = Field(description="Of the measure.")
    baseline: EstimateOut | None = Field(description="Null where the rule has no need of one.")
    limits: list[LimitOut]


class BaselineOut(BaseModel):
    """What the landscape was compared with."""

    asked: str = Field(examples=["vision/prod"])
    alias_target: str | None = Field(description="What the alias named then.")
    alias_revision: int | None
    landscape: LandscapeId
    data: str = Field(description="Digest of its arrays.")
    model: ModelId
    origin: CheckpointId | None
    identical: bool = Field(
        description="These are the very numbers under check, so that nothing can have changed."
    )


class CheckOut(BaseModel):
    """A verdict on record, immutable."""

    id: CheckId
    project: str
    landscape: LandscapeId
    data: str = Field(description="Digest of the arrays that were judged.")
    verdict: Verdict = Field(
        description="`pass` if every rule passes; `fail` if one fails; else `inconclusive`."
    )
    baseline: BaselineOut | None
    standard_errors: float
    rules: list[RuleOut]
    links: dict[str, str]
    created_at: datetime
    created_by: str | None


class CheckPage(BaseModel):
    """Newest first."""

    items: list[CheckOut]
    next_cursor: str | None


def rule_out(body: dict[str, Any]) -> RuleOut:
    """A recorded rule as the wire shows it."""
    return RuleOut.model_validate(body)
