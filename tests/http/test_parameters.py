"""What a route does not take is refused, on every route, by name: nothing is passed over."""

from __future__ import annotations

import inspect
from urllib.parse import urlencode

import pytest
from lossatlas import Client

from service.domain.problems import MOST_TOLD
from service.http.app import document
from service.main import ROUTERS
from tests.features.caller import Caller, problem
from tests.support.addresses import Address, addresses
from tests.support.serving import Serving

#: Whoever knows the identity provider chooses its parameters.
OPEN = "/sign-in/oidc/callback"
#: Lists, as methods of the client; these further ones are its own.
LISTS = ("models", "datasets", "jobs", "landscapes", "checks", "aliases", "shares")
PAGED = {"cursor"}


def refused(caller: Caller, address: Address, query: str) -> dict[str, object]:
    answer = caller.http.request(address.method, f"{address.at()}?{query}")
    assert answer.status_code == 422, (address, query, answer.text)
    if address.method == "HEAD":
        return {}
    return problem(answer, 422, "invalid_request")


def test_unknown_parameters_are_refused_on_every_route(running: Serving, admin: Caller) -> None:
    walked = 0
    with admin.nothing_changes():
        for address in addresses(running):
            if address.template == OPEN:
                continue
            told = refused(admin, address, "unheard_of=1")
            if told:
                assert told["errors"][0]["pointer"] == "/unheard_of", address  # type: ignore[index]
                for name in address.taken or ():
                    if "." not in name:
                        assert name in str(told["detail"]), address
            walked += 1
    assert walked > 95


def test_every_misspelling_is_told_the_right_name(running: Serving, admin: Caller) -> None:
    """Each declared name with a letter left out; the nearest may be another that is as near."""
    walked = 0
    for address in addresses(running):
        for place, name in enumerate(address.taken or ()):
            wrong = name[:1] + name[2:]
            if name.startswith("derived.") and place % 9:
                continue
            if address.method != "GET" or not address.taken or wrong in address.taken:
                continue
            told = refused(admin, address, urlencode({wrong: "x"}))
            assert "did you mean" in str(told["detail"]), (address, wrong, told)
            walked += 1
    assert walked > 75


@pytest.mark.parametrize(
    ("path", "wrong", "right"),
    [
        ("/v1/landscapes", "projct", "project"),
        ("/v1/landscapes", "q", "text"),
        ("/v1/landscapes", "derived.sharpnes.max", "derived.sharpness.max"),
        ("/v1/models", "page", "cursor"),
        ("/", "text", "q"),
        ("/", "Project", "project"),
    ],
)
def test_the_nearest_right_one_is_named(admin: Caller, path: str, wrong: str, right: str) -> None:
    told = problem(admin.get(path, **{wrong: "x"}), 422, "invalid_request", f"/{wrong}")
    assert f"did you mean {right!r}?" in told["detail"]


def test_what_may_be_there_once_is_refused_twice(running: Serving, admin: Caller) -> None:
    walked = 0
    for address in addresses(running):
        for name, many in (address.taken or {}).items():
            if many or (name.startswith("derived.") and walked % 7):
                continue
            told = refused(admin, address, urlencode([(name, "1"), (name, "1")]))
            if told:
                assert f"{name}: is there 2 times" in str(told["detail"]), address
            walked += 1
    assert walked > 80


def test_a_person_reads_of_it_on_a_page(admin: Caller) -> None:
    answer = admin.http.get(
        "/", params={"<b>tag": "x"}, headers={"Accept": "text/html,application/xhtml+xml"}
    )
    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith("text/html")
    assert "&lt;b&gt;tag: is no parameter here" in answer.text
    assert "<b>tag" not in answer.text


def test_many_are_answered_with_few_words(admin: Caller) -> None:
    query = "&".join(f"projec{k}={'x' * 9}" for k in range(1000))
    told = problem(admin.http.get(f"/v1/landscapes?{query}"), 422, "invalid_request")
    assert len(told["errors"]) == MOST_TOLD
    long = problem(admin.http.get(f"/v1/models?{'p' * 20_000}=1"), 422, "invalid_request")
    assert len(str(long)) < 10_000


def test_every_body_refuses_members_that_it_does_not_have() -> None:
    """As the contract says it: each object of a body is closed, wherever it stands."""
    contract = document(ROUTERS)
    schemas = contract["components"]["schemas"]
    seen: set[str] = set()

    def look(schema: object) -> None:
        if isinstance(schema, list):
            for one in schema:
                look(one)
        if not isinstance(schema, dict):
            return
        name = str(schema.get("$ref", "")).rpartition("/")[2]
        if name and name not in seen:
            seen.add(name)
            look(schemas[name])
        if "properties" in schema:
            assert schema.get("additionalProperties") is False, schema.get("title")
            look(list(schema["properties"].values()))
        look([v for k, v in schema.items() if k in ("anyOf", "oneOf", "allOf", "items")])

    for operations in contract["paths"].values():
        for operation in operations.values():
            for body in operation.get("requestBody", {}).get("content", {}).values():
                look(body.get("schema", {}))
    assert len(seen) > 25


@pytest.mark.parametrize(
    ("path", "field"),
    [("/sign-in", "kye"), ("/keys", "projcts"), ("/models/{model_id}/edit", "tgas")],
)
def test_forms_refuse_fields_that_they_do_not_have(admin: Caller, path: str, field: str) -> None:
    at = Address("POST", path, {}).at()
    with admin.nothing_changes():
        problem(admin.http.post(at, data={field: "x"}), 422, "invalid_request", f"/{field}")


@pytest.mark.parametrize("name", LISTS)
def test_the_client_names_every_filter_and_no_other(name: str) -> None:
    """So that a checker of types finds what is misspelt, before the service does."""
    given = inspect.signature(getattr(Client, name)).parameters.values()
    assert {one.kind for one in given if one.name != "self"} == {inspect.Parameter.KEYWORD_ONLY}
    declared = {
        one["name"]
        for one in document(ROUTERS)["paths"][f"/v1/{name}"]["get"]["parameters"]
        if one["in"] == "query"
    }
    measures = {"measures"} if name == "landscapes" else set()
    assert {one.name for one in given} - {"self"} - measures == declared - PAGED


def test_a_misspelt_filter_of_the_client_is_no_answer(admin: Caller, running: Serving) -> None:
    with Client(running.url, running.key("reader")[1]) as client:
        with pytest.raises(TypeError, match="projct"):
            client.landscapes(projct="x")  # type: ignore[call-arg]
        found = client.landscapes(
            project="nowhere", measures={"sharpness": (None, 0.5)}, since="2020-01-01T00:00:00Z"
        )
        assert list(found) == []
