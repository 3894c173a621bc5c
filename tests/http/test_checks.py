"""Checks over HTTP: verdicts on record, baselines of every kind, and what is refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from service.http.services import Services
from tests.features.by_hand import ByHand
from tests.features.caller import Caller, problem
from tests.features.pushed import Pushed
from tests.features.reference import MLP, read
from tests.support.serving import Serving

GRID = {"x": {"min": -1, "max": 1, "num": 5}, "y": {"min": -1, "max": 1, "num": 5}}


def surface(pushed: Pushed, **changes: Any) -> dict[str, Any]:
    return {
        "kind": "surface",
        "origin": pushed.final,
        "directions": {"x": {"kind": "random", "seed": 7}, "y": {"kind": "random", "seed": 8}},
        "grid": GRID,
        "datasets": [pushed.dataset],
        "force": True,
        **changes,
    }


def finished(api: Caller, services: Services, spec: dict[str, Any], steepness: float = 1.0) -> str:
    job = api.create("/v1/jobs", spec)["id"]
    ByHand(services, job, steepness).whole()
    return str(api.get(f"/v1/jobs/{job}").json()["landscape"])


@pytest.fixture(scope="module")
def flat(api: Caller, services: Services, pushed: Pushed) -> str:
    """A bowl: sharpness 0.25 ± 0.014 within the radius 0.5."""
    return finished(api, services, surface(pushed))


@pytest.fixture(scope="module")
def steep(api: Caller, services: Services, pushed: Pushed) -> str:
    """Four times as steep, at another checkpoint."""
    return finished(api, services, surface(pushed, origin=pushed.first), 4.0)


def check(
    api: Caller, landscape: str, *rules: Any, baseline: str | None = None, **more: Any
) -> dict[str, Any]:
    body = {"landscape": landscape, "rules": list(rules), **more}
    if baseline is not None:
        body["baseline"] = baseline
    return api.create("/v1/checks", body)


def test_a_check_from_first_to_last(api: Caller, reader: Caller, flat: str, steep: str) -> None:
    made = check(
        api, steep, "sharpness <= 3", {"measure": "sharpness", "max_increase_rel": 0.1},
        "center_loss <= 0.11", baseline=flat,
    )  # fmt: skip
    assert made["verdict"] == "fail"
    assert [rule["verdict"] for rule in made["rules"]] == ["pass", "fail", "inconclusive"]
    absolute, relative, near = made["rules"]
    assert absolute["value"] == pytest.approx(1.0)
    assert absolute["stderr"] == pytest.approx(0.01 * 2**0.5)
    assert absolute["definition"].startswith("Largest loss minus the centre's")
    assert (absolute["dataset"], absolute["baseline"]) == (MLP, None)
    assert relative["text"] == "sharpness <= baseline + 10%"
    assert relative["baseline"]["value"] == pytest.approx(0.25)
    assert relative["limits"][0]["bound"] == pytest.approx(0.275)
    assert "above" in relative["reason"]
    assert "error" in near["reason"]
    landscapes = {i: api.get(f"/v1/landscapes/{i}").json() for i in (flat, steep)}
    assert made["data"] == landscapes[steep]["data"]
    assert made["baseline"] == {
        "asked": flat, "alias_target": None, "alias_revision": None, "landscape": flat,
        "data": landscapes[flat]["data"], "model": landscapes[flat]["model"],
        "origin": landscapes[flat]["origin"], "identical": False,
    }  # fmt: skip
    assert reader.get(f"/v1/checks/{made['id']}").json() == made
    for link in made["links"].values():
        assert reader.http.get(link).status_code == 200, link


def test_checks_are_found_again(api: Caller, stranger: Caller, flat: str, steep: str) -> None:
    ids = [check(api, flat, f"sharpness <= {limit}")["id"] for limit in (3, 0.001, 0.25)]
    found = api.get("/v1/checks", landscape=flat, project="http", limit=3).json()["items"]
    assert [item["id"] for item in found] == ids[::-1]
    assert [item["verdict"] for item in found] == ["inconclusive", "fail", "pass"]
    failed = api.get("/v1/checks", landscape=flat, verdict="fail", limit=1).json()
    assert failed["items"][0]["id"] == ids[1]
    seen: list[str] = []
    page = api.get("/v1/checks", landscape=flat, limit=2)
    while True:
        seen += [item["id"] for item in page.json()["items"]]
        if "link" not in page.headers:
            break
        page = api.http.get(page.links["next"]["url"])
    assert seen == sorted(seen, reverse=True)
    assert set(ids) <= set(seen)
    assert stranger.get("/v1/checks").json()["items"] == []
    problem(stranger.get(f"/v1/checks/{ids[0]}"), 404, "not_found")
    problem(api.get("/v1/checks/chk_" + "0" * 26), 404, "not_found")


def test_doubt_is_as_many_standard_errors_as_are_asked_for(api: Caller, flat: str) -> None:
    near = "sharpness <= 0.27"
    assert check(api, flat, near)["verdict"] == "inconclusive"
    assert check(api, flat, near, standard_errors=1)["verdict"] == "pass"
    assert check(api, flat, "sharpness <= 0.24", standard_errors=0)["verdict"] == "fail"


def test_nothing_passes_that_has_no_number(api: Caller, services: Services, pushed: Pushed) -> None:
    # two points a side: no roughness; and at both far corners the loss is NaN and infinite
    tiny = {"x": {"min": -1, "max": 1, "num": 2}, "y": {"min": -1, "max": 1, "num": 2}}
    made = finished(api, services, surface(pushed, grid=tiny))
    done = check(api, made, "roughness <= 1e300", "roughness >= -1e300", "sharpness <= 1e300")
    assert done["verdict"] == "inconclusive"
    for rule in done["rules"]:
        assert (rule["value"], rule["verdict"]) == (None, "inconclusive")
        assert "undefined" in rule["reason"]
    both = check(api, made, "roughness <= 1", "center_loss <= 0")
    assert both["verdict"] == "fail"
    nothing = check(api, made, "roughness <= baseline + 100%", baseline=made)
    assert nothing["verdict"] == "inconclusive"


def test_every_kind_of_baseline(
    api: Caller, admin: Caller, services: Services, pushed: Pushed, flat: str, steep: str
) -> None:
    rule = "sharpness <= baseline + 10%"
    origin = api.get(f"/v1/landscapes/{flat}").json()["origin"]
    other = finished(api, services, surface(pushed, grid={**GRID, "y": {**GRID["y"], "num": 7}}))
    assert other
    # a checkpoint: its latest landscape that is comparable, which is not the latest
    by_checkpoint = check(api, steep, rule, baseline=origin)
    assert by_checkpoint["baseline"]["landscape"] == flat
    # a model: the latest comparable one that is not the one under check
    by_model = check(api, flat, rule, baseline=pushed.model)
    assert by_model["baseline"]["landscape"] == steep
    assert by_model["verdict"] == "pass"
    # an alias of either
    for revision, target in enumerate((flat, origin, pushed.model), 1):
        admin.http.put("/v1/aliases/http/gate", json={"target": target})
        made = check(api, steep, rule, baseline="http/gate")
        assert made["verdict"] == "fail"
        about = made["baseline"]
        assert about["landscape"] == flat
        assert (about["asked"], about["alias_target"]) == ("http/gate", target)
        assert about["alias_revision"] == revision
    admin.http.put("/v1/aliases/http/gate", json={"target": steep})
    # what was said stays said
    assert api.get(f"/v1/checks/{made['id']}").json() == made


def test_a_landscape_against_itself_has_not_changed(api: Caller, flat: str) -> None:
    made = check(api, flat, "sharpness <= baseline", baseline=flat)
    assert (made["verdict"], made["baseline"]["identical"]) == ("pass", True)


def test_a_model_without_a_like_landscape(
    api: Caller, services: Services, pushed: Pushed, flat: str
) -> None:
    model = api.create(
        "/v1/models",
        {"project": "http", "name": "bare", "program": api.put(read(MLP, "program.pt2"))},
    )["id"]
    body = {"landscape": flat, "baseline": model, "rules": ["sharpness <= baseline"]}
    told = problem(api.post("/v1/checks", body), 422, "invalid_request", "/baseline")
    assert "surface" in told["detail"]


def test_landscapes_that_cannot_be_compared_are_refused(
    api: Caller, services: Services, pushed: Pushed, flat: str
) -> None:
    data = api.create(
        "/v1/datasets",
        {"project": "http", "name": "same bytes", "object": api.put(read(MLP, "data.safetensors"))},
    )["id"]
    random = {"kind": "random", "seed": 7}
    changes: list[tuple[str, dict[str, Any], Any]] = [
        ("grid.x.num", {"grid": {**GRID, "x": {**GRID["x"], "num": 3}}}, (5, 3)),
        ("precision", {"precision": "float64"}, ("float32", "float64")),
        ("buffers", {"buffers": "interpolate"}, ("frozen", "interpolate")),
        (
            "directions.x.normalize",
            {"directions": {"x": {**random, "normalize": "layer"}, "y": {**random, "seed": 8}}},
            ("filter", "layer"),
        ),
        (
            "directions.y.seed",
            {"directions": {"x": random, "y": {**random, "seed": 9}}},
            (8, 9),
        ),
    ]
    for field, change, (here, there) in changes:
        other = finished(api, services, surface(pushed, **change))
        body = {"landscape": flat, "baseline": other, "rules": ["sharpness <= baseline"]}
        with api.nothing_changes():
            told = problem(api.post("/v1/checks", body), 422, "not_comparable", "/baseline")
        assert told["differences"] == [{"field": field, "landscape": here, "baseline": there}]
        assert f"{field} is {here} here and {there} there" in told["detail"]
        assert (told["landscape"], told["baseline"]) == (flat, other)
    # the same bytes under another id and another name are the same data
    named = finished(api, services, surface(pushed, datasets=[data]), 2.0)
    made = check(api, named, "sharpness[same bytes] <= baseline + 400%", baseline=flat)
    assert made["rules"][0]["baseline"]["value"] == pytest.approx(0.25)
    line = {
        "kind": "interpolation", "origin": pushed.final, "target": pushed.first, "force": True,
        "alpha": {"min": 0, "max": 1, "num": 5}, "datasets": [pushed.dataset],
    }  # fmt: skip
    curve = finished(api, services, line)
    body = {"landscape": flat, "baseline": curve, "rules": ["roughness <= baseline"]}
    told = problem(api.post("/v1/checks", body), 422, "not_comparable")
    assert {"kind", "grid.x.num", "alpha.num"} <= {d["field"] for d in told["differences"]}


def test_the_same_key_gives_the_same_check(api: Caller, flat: str) -> None:
    body = {"landscape": flat, "rules": ["sharpness <= 3"]}

    def post(_: int) -> Any:
        return api.post("/v1/checks", body, {"Idempotency-Key": "once"})

    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(post, range(5)))
    assert sorted(answer.status_code for answer in answers) == [200] * 4 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert post(0).headers["idempotent-replayed"] == "true"
    other = {**body, "rules": ["sharpness <= 4"]}
    told = api.post("/v1/checks", other, {"Idempotency-Key": "once"})
    problem(told, 422, "idempotency_key_reused")


def test_checks_cannot_be_rewritten(running: Serving, api: Caller, flat: str) -> None:
    check(api, flat, "sharpness <= 3")
    for statement in ("UPDATE checks SET verdict = 'pass'", "DELETE FROM checks"):
        with (
            pytest.raises(Exception, match="immutable"),
            running.services.database.transaction() as session,
        ):
            session.connection().exec_driver_sql(statement)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"landscape": "lsc_" + "0" * 26}, "/landscape"),
        ({"landscape": "nonsense"}, "/landscape"),
        ({"landscape": None}, "/landscape"),
        ({"rules": []}, "/rules"),
        ({"rules": "sharpness <= 3"}, "/rules"),
        ({"rules": ["sharpness <= 3"] * 65}, "/rules"),
        ({"rules": ["sharpness < 3"]}, "/rules/0"),
        ({"rules": ["sharpness <= 3", "bluntness <= 3"]}, "/rules/1"),
        ({"rules": [{"measure": "bluntness", "max": 3}]}, "/rules/0/measure"),
        ({"rules": [{"measure": "sharpness"}]}, "/rules/0"),
        ({"rules": [{"measure": "sharpness", "max": "three"}]}, "/rules/0/max"),
        ({"rules": [{"measure": "sharpness", "max": 3, "most": 3}]}, "/rules/0/most"),
        ({"rules": ["sharpness <= baseline"]}, "/baseline"),
        ({"rules": ["barrier <= 3"]}, "/rules/0/measure"),
        ({"rules": ["sharpness[test] <= 3"]}, "/rules/0/dataset"),
        ({"rules": [None]}, "/rules/0"),
        ({"baseline": "vision"}, "/baseline"),
        ({"baseline": "http/nothing"}, "/baseline"),
        ({"baseline": "../prod"}, "/baseline"),
        ({"baseline": "http/\x00"}, "/baseline"),
        ({"baseline": "mdl_" + "0" * 26}, "/baseline"),
        ({"baseline": "lsc_" + "0" * 26}, "/baseline"),
        ({"standard_errors": -1}, "/standard_errors"),
        ({"standard_errors": 11}, "/standard_errors"),
        ({"verdict": "pass"}, "/verdict"),
    ],
)
def test_requests_that_are_wrong(
    api: Caller, flat: str, change: dict[str, Any], pointer: str
) -> None:
    body = {"landscape": flat, "rules": ["sharpness <= 3"], **change}
    with api.nothing_changes():
        problem(api.post("/v1/checks", body), 422, "invalid_request", pointer)


def test_nan_is_no_limit(api: Caller, flat: str) -> None:
    for number in ("NaN", "Infinity", "1e999"):
        body = f'{{"landscape": "{flat}", "rules": [{{"measure": "sharpness", "max": {number}}}]}}'
        told = api.http.post(
            "/v1/checks", content=body, headers={"Content-Type": "application/json"}
        )
        assert told.status_code in (400, 422), told.text
        assert told.json()["code"] in ("invalid_request", "malformed_json")


def test_who_may_judge(
    reader: Caller, stranger: Caller, admin: Caller, api: Caller, flat: str
) -> None:
    body = {"landscape": flat, "rules": ["sharpness <= 3"]}
    problem(reader.post("/v1/checks", body), 403, "forbidden")
    problem(stranger.post("/v1/checks", body), 422, "invalid_request", "/landscape")
    problem(stranger.get("/v1/checks", landscape="x"), 422, "invalid_request", "/landscape")
    # another project's alias is none, whether it is there or not
    admin.http.put("/v1/aliases/http/secret", json={"target": flat})
    told = stranger.post("/v1/checks", {**body, "baseline": "http/secret"})
    problem(told, 422, "invalid_request")


def test_a_baseline_stays_in_the_project(api: Caller, pushed: Pushed, flat: str) -> None:
    program = api.put(read(MLP, "program.pt2"))
    model = api.create("/v1/models", {"project": "other", "name": "m", "program": program})["id"]
    body = {"landscape": flat, "baseline": model, "rules": ["sharpness <= baseline"]}
    problem(api.post("/v1/checks", body), 422, "incompatible_inputs", "/baseline")
