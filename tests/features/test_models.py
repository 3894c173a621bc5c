"""Models over HTTP: registered after a structural check, refused with the reason."""

from __future__ import annotations

import io
import zipfile

import pytest

from tests.features.caller import Caller, problem
from tests.features.reference import MLP, read


def body(program: str, /, **changes: object) -> dict[str, object]:
    return {"project": "models", "name": "mlp", "program": program, **changes}


def test_a_program_is_checked_and_queued(api: Caller) -> None:
    program = api.put(read(MLP, "program.pt2"))
    answer = api.post(
        "/v1/models", body(program, tags=["b", "a"], metadata={"optimizer": "sgd"}, loss="nll")
    )
    assert answer.status_code == 201, answer.text
    model = answer.json()
    assert answer.headers["location"] == f"/v1/models/{model['id']}"
    assert model["state"] == "checked"
    assert model["program"] == program
    assert model["loss"] == "nll"
    assert model["tags"] == ["a", "b"]
    assert model["metadata"] == {"optimizer": "sgd"}
    assert model["problem"] is None
    shapes = {p["name"]: p["shape"] for p in model["signature"]["parameters"]}
    assert sorted(shapes.values()) == [[8], [8, 64], [10], [10, 8]]
    assert model["signature"]["parameter_count"] == 8 * 64 + 8 + 80 + 10
    assert model["signature"]["inputs"][0]["shape"][1:] == [1, 8, 8]
    assert api.get(f"/v1/models/{model['id']}").json() == model
    jobs = api.get("/v1/jobs", model=model["id"], kind="ingest").json()["items"]
    assert [job["state"] for job in jobs] == ["queued"]


def test_what_counts_alike_in_the_loss_is_the_models(api: Caller) -> None:
    program = api.put(read(MLP, "program.pt2"))
    plain = api.create("/v1/models", body(program))
    assert plain["loss_options"] == {"reduction": "sample"}
    pooled = api.create("/v1/models", body(program, loss_options={"reduction": "position"}))
    assert pooled["loss_options"] == {"reduction": "position"}
    assert api.get(f"/v1/models/{pooled['id']}").json() == pooled


def test_two_models_may_share_a_name(api: Caller) -> None:
    program = api.put(read(MLP, "program.pt2"))
    first, second = (api.create("/v1/models", body(program, name="twin")) for _ in range(2))
    assert first["id"] != second["id"]
    found = api.get("/v1/models", name="twin", project="models").json()["items"]
    assert [m["id"] for m in found] == [second["id"], first["id"]]


def test_lists_filter_and_page(api: Caller) -> None:
    program = api.put(read(MLP, "program.pt2"))
    made = [
        # with this loss no other test has the program ingested, which would make it ready at once
        api.create(
            "/v1/models",
            body(program, project="paged", name=f"m{i}", tags=[f"t{i % 2}"], loss="mse"),
        )
        for i in range(5)
    ]
    first = api.get("/v1/models", project="paged", limit=2)
    assert [m["name"] for m in first.json()["items"]] == ["m4", "m3"]
    assert 'rel="next"' in first.headers["link"]
    names = ["m4", "m3"]
    cursor = first.json()["next_cursor"]
    while cursor:
        page = api.get("/v1/models", project="paged", limit=2, cursor=cursor).json()
        names += [m["name"] for m in page["items"]]
        cursor = page["next_cursor"]
    assert names == ["m4", "m3", "m2", "m1", "m0"]
    tagged = api.get("/v1/models", project="paged", tag="t1").json()["items"]
    assert [m["name"] for m in tagged] == ["m3", "m1"]
    assert len(api.get("/v1/models", project="paged", state="checked").json()["items"]) == 5
    assert api.get("/v1/models", project="paged", state="ready").json()["items"] == []
    assert made


