"""Use cases of checks: judge once, and keep what was said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.checks.baselines import Baseline, find_baseline
from service.checks.question import Question, question_of
from service.checks.schemas import NewCheck
from service.domain.digests import digest_json
from service.domain.gates.estimates import Estimate, estimate, tolerance_of
from service.domain.gates.judging import RuleVerdict, judge, worst
from service.domain.gates.rules import Rule
from service.domain.problems import FieldError, Problem
from service.http.idempotency import reused
from service.inputs import lookup
from service.inputs.lookup import Caller
from service.inputs.plain import plain_json
from service.ledger import checks
from service.ledger.records import CheckRecord, LandscapeRecord
from service.ledger.session import Session


@dataclass(frozen=True)
class Checked:
    """A check, and whether an earlier request with the same Idempotency-Key made it."""

    check: CheckRecord
    replayed: bool


def check(session: Session, caller: Caller, body: NewCheck, idempotency_key: str | None) -> Checked:
    """Holds a landscape against rules and records the verdict.

    Raises:
        Problem: `invalid_request` for what is not there, `forbidden`, `incompatible_inputs`,
            `not_comparable`, `idempotency_key_reused`.
    """
    request = digest_json(plain_json(body))
    replayed = _replayed(session, caller, idempotency_key, request)
    if replayed is not None:
        return replayed
    landscape = lookup.landscape_named(session, caller, body.landscape, "/landscape")
    lookup.may_submit(caller, landscape.project, "/landscape")
    question = question_of(session, landscape)
    baseline = (
        None
        if body.baseline is None
        else find_baseline(session, caller, body.baseline, landscape, question)
    )
    identical = baseline is not None and baseline.landscape.data == landscape.data
    judged = _judged(body, landscape, question, baseline, identical)
    made = checks.create(
        session,
        landscape,
        baseline=None if baseline is None else _about(baseline, identical),
        baseline_id=None if baseline is None else baseline.landscape.id,
        standard_errors=body.standard_errors,
        verdict=worst(verdict.verdict for _, verdict in judged),
        rules=[{**verdict.to_json(), "dataset": dataset} for dataset, verdict in judged],
        idempotency_key=idempotency_key,
        request_digest=request,
        created_by=caller.key.id,
    )
    if made is None:
        # the same key came in twice at once, and the other was first
        replayed = _replayed(session, caller, idempotency_key, request)
        assert replayed is not None  # noqa: S101 (rows of checks are never deleted)
        return replayed
    return Checked(made, replayed=False)


def _replayed(session: Session, caller: Caller, key: str | None, request: str) -> Checked | None:
    if key is None:
        return None
    earlier = checks.find_idempotent(session, key, caller.key.id)
    if earlier is None:
        return None
    if earlier.request_digest != request:
        raise reused(key, f"check {earlier.id}")
    return Checked(earlier, replayed=True)


def _judged(
    body: NewCheck,
    landscape: LandscapeRecord,
    question: Question,
    baseline: Baseline | None,
    identical: bool,
) -> list[tuple[str, RuleVerdict]]:
    """Each rule's data set and verdict. Raises Problem `invalid_request` for every faulty rule."""
    found: list[tuple[str, RuleVerdict]] = []
    faults: list[FieldError] = []
    for i, rule in enumerate(body.rules):
        at = f"/rules/{i}"
        if rule.needs_baseline and baseline is None:
            faults.append(FieldError("/baseline", f"the rule `{rule.text()}` needs one"))
            continue
        fault = _fault(rule, landscape, question, at)
        if fault is not None:
            faults.append(fault)
            continue
        index = 0 if rule.dataset is None else question.datasets.index(rule.dataset)
        name = question.datasets[index]
        value = _estimate(landscape, name, rule.measure)
        assert value is not None  # noqa: S101 (`_fault` has looked)
        other = None if baseline is None else _of_baseline(baseline, rule.measure, index)
        verdict = judge(
            rule, value, other, standard_errors=body.standard_errors, identical=identical
        )
        found.append((name, verdict))
    if faults:
        raise Problem(
            "invalid_request", f"{faults[0].pointer}: {faults[0].detail}", errors=_distinct(faults)
        )
    return found


def _fault(
    rule: Rule, landscape: LandscapeRecord, question: Question, at: str
) -> FieldError | None:
    """What a rule asks for that such a landscape never has.

    It is refused, not inconclusive: a gate that lets doubt pass must not let a slip pass.
    """
    if rule.dataset is not None and rule.dataset not in question.datasets:
        return FieldError(
            f"{at}/dataset",
            f"{landscape.id} has no data set {rule.dataset!r}; it has "
            f"{', '.join(question.datasets)}",
        )
    name = rule.dataset or question.datasets[0]
    measures = _measures(landscape, name)
    if estimate(rule.measure, measures) is None:
        there = sorted(key for key in measures if estimate(key, measures) is not None)
        return FieldError(
            f"{at}/measure",
            f"{landscape.id}, of kind {landscape.kind}, has no {rule.measure} of {name}; it has "
            f"{', '.join(there)}",
        )
    return None


def _measures(landscape: LandscapeRecord, dataset: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = landscape.derived.get("datasets", {}).get(dataset, {})
    return {name: body for name, body in found.items() if _is_measure(body)}


def _is_measure(body: Any) -> bool:
    return isinstance(body, Mapping) and "definition" in body


def _of_baseline(baseline: Baseline, measure: str, index: int) -> Estimate:
    """The measure of the data set in the same place, whose bytes are the same."""
    found = _estimate(baseline.landscape, baseline.question.datasets[index], measure)
    return found or Estimate(None, "", reason=f"{baseline.landscape.id} has no {measure}")


def _estimate(landscape: LandscapeRecord, dataset: str, measure: str) -> Estimate | None:
    tolerance = tolerance_of(landscape.derived)
    return estimate(measure, _measures(landscape, dataset), tolerance)


def _about(baseline: Baseline, identical: bool) -> dict[str, Any]:
    return {
        "asked": baseline.asked,
        "alias_target": None if baseline.alias is None else baseline.alias.target,
        "alias_revision": None if baseline.alias is None else baseline.alias.revision,
        "landscape": baseline.landscape.id,
        "data": baseline.landscape.data,
        "model": baseline.landscape.model_id,
        "origin": baseline.landscape.origin,
        "identical": identical,
    }


def _distinct(faults: Sequence[FieldError]) -> list[FieldError]:
    return list(dict.fromkeys(faults))
