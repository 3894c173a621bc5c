"""Tags and notes change, with a history; results never do."""

from __future__ import annotations

import pytest

from service.ledger import catalog
from service.ledger.catalog import Filters
from tests.catalog.atlas import Atlas
from tests.features.caller import Caller, problem
from tests.support.serving import Serving


def test_tags_and_note_change_and_nothing_else(api: Caller, reader: Caller, atlas: Atlas) -> None:
    at = f"/v1/landscapes/{atlas.line}"
    before = api.get(at).json()
    data = api.get(f"{at}/data.json")
    edited = api.http.patch(at, json={"tags": ["b", "a"], "note": "  For the talk.  "})
    assert edited.status_code == 200
    assert edited.json() == {**before, "tags": ["a", "b"], "note": "For the talk."}
    assert reader.get(at).json() == edited.json()
    again = api.http.get(f"{at}/data.json", headers={"If-None-Match": data.headers["etag"]})
    assert again.status_code == 304
    # what is the same already is no edit
    assert api.http.patch(at, json={"tags": ["a", "b"]}).status_code == 200
    assert api.http.patch(at, json={"note": ""}).json()["note"] is None
    history = reader.get(f"{at}/history").json()["items"]
    me = api.get("/v1/keys/me").json()["id"]
    assert [(e["field"], e["before"], e["after"], e["by"]) for e in history] == [
        ("note", "For the talk.", None, me),
        ("note", None, "For the talk.", me),
        ("tags", before["tags"], ["a", "b"], me),
    ]
    api.http.patch(at, json={"tags": before["tags"]})


def test_aliases_stand_on_the_model(running: Serving, reader: Caller, atlas: Atlas) -> None:
    with running.client(running.key("admin")[1]) as admin:
        for name, target in (("baseline", atlas.surfaces[0]), ("best", atlas.checkpoints[2])):
            put = admin.put(f"/v1/aliases/atlas/{name}", json={"target": target})
            assert put.status_code in (200, 201), put.text
    html = reader.http.get(f"/models/{atlas.model}", headers={"Accept": "text/html"}).text
    assert "Alias baseline" in html
    assert f'href="/landscapes/{atlas.surfaces[0]}">{atlas.surfaces[0]}<' in html
    assert f'Alias best</dt><dd><span class="id">{atlas.checkpoints[2]}' in html


def test_a_model_is_annotated_too(api: Caller, atlas: Atlas) -> None:
    at = f"/v1/models/{atlas.model}"
    assert api.http.patch(at, json={"note": "one\ntwo"}).json()["note"] == "one\ntwo"
    assert api.get(f"{at}/history").json()["items"][0]["after"] == "one\ntwo"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"tags": ["no spaces"]}, "/tags/0"),
        ({"tags": [f"t{n}" for n in range(33)]}, "/tags"),
        ({"note": "x" * 4001}, "/note"),
        ({"note": "a\u0000b"}, "/note"),
        ({"title": "better"}, "/title"),
    ],
)
def test_what_cannot_be_said(
    api: Caller, atlas: Atlas, body: dict[str, object], pointer: str
) -> None:
    with api.nothing_changes():
        answer = api.http.patch(f"/v1/landscapes/{atlas.line}", json=body)
        problem(answer, 422, "invalid_request", pointer)


def test_who_may_not_edit(reader: Caller, stranger: Caller, atlas: Atlas) -> None:
    with reader.nothing_changes():
        at = f"/v1/landscapes/{atlas.line}"
        problem(reader.http.patch(at, json={"tags": []}), 403, "forbidden")
        problem(stranger.http.patch(at, json={"tags": []}), 404, "not_found")
        problem(stranger.get(f"{at}/history"), 404, "not_found")
        problem(
            reader.http.post(f"/landscapes/{atlas.line}/edit", data={"tags": "x"}),
            403,
            "forbidden",
        )


def test_facets_count_what_the_list_finds(running: Serving, api: Caller, atlas: Atlas) -> None:
    """Counts kept by triggers, and those taken from the newest matches, against the list."""
    at = f"/v1/landscapes/{atlas.surfaces[0]}"
    tags = api.get(at).json()["tags"]
    for change in (["paper", "new"], tags):
        assert api.http.patch(at, json={"tags": change}).status_code == 200
        with running.services.database.transaction() as session:
            kept = catalog.facets(session, Filters(project="atlas"))
            everything = catalog.search(session, Filters(project="atlas"), limit=200).items
            for field, facets in kept.by_field.items():
                for facet in facets:
                    found = [one for one in everything if facet.value in values(one, field)]
                    assert facet.count == len(found), (field, facet)
            assert kept.matches == len(everything)
            told = {facet.value for facet in kept.by_field["tag"]}
            assert told == {tag for one in everything for tag in one.tags}
            some = Filters(project="atlas", kind="surface", text="perceptron")
            counted = catalog.facets(session, some)
            found_some = catalog.search(session, some, limit=200).items
    assert counted.matches == len(found_some) == 3
    assert not counted.sampled
    assert {f.value: f.count for f in counted.by_field["tag"]}["paper"] == 3


def values(one: object, field: str) -> list[str]:
    record = vars(one)
    return {
        "kind": [record["kind"]],
        "model": [record["model_id"]],
        "author": [record["created_by"]],
        "tag": list(record["tags"]),
        "dataset": list(record["spec"]["datasets"]),
    }[field]


def test_lists_are_sorted_by_measures_and_paged(api: Caller, atlas: Atlas) -> None:
    def walked(**query: str) -> list[str]:
        seen: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            body = api.get(
                "/v1/landscapes", project="atlas", text="perceptron", limit=1, **query, **cursor
            ).json()
            seen += [one["id"] for one in body["items"]]
            if body["next_cursor"] is None:
                return seen
            cursor = {"cursor": body["next_cursor"]}

    first, second, third = atlas.surfaces
    assert walked(sort="sharpness") == [first, second, third]
    assert walked(sort="-sharpness") == [third, second, first]
    # a line has no sharpness, and so is not among them
    assert atlas.line in walked(sort="created_at")
    made = api.get(f"/v1/landscapes/{second}").json()["created_at"]
    assert second not in walked(until="2020-01-01T00:00:00Z")
    assert second in walked(since=made[:10] + "T00:00:00Z")
    author = api.get("/v1/keys/me").json()["id"]
    assert len(walked(author=author)) == 4
    assert walked(author="key_" + "0" * 26) == []


def test_notes_are_found(api: Caller, atlas: Atlas) -> None:
    at = f"/v1/landscapes/{atlas.surfaces[2]}"
    api.http.patch(at, json={"note": "Figure 7 of the thesis"})
    found = api.get("/v1/landscapes", text="THESIS figure").json()["items"]
    assert [one["id"] for one in found] == [atlas.surfaces[2]]
    api.http.patch(at, json={"note": ""})
    assert api.get("/v1/landscapes", text="thesis").json()["items"] == []
