"""Reports of a gate: XML and Markdown that nothing in them can break; surfaces in characters."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from lossatlas.cli.reports.junit import junit_xml
from lossatlas.cli.reports.markdown import markdown_text
from lossatlas.cli.reports.numbers import with_error
from lossatlas.cli.reports.outcome import Outcome, Policies, Policy
from lossatlas.cli.reports.textmap import text_map
from lossatlas.errors import JobCancelled, LossatlasError, ServiceUnreachable, WaitTimeout
from lossatlas.grids import Grid
from lossatlas.values import Check, Estimate

HOSTILE = "x]]></testcase>|`*_<script>\n\x08&"


def check(verdict: str, **rule: Any) -> Check:
    body = {
        "id": "chk_1",
        "project": "p",
        "landscape": "lsc_1",
        "data": "sha256:0",
        "verdict": verdict,
        "standard_errors": 2,
        "created_at": "2026-01-01T00:00:00Z",
        "rules": [
            {
                "rule": {"measure": "sharpness", "max": 3},
                "text": "sharpness <= 3",
                "dataset": HOSTILE,
                "verdict": verdict,
                "reason": None if verdict == "pass" else HOSTILE,
                "value": 2.5,
                "stderr": 0.25,
                "low": 2.5,
                "high": 2.5,
                "definition": HOSTILE,
                "limits": [
                    {
                        "limit": "max",
                        "given": 3,
                        "text": "<= 3",
                        "bound": 3,
                        "verdict": verdict,
                    }
                ],
                **rule,
            }
        ],
    }
    return Check.model_validate(body)


LENIENT = Policies(Policy.PASS, Policy.PASS)


@pytest.mark.parametrize(
    ("verdict", "policies", "found", "code"),
    [
        ("pass", Policies(), None, 0),
        ("fail", Policies(), "failure", 1),
        ("fail", LENIENT, "failure", 1),
        ("inconclusive", Policies(), "failure", 1),
        ("inconclusive", LENIENT, "skipped", 0),
    ],
)
def test_verdicts(verdict: str, policies: Policies, found: str | None, code: int) -> None:
    outcome = Outcome(policies, check(verdict))
    assert outcome.exit_code == code
    root = ElementTree.fromstring(junit_xml(outcome))  # noqa: S314 - our own
    (case,) = root.iter("testcase")
    assert case.get("name") == "sharpness <= 3"
    assert [child.tag for child in case] == ([] if found is None else [found])
    for kind, plural in (("failure", "failures"), ("skipped", "skipped"), ("error", "errors")):
        assert root.get(plural) == str(int(kind == found))


@pytest.mark.parametrize(
    ("error", "word", "code", "lenient"),
    [
        (ServiceUnreachable(HOSTILE), "outage", 5, 0),
        (WaitTimeout("job_1", HOSTILE), "timed_out", 4, 4),
        (JobCancelled("job_1"), "job_failed", 3, 3),
        (LossatlasError(HOSTILE), "error", 2, 2),
    ],
)
def test_errors(error: LossatlasError, word: str, code: int, lenient: int) -> None:
    outcome = Outcome(Policies(), error=error, resume="lossatlas gate job_1")
    assert (outcome.word, outcome.exit_code) == (word, code)
    assert Outcome(LENIENT, error=error).exit_code == lenient
    root = ElementTree.fromstring(junit_xml(outcome))  # noqa: S314 - our own
    assert [child.get("type") for child in root.iter("error")] == [word]
    text = markdown_text(outcome, image=None, characters="")
    assert "```console\n$ lossatlas gate job_1\n```" in text


def test_markdown_holds_no_html_and_no_other_cells() -> None:
    text = markdown_text(Outcome(Policies(), check("fail")), image="a b.png", characters="o")
    assert "<script>" not in text
    row = next(line for line in text.splitlines() if "sharpness &lt;= 3" in line)
    assert row.replace("\\|", "").count("|") == 8
    assert "![Loss surface](a%20b.png)" in text
    assert "```text\no\n```" in text
    assert "2.5 ± 0.25" in row


def test_numbers_with_their_errors() -> None:
    for fields, text in (
        ({"value": 2.0, "low": 2.0, "high": 2.0}, "2"),
        ({"value": 2.0, "low": 2.0}, "≥ 2"),
        ({"value": 2.0, "high": 2.0}, "≤ 2"),
        ({"value": 2.0, "low": 1.0, "high": 3.0}, "1 … 3"),
        ({"value": 2.0, "stderr": 0.1, "low": 2.0, "high": 2.0}, "2 ± 0.1"),
        ({}, "undefined"),
    ):
        assert with_error(Estimate.model_validate(fields)) == text
    assert with_error(None) == ""


def grid(loss: Any) -> Grid:
    loss = np.asarray(loss, dtype=np.float64)
    finite = np.isfinite(loss)
    words = np.where(finite, "ok", np.where(np.isnan(loss), "nan", "posinf"))
    values = np.where(finite, loss, None).tolist()
    stderr = np.where(finite, 0.0, None).tolist()
    body: dict[str, Any] = {
        "x": np.linspace(-1, 1, loss.shape[-1]).tolist(),
        "status": words.tolist(),
        "datasets": {
            "d": {
                "loss": {"values": values, "stderr": stderr},
                "samples": 1,
                "status": words.tolist(),
            }
        },
    }
    if loss.ndim == 2:
        body["y"] = np.linspace(-1, 1, loss.shape[0]).tolist()
    return Grid.from_json(body)


def test_a_surface_in_characters() -> None:
    x, y = np.meshgrid(np.linspace(-1, 1, 5), np.linspace(-1, 1, 3))
    loss = 1 + x**2 + 4 * y**2
    loss[0, 0], loss[2, 4] = np.nan, np.inf
    drawn = text_map(grid(loss)).splitlines()
    # the highest y comes first
    assert drawn[0][-1] == "^"
    assert drawn[2][0] == "?"
    assert drawn[1][2] == "o"
    assert drawn[0][0] == "@"
    assert drawn[3] == "loss from 1 (blank) to 6 (@)"


def test_large_surfaces_are_thinned_out_and_keep_their_middle() -> None:
    x, y = np.meshgrid(np.linspace(-1, 1, 401), np.linspace(-1, 1, 201))
    drawn = text_map(grid(np.exp(5 * (x**2 + y**2)))).splitlines()
    assert "logarithmic" in drawn[-1]
    assert len(drawn) <= 22
    assert max(map(len, drawn[:-1])) <= 41
    (row,) = [line for line in drawn[:-1] if "o" in line]
    middle = row.index("o")
    assert row[:middle] == row[middle + 1 :][::-1]


def test_what_is_no_surface() -> None:
    line = text_map(grid([3.0, 2.0, 1.0, np.inf, 3.0])).splitlines()
    assert line[-1] == "loss from 1 to 3"
    assert sum(row.count("*") for row in line[:-1]) == 4
    assert text_map(grid([3.0])) == ""
    assert "?" in text_map(grid(np.full((3, 3), np.nan)))
    flat = text_map(grid(np.ones((3, 3)))).splitlines()
    assert flat[0] == "   "
