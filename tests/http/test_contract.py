"""The committed contract against a running service: requests made from its schemas, each answer
held against what it says of status, media type and body.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.features.caller import Caller
from tests.support.serving import Serving

CONTRACT: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "openapi" / "v1.json").read_text()
)
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)
#: Requests of each operation, of which there are some seventy.
EXAMPLES = 6

schema = schemathesis.openapi.from_dict(CONTRACT)


@pytest.fixture(scope="module")
def asked(running: Serving, ids: dict[str, str]) -> tuple[Serving, str, dict[str, str]]:
    """A key that may do everything, and things to do it with; not that key's own."""
    _, secret = running.key("admin", name="contract")
    spare, _ = running.key("reader", name="spare")
    return running, secret, {**ids, "key_id": spare.id}


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_operation_answers_as_the_contract_says(
    case: schemathesis.Case, asked: tuple[Serving, str, dict[str, str]]
) -> None:
    running, secret, ids = asked
    # half of the requests are about something that is there
    if random.Random(repr(case.body)).random() < 0.5 or case.method != "GET":
        case.path_parameters = {
            name: ids.get(name, value) for name, value in (case.path_parameters or {}).items()
        }
    if case.query and "wait" in case.query:
        case.query["wait"] = 0
    headers = {"Authorization": f"Bearer {secret}", "Prefer": "wait=0"}
    answer = case.call(base_url=running.url, headers=headers)
    case.validate_response(answer, checks=list(CHECKS))


def test_the_requests_reached_what_is_there(admin: Caller, ids: dict[str, str]) -> None:
    """The seeds are of the contract's own parameters, so that half of the requests find them."""
    named = {
        parameter["name"]
        for operations in CONTRACT["paths"].values()
        for operation in operations.values()
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "path"
    }
    assert named <= set(ids)
    assert admin.get(f"/v1/models/{ids['model_id']}").status_code == 200
