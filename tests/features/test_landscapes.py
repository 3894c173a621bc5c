"""Landscapes over HTTP: found, read, drawn, kept for ever; and grids that are not finished."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from service.domain.results import GridResult, decode_npz
from service.http.services import Services
from tests.features.by_hand import ByHand
from tests.features.caller import Caller, problem
from tests.features.pushed import Pushed

AXIS = {"min": -1, "max": 1, "num": 3}


def surface(pushed: Pushed, **changes: Any) -> dict[str, Any]:
    return {
        "kind": "surface",
        "origin": pushed.final,
        "directions": {"x": {"kind": "random", "seed": 1}, "y": {"kind": "random", "seed": 2}},
        "grid": {"x": AXIS, "y": {**AXIS, "num": 5}},
        "datasets": [pushed.dataset],
        "force": True,
        **changes,
    }


def line(pushed: Pushed, **changes: Any) -> dict[str, Any]:
    return {
        "kind": "interpolation",
        "origin": pushed.final,
        "target": pushed.first,
        "alpha": {"min": 0, "max": 1, "num": 5},
        "datasets": [pushed.dataset],
        "force": True,
        **changes,
    }


@dataclass(frozen=True)
class Finished:
    id: str
    job: str
    result: GridResult


def finished(api: Caller, services: Services, spec: dict[str, Any]) -> Finished:
    job = api.create("/v1/jobs", spec)["id"]
    result = ByHand(services, job).whole()
    done = api.get(f"/v1/jobs/{job}").json()
    assert done["state"] == "succeeded", done
    return Finished(done["landscape"], job, result)


@pytest.fixture(scope="module")
def plane(api: Caller, services: Services, pushed: Pushed) -> Finished:
    return finished(api, services, surface(pushed, tags=["flat"]))


@pytest.fixture(scope="module")
def curve(api: Caller, services: Services, pushed: Pushed) -> Finished:
    return finished(api, services, line(pushed, tags=["sharp"]))


def test_a_finished_job_leads_to_its_landscape(api: Caller, plane: Finished) -> None:
    job = api.get(f"/v1/jobs/{plane.job}").json()
    assert job["progress"]["done"] == job["progress"]["total"] == 15
    landscape = api.http.get(job["links"]["landscape"]).json()
    assert landscape["id"] == plane.id
    assert landscape["job"] == plane.job
    assert landscape["tags"] == ["flat"]
    assert landscape["derived"]["center_loss"]["value"] == pytest.approx(0.1)
    assert landscape["provenance"]["engine"] == "by hand"
    assert landscape["spec"] == job["spec"]
    for link in landscape["links"].values():
        assert api.http.get(link).status_code == 200, link


def test_the_same_question_now_has_its_answer(
    api: Caller, services: Services, pushed: Pushed
) -> None:
    asked = surface(pushed, force=False, grid={"x": AXIS, "y": AXIS}, precision="float64")
    first = finished(api, services, asked)
    again = api.post("/v1/jobs", {**asked, "tags": ["late"]})
    assert again.status_code == 200
    assert again.json()["landscape"] == first.id


def test_grid_json(api: Caller, plane: Finished, pushed: Pushed) -> None:
    answer = api.get(f"/v1/landscapes/{plane.id}/data.json")
    body = answer.json()
    assert body["x"] == [-1, 0, 1]
    assert body["y"] == [-1, -0.5, 0, 0.5, 1]
    values = body["datasets"][pushed.folder]["loss"]["values"]
    assert len(values) == 5
    assert values[3][2] == pytest.approx(0.1 + 1 + 0.25)
    assert values[4][2] is None
    assert body["status"][4][2] == "nan"
    assert values[0][0] is None
    assert body["status"][0][0] == "posinf"
    assert body["center"]["datasets"][pushed.folder]["loss"] == pytest.approx(0.1)
    assert body["directions"]["cosine"] == 0.01
    assert body["directions"]["x"]["norm"] == 2.0
    assert body["derived"]["minimum"]["value"] == pytest.approx(0.1)
    assert body["provenance"]["engine"] == "by hand"


def test_arrays_keep_what_is_no_number(api: Caller, plane: Finished) -> None:
    answer = api.get(f"/v1/landscapes/{plane.id}/data.npz")
    read = GridResult.from_arrays(decode_npz(answer.content))
    assert np.isnan(read.datasets[0].loss[4, 2])
    assert np.isinf(read.datasets[0].loss[0, 0])
    np.testing.assert_array_equal(read.datasets[0].loss, plane.result.datasets[0].loss)
    with np.load(io.BytesIO(answer.content), allow_pickle=False) as archive:
        assert "d0.loss" in archive.files


PARTS = ("data.json", "data.npz", "figure.png", "figure.svg?view=filled")


@pytest.mark.parametrize("part", PARTS)
def test_bytes_are_immutable_and_known_by_their_tag(
    api: Caller, plane: Finished, part: str
) -> None:
    url = f"/v1/landscapes/{plane.id}/{part}"
    first = api.http.get(url)
    assert first.status_code == 200, first.text
    tag = first.headers["etag"]
    assert tag.startswith('"')
    assert "immutable" in first.headers["cache-control"]
    assert "private" in first.headers["cache-control"]
    again = api.http.get(url)
    assert (again.content, again.headers["etag"]) == (first.content, tag)
    known = api.http.get(url, headers={"If-None-Match": tag})
    assert (known.status_code, known.content) == (304, b"")
    assert known.headers["etag"] == tag
    assert api.http.get(url, headers={"If-None-Match": '"other"'}).status_code == 200
    head = api.http.head(url)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"] == tag
    assert head.headers["content-type"] == first.headers["content-type"]


def test_tags_differ_by_what_is_asked(api: Caller, plane: Finished, curve: Finished) -> None:
    urls = [
        f"/v1/landscapes/{plane.id}/{part}"
        for part in (*PARTS, "figure.png?theme=dark", "figure.png?width=500", "figure.svg")
    ] + [f"/v1/landscapes/{curve.id}/figure.png"]
    tags = {api.http.get(url).headers["etag"] for url in urls}
    assert len(tags) == len(urls)


@pytest.mark.parametrize("view", ["contour", "filled", "heatmap", "surface"])
def test_every_view_of_a_plane(api: Caller, plane: Finished, view: str) -> None:
    png = api.get(f"/v1/landscapes/{plane.id}/figure.png", view=view, width=600, metric="loss")
    assert png.headers["content-type"] == "image/png"
    assert png.content.startswith(b"\x89PNG")
    assert struct.unpack(">I", png.content[16:20])[0] == 600
    svg = api.get(f"/v1/landscapes/{plane.id}/figure.svg", view=view, theme="dark")
    assert svg.headers["content-type"].startswith("image/svg+xml")
    assert ElementTree.fromstring(svg.content).tag.endswith("svg")  # noqa: S314 (our own)


def test_a_curve(api: Caller, curve: Finished) -> None:
    assert api.get(f"/v1/landscapes/{curve.id}/figure.png").content.startswith(b"\x89PNG")
    assert api.get(f"/v1/landscapes/{curve.id}/figure.png", view="curve").status_code == 200


def test_lines_over_each_other(api: Caller, plane: Finished, curve: Finished) -> None:
    here = f"/v1/landscapes/{curve.id}/figure"
    alone = api.get(f"{here}.png", view="curve", metric="loss")
    both = api.get(f"{here}.png", beside=curve.id, metric="loss")
    assert both.content.startswith(b"\x89PNG")
    assert both.content != alone.content
    assert both.headers["etag"] != alone.headers["etag"]
    named = api.get(f"{here}.svg?beside={curve.id}&label=here&label=there")
    assert ElementTree.fromstring(named.content).tag.endswith("svg")  # noqa: S314 (our own)
    assert api.get(f"{here}.svg?beside={curve.id}&label=here&label=there").content == named.content
    told = problem(api.get(f"{here}.png", beside=plane.id), 422, "not_supported")
    assert told["errors"][0]["pointer"] == "/beside/0"
    told = problem(api.get(f"{here}.png", beside=curve.id, view="weights"), 422, "not_supported")
    assert told["errors"][0]["pointer"] == "/view"
    told = problem(api.get(f"{here}.png", beside="lsc_" + "0" * 26), 422, "invalid_request")
    assert told["errors"][0]["pointer"] == "/beside/0"
    told = problem(api.get(f"{here}.png", label="alone"), 422, "invalid_request")
    assert "label" in told["detail"] + str(told["errors"])
    told = problem(api.get(f"{here}.png", beside=curve.id, label="one"), 422, "invalid_request")
    assert "2 lines" in str(told)


def test_views_that_do_not_fit(api: Caller, plane: Finished, curve: Finished) -> None:
    told = problem(
        api.get(f"/v1/landscapes/{plane.id}/figure.png", view="curve"), 422, "not_supported"
    )
    assert "contour, filled, heatmap, surface" in told["detail"]
    told = problem(
        api.get(f"/v1/landscapes/{curve.id}/figure.svg", view="heatmap"), 422, "not_supported"
    )
    assert "possible: curve" in told["detail"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"view": "pie"}, "view"),
        ({"metric": "f1"}, "metric"),
        ({"metric": "Loss!"}, "metric"),
        ({"dataset": "nowhere"}, "dataset"),
        ({"width": 50}, "width"),
        ({"width": 50_000}, "width"),
        ({"levels": 1}, "levels"),
        ({"vmin": 2, "vmax": 1}, "vmin"),
        ({"vmin": "nan"}, "vmin"),
        ({"theme": "pink"}, "theme"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_figures_that_cannot_be(
    api: Caller, plane: Finished, query: dict[str, Any], said: str
) -> None:
    with api.nothing_changes():
        told = problem(
            api.get(f"/v1/landscapes/{plane.id}/figure.png", **query), 422, "invalid_request"
        )
    assert any(error["pointer"] == f"/{said}" for error in told["errors"]), told


def test_other_formats_are_not_there(api: Caller, plane: Finished) -> None:
    assert api.get(f"/v1/landscapes/{plane.id}/figure.exe").status_code in (404, 422)


def test_search(api: Caller, pushed: Pushed, plane: Finished, curve: Finished) -> None:
    def ids(**query: Any) -> list[str]:
        answer = api.get("/v1/landscapes", limit=200, **query)
        assert answer.status_code == 200, answer.text
        return [item["id"] for item in answer.json()["items"]]

    everything = ids(project="pushed")
    assert everything.index(curve.id) < everything.index(plane.id) or plane.id > curve.id
    assert ids(project="pushed", sort="created_at") == everything[::-1]
    assert plane.id in ids(kind="surface")
    assert curve.id not in ids(kind="surface")
    assert ids(tag="flat") == [plane.id]
    assert curve.id in ids(model=pushed.model)
    assert curve.id in ids(dataset=pushed.dataset)
    assert ids(dataset="dst_" + "0" * 26) == []
    assert plane.id in ids(text="DIGITS_MLP: surf")
    assert ids(text="100%") == []
    assert curve.id in ids(**{"derived.barrier.min": -100})
    assert plane.id not in ids(**{"derived.barrier.min": -100})
    assert plane.id in ids(**{"derived.center_loss.min": 0.0, "derived.center_loss.max": 0.2})
    assert ids(**{"derived.center_loss.min": 0.2}) == []
    problem(api.get("/v1/landscapes", **{"derived.charm.min": 1}), 422, "invalid_request")
    problem(api.get("/v1/landscapes", sort="loudness"), 422, "invalid_request", "/sort")


def test_lists_page(api: Caller, plane: Finished, curve: Finished) -> None:
    first = api.get("/v1/landscapes", project="pushed", limit=1)
    assert len(first.json()["items"]) == 1
    assert first.json()["next_cursor"]
    second = api.get(
        "/v1/landscapes", project="pushed", limit=1, cursor=first.json()["next_cursor"]
    ).json()
    assert second["items"][0]["id"] != first.json()["items"][0]["id"]


def test_what_a_key_may_not_read_is_not_there(
    api: Caller, reader: Caller, stranger: Caller, plane: Finished
) -> None:
    assert reader.get(f"/v1/landscapes/{plane.id}").status_code == 200
    for part in ("", "/data.json", "/data.npz", "/figure.png"):
        problem(stranger.get(f"/v1/landscapes/{plane.id}{part}"), 404, "not_found")
        problem(api.get(f"/v1/landscapes/lsc_{'0' * 26}{part}"), 404, "not_found")
    assert stranger.get("/v1/landscapes").json()["items"] == []
    problem(stranger.get(f"/v1/jobs/{plane.job}/partial.json"), 404, "not_found")


def test_a_grid_grows_while_the_job_runs(api: Caller, services: Services, pushed: Pushed) -> None:
    job = api.create("/v1/jobs", surface(pushed))["id"]
    hand = ByHand(services, job)
    hand.prepare(tile_cells=6)
    empty = api.get(f"/v1/jobs/{job}/partial.json").json()
    assert {word for row in empty["status"] for word in row} == {"pending"}
    assert empty["provenance"]["partial"] is True
    assert api.get(f"/v1/jobs/{job}").json()["state"] == "running"
    hand.tile()
    some = api.get(f"/v1/jobs/{job}/partial.json")
    words = [word for row in some.json()["status"] for word in row]
    assert words.count("pending") == 9
    assert some.headers["etag"] != ""
    assert "immutable" not in some.headers.get("cache-control", "")
    shown = api.get(f"/v1/jobs/{job}/partial.png", view="heatmap")
    assert shown.content.startswith(b"\x89PNG")
    told = problem(api.get(f"/v1/jobs/{job}/partial.png", view="curve"), 422, "not_supported")
    assert "heatmap" in told["detail"]
    progress = api.get(f"/v1/jobs/{job}").json()["progress"]
    assert (progress["done"], progress["total"], progress["phase"]) == (6, 15, "tile")
    assert progress["eta_seconds"] > 0


def test_a_direction_has_tensors_once_a_job_has_made_them(
    api: Caller, services: Services, pushed: Pushed
) -> None:
    job = api.create(
        "/v1/jobs",
        surface(
            pushed,
            directions={
                "x": {"kind": "random", "seed": 91},
                "y": {"kind": "random", "seed": 92},
            },
        ),
    )
    ByHand(services, job["id"]).prepare(tile_cells=100)
    direction = api.get(f"/v1/directions/{job['directions']['x']}").json()
    assert direction["materialised"] is True
    assert direction["norm"] == 2.0
    answer = api.http.get(direction["links"]["tensors"])
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/vnd.safetensors"
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert b"x_weights" in answer.content
