"""Files of landscapes over HTTP: HDF5, VTK and the page, kept for ever and safe to open."""

from __future__ import annotations

import io
from xml.etree import ElementTree

import h5py
import numpy as np
import pytest

from service.http.services import Services
from tests.features.caller import Caller, problem
from tests.features.pushed import Pushed
from tests.features.reference import packed
from tests.features.test_landscapes import Finished, finished, line, surface
from tests.support.browser import browsing

PARTS = ("data.h5", "data.h5?directions=true", "data.vts", "data.vts?log=true", "view")


@pytest.fixture(scope="module")
def plane(api: Caller, services: Services, pushed: Pushed) -> Finished:
    return finished(api, services, surface(pushed, tags=["exports"]))


@pytest.fixture(scope="module")
def curve(api: Caller, services: Services, pushed: Pushed) -> Finished:
    return finished(api, services, line(pushed, tags=["exports"]))


@pytest.mark.parametrize("part", PARTS)
def test_bytes_are_immutable_and_known_by_their_tag(
    api: Caller, plane: Finished, part: str
) -> None:
    url = f"/v1/landscapes/{plane.id}/{part}"
    first = api.http.get(url)
    assert first.status_code == 200, first.text
    tag = first.headers["etag"]
    assert "immutable" in first.headers["cache-control"]
    again = api.http.get(url)
    assert (again.content, again.headers["etag"]) == (first.content, tag)
    known = api.http.get(url, headers={"If-None-Match": tag})
    assert (known.status_code, known.content) == (304, b"")
    head = api.http.head(url)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("etag", "content-type", "content-security-policy"):
        assert head.headers[name] == first.headers[name]
    assert known.headers["content-security-policy"] == first.headers["content-security-policy"]


def test_tags_differ_by_what_is_asked(api: Caller, plane: Finished, curve: Finished) -> None:
    urls = [f"/v1/landscapes/{found.id}/{part}" for found in (plane, curve) for part in PARTS]
    assert len({api.http.get(url).headers["etag"] for url in urls}) == len(urls)


def test_hdf5(api: Caller, plane: Finished, pushed: Pushed) -> None:
    answer = api.get(f"/v1/landscapes/{plane.id}/data.h5")
    assert answer.headers["content-type"] == "application/x-hdf5"
    assert f"{plane.id}.h5" in answer.headers["content-disposition"]
    split = api.get(f"/v1/datasets/{pushed.dataset}").json()["split"]
    side = "test" if split == "test" else "train"
    with h5py.File(io.BytesIO(answer.content), "r") as file:
        grid = plane.result.datasets[0]
        np.testing.assert_array_equal(file["xcoordinates"], plane.result.x)
        np.testing.assert_array_equal(file[f"{side}_loss"], grid.loss)
        np.testing.assert_array_equal(file[f"{side}_acc"], np.full(grid.loss.shape, 50.0))
        assert file[f"datasets/{pushed.folder}"].attrs["split"] == (split or "")
        assert file.attrs["landscape"] == plane.id
        assert len(file["xdirection"]) == 0


def test_a_split_decides_the_key(api: Caller, services: Services, pushed: Pushed) -> None:
    inputs = np.zeros((4, 1, 8, 8), np.float32)
    names = {}
    for split in ("test", "train"):
        data = packed(inputs=inputs, targets=np.zeros(4, np.int64) + (split == "train"))
        body = {"project": "pushed", "name": split, "split": split, "object": api.put(data)}
        names[split] = api.create("/v1/datasets", body)["id"]
    both = finished(api, services, surface(pushed, datasets=[names["test"], names["train"]]))
    file = h5py.File(io.BytesIO(api.get(f"/v1/landscapes/{both.id}/data.h5").content), "r")
    np.testing.assert_array_equal(file["test_loss"], both.result.dataset("test").loss)
    np.testing.assert_array_equal(file["train_loss"], both.result.dataset("train").loss)
    assert not np.array_equal(file["train_loss"], file["test_loss"])


def test_hdf5_with_directions(api: Caller, plane: Finished) -> None:
    answer = api.get(f"/v1/landscapes/{plane.id}/data.h5", directions=True)
    with h5py.File(io.BytesIO(answer.content), "r") as file:
        np.testing.assert_array_equal(file["xdirection/x_weights"], np.zeros(3, np.float32))
        np.testing.assert_array_equal(file["ydirection/y_weights"], np.zeros(3, np.float32))


def test_vts(api: Caller, plane: Finished, curve: Finished, pushed: Pushed) -> None:
    answer = api.get(f"/v1/landscapes/{plane.id}/data.vts", dataset=pushed.folder, log=True)
    assert answer.headers["content-type"].startswith("application/vnd.vtk")
    piece = ElementTree.fromstring(answer.content).find("StructuredGrid/Piece")  # noqa: S314
    assert piece is not None
    assert piece.attrib["Extent"] == "0 2 0 4 0 0"
    assert api.get(f"/v1/landscapes/{curve.id}/data.vts").status_code == 200
    problem(
        api.get(f"/v1/landscapes/{plane.id}/data.vts", dataset="nowhere"),
        422,
        "invalid_request",
        "/dataset",
    )
    for part in ("data.vts", "data.h5"):
        problem(
            api.get(f"/v1/landscapes/{plane.id}/{part}", colour="red"),
            422,
            "invalid_request",
            "/colour",
        )


def test_the_page_runs_under_the_policy_it_is_served_with(
    api: Caller, plane: Finished, curve: Finished
) -> None:
    with browsing() as browser:
        for found in (plane, curve):
            answer = api.get(f"/v1/landscapes/{found.id}/view")
            assert answer.headers["content-type"].startswith("text/html")
            policy = answer.headers["content-security-policy"]
            assert "frame-ancestors 'self'" in policy
            assert "unsafe" not in policy
            page = browser.page()
            # the key belongs to the caller and not to the browser, so this goes with the headers
            page.call(
                "Network.setExtraHTTPHeaders",
                headers={"Authorization": api.http.headers["authorization"]},
            )
            page.open(str(answer.request.url))
            assert not page.evaluate("document.getElementById('live').hidden")
            assert page.evaluate("document.getElementById('why').hidden")
            assert page.complaints == []
            assert page.requested == []


def test_what_a_key_may_not_read_is_not_there(
    api: Caller, reader: Caller, stranger: Caller, plane: Finished
) -> None:
    for part in PARTS:
        assert reader.http.get(f"/v1/landscapes/{plane.id}/{part}").status_code == 200
        problem(stranger.http.get(f"/v1/landscapes/{plane.id}/{part}"), 404, "not_found")
        problem(api.http.get(f"/v1/landscapes/lsc_{'0' * 26}/{part}"), 404, "not_found")
