"""The table of questions: which kinds there are, in the order in which they are listed.

A new kind is a folder beside this file and a line here. Owns the types and words that follow from
the table; nothing else in the service knows a kind by name.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from functools import cache, reduce
from typing import Annotated, Any, Final

from pydantic import Field, TypeAdapter

from service.domain.derived.rule import Reads, Rule
from service.domain.plan import JobPlan, Part
from service.domain.questions.curvature.question import Curvature
from service.domain.questions.interpolation.question import Interpolation
from service.domain.questions.line.question import Line
from service.domain.questions.question import Question
from service.domain.questions.spec import QuestionSpec
from service.domain.questions.surface.question import Surface
from service.domain.questions.trajectory.question import Trajectory

_TABLE: Final[dict[str, Question[Any]]] = {
    question.kind: question
    for question in (Interpolation(), Line(), Surface(), Trajectory(), Curvature())
}

#: The service's own kind of job, a model's binding and probe; nobody can submit it.
INGEST: Final = "ingest"


def register(question: Question[Any]) -> None:
    """Adds a kind, before anything has asked for the types that follow from the table.

    Raises:
        ValueError: there is one of this name.
    """
    if question.kind in _TABLE or question.kind == INGEST:
        raise ValueError(f"there is a question of kind {question.kind!r} already")
    _TABLE[question.kind] = question
    job_spec.cache_clear()


def kinds() -> tuple[str, ...]:
    """Every kind that can be asked for, in the order in which they are listed."""
    return tuple(_TABLE)


def questions() -> Iterator[Question[Any]]:
    """Every question, in the same order."""
    return iter(tuple(_TABLE.values()))


def question_of(spec: QuestionSpec) -> Question[Any]:
    """The question that a spec asks."""
    return _TABLE[spec.kind]


def question_named(kind: str) -> Question[Any] | None:
    """The question of this kind; None for one that this release does not know."""
    return _TABLE.get(kind)


@cache
def job_spec() -> TypeAdapter[QuestionSpec]:
    """Reads what callers submit and what is on record: the kinds' specs, told apart by `kind`."""
    specs: Any = reduce(operator.or_, (question.spec for question in questions()))
    return TypeAdapter(Annotated[specs, Field(discriminator="kind")])


def examples() -> Mapping[str, Mapping[str, Any]]:
    """Bodies for the API's documentation, by name."""
    return {name: body for question in questions() for name, body in question.examples.items()}


def read_plan(kind: str, body: Mapping[str, Any]) -> JobPlan:
    """A plan on record, with the part of its kind. Raises ValidationError for what is none."""
    return JobPlan.model_validate({**body, "part": read_part(kind, body)})


def read_part(kind: str, body: Mapping[str, Any]) -> Part | None:
    """The kind's own part of a plan on record; None where the kind has none."""
    question = _TABLE.get(kind)
    if question is None or question.part is None:
        return None
    # plans of the first releases have it under the kind's name
    stored = body.get("part") or body.get(kind)
    return None if stored is None else question.part.model_validate(stored)


def every_measure() -> Mapping[str, Rule]:
    """Every measure that some result has, by name, in rising order."""
    found = {rule.name: rule for question in questions() for rule in question.every_measure}
    return dict(sorted(found.items()))


def measure_reads(name: str) -> Reads | None:
    """What a measure is read from; None for one that this release does not know."""
    rule = every_measure().get(name)
    return None if rule is None else rule.reads
