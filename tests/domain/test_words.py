"""Ids, digests, problems, states and specs."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from service.domain import problems, states
from service.domain.digests import canonical_json, digest_bytes, digest_json, hex_of
from service.domain.ids import is_id, make_id
from service.domain.questions.table import job_spec


@given(st.integers(0, (1 << 48) - 1), st.binary(min_size=10, max_size=10))
def test_ids_have_one_shape_and_sort_by_time(time: int, noise: bytes) -> None:
    text = make_id("job", unix_milliseconds=time, randomness=noise)
    assert is_id("job", text)
    assert not is_id("mdl", text)
    if time:
        earlier = make_id("job", unix_milliseconds=time - 1, randomness=b"\xff" * 10)
        assert earlier < text


def test_a_digest_is_the_sha256_of_the_bytes() -> None:
    assert hex_of(digest_bytes(b"abc")) == hashlib.sha256(b"abc").hexdigest()
    for bad in ("abc", "sha256:ABC", "sha256:" + "A" * 64, "md5:" + "0" * 64, "sha256:" + "0" * 65):
        with pytest.raises(ValueError, match="digest"):
            hex_of(bad)


def test_canonical_json_names_the_value_and_not_its_spelling() -> None:
    assert canonical_json({"b": 1.0, "a": [True, None, -0.5]}) == '{"a":[true,null,-0.5],"b":1}'
    assert digest_json({"num": 3, "min": -1.0}) == digest_json({"min": -1, "num": 3.0})
    assert digest_json({"flag": True}) != digest_json({"flag": 1})
    with pytest.raises(ValueError, match="canonical"):
        canonical_json(float("nan"))


def test_a_problem_survives_storage() -> None:
    problem = problems.Problem("grid_too_large", "too many", pointer="/grid")
    body = problem.to_json("req_1")
    assert (body["status"], body["code"], body["request_id"]) == (422, "grid_too_large", "req_1")
    assert problems.Problem.from_json(body).to_json() == problem.to_json()
    assert all(400 <= kind.status < 600 for kind in problems.KINDS.values())


def test_finished_states_are_left_only_by_a_retry() -> None:
    assert states.JOB_TRANSITIONS[states.JobState.SUCCEEDED] == frozenset()
    for state in states.FINISHED_JOB - {states.JobState.SUCCEEDED}:
        assert states.JOB_TRANSITIONS[state] == {states.JobState.QUEUED}
    for table in (states.MODEL_TRANSITIONS, states.JOB_TRANSITIONS, states.UNIT_TRANSITIONS):
        for targets in table.values():
            assert targets <= set(table)


CKP = "ckp_" + "0" * 26
OTHER = "ckp_" + "1" * 26
DST = "dst_" + "0" * 26
GRID = {"x": {"min": -1, "max": 1, "num": 3}, "y": {"min": 0, "max": 1, "num": 2}}
PLANE = {"x": {"kind": "random", "seed": 1}, "y": {"kind": "random", "seed": 2}}


def surface(**changes: object) -> dict[str, object]:
    body = {"kind": "surface", "origin": CKP, "directions": PLANE, "grid": GRID, "datasets": [DST]}
    return {**body, **changes}


def test_a_surface_has_the_defaults_of_the_paper() -> None:
    spec = job_spec().validate_python(surface())
    assert spec.kind == "surface"
    x = spec.directions.x
    assert not isinstance(x, str)
    assert (x.normalize, sorted(x.ignore)) == ("filter", ["bias", "norm"])


@pytest.mark.parametrize(
    "bad",
    [
        surface(datasets=[]),
        surface(datasets=[DST, DST]),
        surface(origin="ckp_short"),
        surface(grid={"x": GRID["x"]}),
        surface(colour="red"),
        surface(sampling={"mode": "guess"}),
        surface(kind="volcano"),
        surface(directions={"x": "mdl_" + "0" * 26, "y": PLANE["y"]}),
        {"kind": "interpolation", "origin": CKP, "target": CKP, "datasets": [DST]},
    ],
)
def test_bad_specs_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        job_spec().validate_python(bad)


def test_an_interpolation_needs_only_its_ends_and_data() -> None:
    spec = job_spec().validate_python(
        {"kind": "interpolation", "origin": CKP, "target": OTHER, "datasets": [DST]}
    )
    assert spec.kind == "interpolation"
    assert spec.alpha.num == 51
