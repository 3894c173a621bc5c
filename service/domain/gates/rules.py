"""A rule of a gate: a measure, and limits that it must keep; as JSON or as a line of text.

    sharpness <= 3
    sharpness <= baseline + 10%
    center_accuracy[test] >= baseline - 0.01

Owns the two forms and that they mean the same.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    field_validator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from service.domain.ids import DisplayName
from service.domain.questions.table import every_measure

#: A finite number, and no text that looks like one.
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]

#: Limits against a baseline's value.
RELATIVE: Final = (
    "max_increase_rel",
    "max_increase_abs",
    "max_decrease_rel",
    "max_decrease_abs",
)
#: Every limit, in the order in which they are judged and shown.
LIMITS: Final = ("min", "max", *RELATIVE)

_HOW: Final = (
    "write a measure, <= or >=, and a number or baseline with a change: `sharpness <= 3`, "
    "`sharpness <= baseline + 10%`, `center_accuracy[test] >= baseline - 0.01`"
)
_NUMBER: Final = r"[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?"
_TEXT: Final = re.compile(
    r"\s*(?P<measure>[A-Za-z_]+)\s*(?:\[(?P<dataset>[^\[\]]+)\])?\s*(?P<side><=|>=|≤|≥)\s*"
    rf"(?:(?P<limit>[+-]?(?:{_NUMBER}))"
    rf"|baseline(?:\s*(?P<sign>[+-])\s*(?P<change>{_NUMBER})\s*(?P<percent>%)?)?)\s*"
)


class Rule(BaseModel):
    """A measure of one data set, and the limits it must keep; all of them are judged."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"examples": [{"measure": "sharpness", "max_increase_rel": 0.1}]},
    )

    measure: str = Field(description="One of the landscape's derived measures, by name.")
    dataset: DisplayName | None = Field(
        default=None, description="By its name in the landscape; left out, the first."
    )
    min: Number | None = None
    max: Number | None = None
    max_increase_rel: Number | None = Field(
        default=None,
        description="At most the baseline's value b plus this share of |b|; 0.1 is ten per cent. "
        "Negative: it must fall by so much.",
    )
    max_increase_abs: Number | None = None
    max_decrease_rel: Number | None = Field(
        default=None, description="At least b minus this share of |b|."
    )
    max_decrease_abs: Number | None = None

    @field_validator("measure")
    @classmethod
    def _known(cls, name: str) -> str:
        known = every_measure()
        if name not in known:
            raise ValueError(f"there is no measure {name[:40]!r}; there are {', '.join(known)}")
        return name

    @model_validator(mode="after")
    def _limited(self) -> Self:
        if not self.limits:
            raise ValueError(f"a rule needs a limit: one of {', '.join(LIMITS)}")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("nothing can keep this rule: min is above max")
        return self

    @property
    def limits(self) -> dict[str, float]:
        """The limits that are given, by name."""
        return {name: value for name in LIMITS if (value := getattr(self, name)) is not None}

    @property
    def needs_baseline(self) -> bool:
        """Whether it can be judged against a baseline only."""
        return any(name in RELATIVE for name in self.limits)

    def to_json(self) -> dict[str, Any]:
        """The fields that are given."""
        return self.model_dump(exclude_none=True)

    def text(self) -> str:
        """The rule in words; reads back as the same rule where it has one limit."""
        where = "" if self.dataset is None else f"[{self.dataset}]"
        parts = (limit_text(name, given) for name, given in self.limits.items())
        return f"{self.measure}{where} " + " and ".join(parts)


def limit_text(name: str, given: float) -> str:
    """`<= 3`, `<= baseline + 10%`, `>= baseline`."""
    side = "<=" if name == "max" or "increase" in name else ">="
    if name in ("min", "max"):
        return f"{side} {given:.12g}"
    change = given if "increase" in name else -given
    if change == 0:
        return f"{side} baseline"
    sign = "+" if change > 0 else "-"
    size = f"{abs(change) * 100:.12g}%" if name.endswith("_rel") else f"{abs(change):.12g}"
    return f"{side} baseline {sign} {size}"


def parsed(text: str) -> dict[str, Any]:
    """The fields of a rule that is given as text. Raises ValueError saying how to write one."""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise ValueError(f"cannot read {text[:80]!r}; {_HOW}")
    rule: dict[str, Any] = {"measure": found["measure"]}
    if found["dataset"] is not None:
        rule["dataset"] = found["dataset"]
    below = found["side"] in ("<=", "≤")
    if found["limit"] is not None:
        rule["max" if below else "min"] = float(found["limit"])
        return rule
    change = float(found["change"] or 0)
    if found["percent"]:
        change /= 100
    if (found["sign"] == "-") is below:
        # the other way than a limit usually goes: it must fall, or rise, by so much
        change = -change
    if found["change"] is None:
        change = 0.0
    kind = "rel" if found["percent"] or found["change"] is None else "abs"
    rule[f"max_{'increase' if below else 'decrease'}_{kind}"] = change
    return rule


class _OrText:
    """Says in the OpenAPI document that a rule may be a line of text."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        line = {"type": "string", "examples": ["sharpness <= baseline + 10%"]}
        return {"anyOf": [handler(schema), line]}


def _read(value: Any) -> Any:
    return parsed(value) if isinstance(value, str) else value


#: A rule in either form.
AnyRule = Annotated[Rule, BeforeValidator(_read), _OrText()]
