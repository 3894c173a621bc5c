"""A gate as JUnit XML: a test case for each rule."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from lossatlas.cli.reports.numbers import bounds, with_error
from lossatlas.cli.reports.outcome import Outcome
from lossatlas.printable import shown
from lossatlas.values import RuleResult


def junit_xml(outcome: Outcome) -> bytes:
    """The document. Undecided rules are failures, or skipped where they count as passed."""
    check = outcome.check
    cases = [_case(rule, outcome) for rule in check.rules] if check is not None else []
    if check is None:
        cases = [_unjudged(outcome)]
    suite = Element("testsuite", name=_text(_title(outcome)), tests=str(len(cases)))
    for kind, attribute in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        suite.set(attribute, str(sum(case.find(kind) is not None for case in cases)))
    properties = SubElement(suite, "properties")
    for name, value in _properties(outcome):
        SubElement(properties, "property", name=name, value=_text(value))
    suite.extend(cases)
    root = Element("testsuites", name="lossatlas")
    for name in ("tests", "failures", "errors", "skipped"):
        root.set(name, str(suite.get(name)))
    root.append(suite)
    indent(root)
    document: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _case(rule: RuleResult, outcome: Outcome) -> Element:
    case = Element("testcase", classname=_text(f"lossatlas.{rule.dataset}"), name=_text(rule.text))
    if rule.verdict == "pass":
        return case
    reason = rule.reason or rule.verdict
    if rule.verdict == "inconclusive" and outcome.lenient:
        SubElement(case, "skipped", message=_text(f"inconclusive: {reason}"))
        return case
    failure = SubElement(case, "failure", type=_text(rule.verdict), message=_text(reason))
    lines = [f"value: {with_error(rule)}", f"limit: {bounds(rule)}"]
    if rule.baseline is not None:
        lines.append(f"baseline: {with_error(rule.baseline)}")
    failure.text = _text("\n".join([*lines, rule.definition]))
    return case


def _unjudged(outcome: Outcome) -> Element:
    case = Element("testcase", classname="lossatlas", name="gate")
    words = _text(str(outcome.error or outcome.word))
    if outcome.lenient:
        SubElement(case, "skipped", message=f"nothing was checked: {words}")
    else:
        error = SubElement(case, "error", type=_text(outcome.word), message=words)
        error.text = _text(outcome.resume or "")
    return case


def _title(outcome: Outcome) -> str:
    return "lossatlas gate" + ("" if outcome.check is None else f" {outcome.check.landscape}")


def _properties(outcome: Outcome) -> list[tuple[str, str]]:
    found = [("verdict", outcome.word)]
    check = outcome.check
    if check is not None:
        found += [("check", check.id), ("landscape", check.landscape), ("data", check.data)]
        if check.baseline is not None:
            found += [
                ("baseline", check.baseline.landscape),
                ("baseline_asked", check.baseline.asked),
                ("baseline_data", check.baseline.data),
            ]
    return found


def _text(text: str) -> str:
    # among what does not print is all that XML 1.0 cannot carry
    return shown(text, breaks=True)