def test_a_program_that_was_not_uploaded(api: Caller) -> None:
    with api.nothing_changes():
        told = problem(
            api.post("/v1/models", body("sha256:" + "1" * 64)), 422, "object_missing", "/program"
        )
    assert f"PUT /v1/objects/sha256:{'1' * 64}" in told["detail"]


def test_anothers_upload_is_not_there(api: Caller, stranger: Caller) -> None:
    program = stranger.put(read(MLP, "program.pt2") + b"\0")
    problem(api.post("/v1/models", body(program)), 422, "object_missing", "/program")


def test_bytes_that_are_no_archive(api: Caller) -> None:
    program = api.put(b"this is not an archive")
    with api.nothing_changes():
        told = problem(api.post("/v1/models", body(program)), 422, "program_refused", "/program")
    assert told["reason"]["code"]


def test_a_forbidden_operator_is_named_with_its_place(api: Caller) -> None:
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(read(MLP, "program.pt2"))) as source,
        zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive,
    ):
        for info in source.infolist():
            data = source.read(info)
            if info.filename.endswith("models/model.json"):
                data = data.replace(b"aten.tanh.default", b"aten.from_file.default")
            archive.writestr(info.filename, data)
    program = api.put(out.getvalue())
    with api.nothing_changes():
        told = problem(api.post("/v1/models", body(program)), 422, "program_refused", "/program")
    assert "from_file" in told["detail"]
    assert told["reason"]["pointer"]


def test_exactly_one_of_program_and_architecture(api: Caller) -> None:
    bare = {"project": "models", "name": "none"}
    problem(api.post("/v1/models", bare), 422, "invalid_request", "/program")
    program = api.put(read(MLP, "program.pt2"))
    both = body(program, architecture={"name": "resnet56"})
    problem(api.post("/v1/models", both), 422, "invalid_request", "/program")


def test_an_unknown_architecture(api: Caller) -> None:
    asked = {"project": "models", "name": "n", "architecture": {"name": "nosuchnet"}}
    with api.nothing_changes():
        told = problem(
            api.post("/v1/models", asked), 422, "architecture_unknown", "/architecture/name"
        )
    assert "nosuchnet" in told["detail"]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"project": "Not A Project"}, "/project"),
        ({"name": ""}, "/name"),
        ({"name": "a\u0000b"}, "/name"),
        ({"loss": "hinge"}, "/loss"),
        ({"loss_options": {"reduction": "sum"}}, "/loss_options/reduction"),
        ({"loss_options": {"label_smoothing": 0.1}}, "/loss_options/label_smoothing"),
        ({"tags": ["ok", "not ok!"]}, "/tags"),
        ({"metadata": {"a": "\u0000"}}, "/metadata"),
        ({"metadata": {"a": "x" * 70_000}}, "/metadata"),
        ({"program": "sha256:short"}, "/program"),
        ({"colour": "red"}, "/colour"),
    ],
)
def test_fields_that_are_wrong(api: Caller, change: dict[str, object], pointer: str) -> None:
    with api.nothing_changes():
        told = problem(
            api.post("/v1/models", body("sha256:" + "1" * 64, **change)), 422, "invalid_request"
        )
    assert any(error["pointer"].startswith(pointer) for error in told["errors"]), told


def test_only_submitters_register(api: Caller, reader: Caller, stranger: Caller) -> None:
    program = api.put(read(MLP, "program.pt2"))
    problem(reader.post("/v1/models", body(program)), 403, "forbidden")
    problem(stranger.post("/v1/models", body(program)), 403, "forbidden")


def test_what_a_key_may_not_read_is_not_there(api: Caller, stranger: Caller) -> None:
    model = api.create("/v1/models", body(api.put(read(MLP, "program.pt2"))))
    problem(stranger.get(f"/v1/models/{model['id']}"), 404, "not_found")
    problem(api.get("/v1/models/mdl_" + "0" * 26), 404, "not_found")
    problem(api.get("/v1/models/nonsense"), 422, "invalid_request")
    assert stranger.get("/v1/models").json()["items"] == []
