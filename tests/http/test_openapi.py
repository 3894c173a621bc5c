"""The OpenAPI document: committed as generated, and complete."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from service.domain.jobs import JOB_SPEC
from service.domain.problems import KINDS
from service.http.app import document
from service.http.authentication import is_public
from service.jobs.schemas import EXAMPLES
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
    adapter: TypeAdapter[Any] = JOB_SPEC
    for example in EXAMPLES.values():
        adapter.validate_python(example["value"])


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
