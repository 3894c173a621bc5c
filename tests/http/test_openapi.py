"""The OpenAPI document: committed as generated, and complete."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from lossatlas.grids import Grid
from pydantic import TypeAdapter

from service.domain.problems import KINDS
from service.domain.questions.table import examples, job_spec
from service.http.app import document
from service.http.authentication import is_public
from service.http.documentation import examples_of
from service.landscapes.grid import EXAMPLE
from service.main import ROUTERS, openapi_text
from tests.features.caller import Caller

COMMITTED = Path(__file__).parents[2] / "openapi" / "v1.json"
DOCUMENT: dict[str, Any] = document(ROUTERS)
OPERATIONS = [
    pytest.param(path, operation, id=operation["operationId"])
    for path, operations in DOCUMENT["paths"].items()
    for operation in operations.values()
]


def test_what_is_committed_is_what_is_served(nobody: Caller) -> None:
    assert COMMITTED.read_text() == openapi_text(), "run make openapi and commit the result"
    assert nobody.get("/openapi.json").json() == DOCUMENT


@pytest.mark.parametrize(("path", "operation"), OPERATIONS)
def test_every_operation_says_what_it_does(path: str, operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert operation["description"]
    assert len(operation["tags"]) == 1
    refusals = {
        status: answer for status, answer in operation["responses"].items() if status >= "400"
    }
    if not is_public(path):
        assert {"401", "429", "500", "503"} <= set(refusals)
    if operation.get("requestBody") or operation.get("parameters"):
        assert "422" in refusals
    for answer in refusals.values():
        content = answer["content"]["application/problem+json"]
        assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
        for example in content["examples"].values():
            assert example["$ref"].rpartition("/")[2] in KINDS


@pytest.mark.parametrize(("path", "operation"), OPERATIONS)
def test_every_body_has_an_example(path: str, operation: dict[str, Any]) -> None:
    content = operation.get("requestBody", {}).get("content", {})
    for media_type, body in content.items():
        if media_type != "application/json":
            continue
        name = body["schema"].get("$ref", "").rpartition("/")[2]
        named = DOCUMENT["components"]["schemas"].get(name, {})
        assert body.get("examples") or named.get("examples"), path


def test_examples_are_valid() -> None:
    adapter: TypeAdapter[Any] = job_spec()
    for example in examples().values():
        adapter.validate_python(example["value"])


@pytest.mark.parametrize(("path", "operation"), OPERATIONS)
def test_every_json_has_a_valid_example(path: str, operation: dict[str, Any]) -> None:
    """What is sent and what comes back, against the schema that stands beside it."""
    answers = [answer for status, answer in operation["responses"].items() if status < "300"]
    for part in (operation.get("requestBody", {}), *answers):
        content = part.get("content", {}).get("application/json")
        if content is None:
            continue
        examples = examples_of(content, DOCUMENT["components"]["schemas"])
        assert examples, path
        schema = {**content.get("schema", {}), "components": DOCUMENT["components"]}
        validator = Draft202012Validator(schema)
        for example in examples:
            assert [problem.message for problem in validator.iter_errors(example)] == []


def test_the_grid_shown_is_one_that_clients_read() -> None:
    grid = Grid.from_json(EXAMPLE)
    values = grid.dataset("test")
    assert values.loss.shape == values.status.shape == (len(grid.y), len(grid.x))  # type: ignore[arg-type]
    assert np.isnan(values.loss[1, 0])


def test_the_page_shows_what_to_send_and_what_comes_back(nobody: Caller) -> None:
    page = nobody.get("/docs").text
    assert "&quot;kind&quot;: &quot;surface&quot;" in page
    assert "&quot;verdict&quot;: &quot;pass&quot;" in page
    # examples can hold text of any kind, and none of it is markup
    assert page.count("<pre><code>") == page.count("</code></pre>")


def test_references_lead_somewhere() -> None:
    def walk(value: Any) -> None:
        if isinstance(value, dict):
            target = value.get("$ref")
            if isinstance(target, str):
                node: Any = DOCUMENT
                for part in target.removeprefix("#/").split("/"):
                    node = node[part]
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    walk(DOCUMENT)
    ids = [o.values[1]["operationId"] for o in OPERATIONS]  # type: ignore[index]
    assert len(set(ids)) == len(ids)


def test_the_page_needs_no_other_host(nobody: Caller) -> None:
    page = nobody.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<script" not in page.text
    assert "//" not in page.text.replace("https://arxiv.org", "").partition("<main>")[0]
    for path in DOCUMENT["paths"]:
        assert path in page.text


def test_it_is_the_same_in_every_process() -> None:
    assert json.loads(openapi_text()) == DOCUMENT
