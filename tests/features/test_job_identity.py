"""Two jobs are the same computation exactly when they ask the same of the same bytes."""

from __future__ import annotations

from typing import Any

import pytest

from service.domain.losses import LossOptions
from service.domain.questions.table import job_spec
from service.jobs.digest import Direction, Program, Samples, input_digest

LINE: dict[str, Any] = {
    "kind": "interpolation",
    "origin": "ckp_" + "0" * 26,
    "target": "ckp_" + "1" * 26,
    "datasets": ["dst_" + "0" * 26],
}
SURFACE: dict[str, Any] = {
    "kind": "surface",
    "origin": "ckp_" + "0" * 26,
    "directions": {"x": {"kind": "random", "seed": 1}, "y": {"kind": "random", "seed": 2}},
    "grid": {"x": {"min": -1, "max": 1, "num": 3}, "y": {"min": -1, "max": 1, "num": 3}},
    "datasets": ["dst_" + "0" * 26],
}
BYTES: dict[str, Any] = {
    "program": Program("sha256:p", None, "cross_entropy"),
    "origin": "sha256:a",
    "target": "sha256:b",
    "datasets": [Samples("sha256:d", "train")],
    "directions": {},
}
PLANE: dict[str, Any] = {
    **BYTES,
    "target": None,
    "directions": {
        "x": Direction({"kind": "random", "seed": 1}, None),
        "y": Direction({"kind": "random", "seed": 2}, None),
    },
}


def digest(body: dict[str, Any], inputs: dict[str, Any]) -> str:
    return input_digest(job_spec().validate_python(body), **inputs)


@pytest.mark.parametrize(
    "change",
    [
        {"origin": "ckp_" + "2" * 26},
        {"datasets": ["dst_" + "3" * 26]},
        {"tags": ["b", "a"]},
        {"priority": 3},
        {"force": True},
        {"alpha": {"min": -0.5, "max": 1.5, "num": 51}},
    ],
)
def test_what_does_not_count(change: dict[str, Any]) -> None:
    assert digest({**LINE, **change}, BYTES) == digest(LINE, BYTES)


@pytest.mark.parametrize(
    "change",
    [
        {"alpha": {"min": -0.5, "max": 1.5, "num": 52}},
        {"precision": "float64"},
        {"buffers": "interpolate"},
    ],
)
def test_what_does(change: dict[str, Any]) -> None:
    assert digest({**LINE, **change}, BYTES) != digest(LINE, BYTES)


@pytest.mark.parametrize(
    "change",
    [
        {"program": Program("sha256:q", None, "cross_entropy")},
        {"program": Program("sha256:p", None, "mse")},
        {"program": Program("sha256:p", None, "cross_entropy", {"reduction": "position"})},
        {"program": Program(None, {"name": "resnet", "config": {}}, "cross_entropy")},
        {"origin": "sha256:c"},
        {"target": "sha256:c"},
        {"datasets": [Samples("sha256:e", "train")]},
        {"datasets": [Samples("sha256:d", "test")]},
        {"datasets": [Samples("sha256:d", "train"), Samples("sha256:e", "test")]},
    ],
)
def test_the_bytes_count(change: dict[str, Any]) -> None:
    assert digest(LINE, {**BYTES, **change}) != digest(LINE, BYTES)


def test_questions_of_before_have_the_digests_they_had() -> None:
    """What was computed before an option was there answers for its default."""
    line, plane = (
        "sha256:9ef6c6d50c64e2dd1924bc23bd394e8c87318e7c4455d5e5509b0c4944c1252f",
        "sha256:c9d3ac0845ca40430a6c239e37da73cf94060853a569d0e2783885b77b645291",
    )
    assert (digest(LINE, BYTES), digest(SURFACE, PLANE)) == (line, plane)
    for options in ({}, {"reduction": "sample"}):
        asked = LossOptions.model_validate(options).asked()
        program = Program("sha256:p", None, "cross_entropy", asked)
        assert digest(LINE, {**BYTES, "program": program}) == line
        assert digest(SURFACE, {**PLANE, "program": program}) == plane


def test_a_plane_counts_its_directions_grid_and_orthogonality() -> None:
    plain = digest(SURFACE, PLANE)
    directions = {**PLANE["directions"], "y": Direction({"kind": "random", "seed": 3}, None)}
    assert digest(SURFACE, {**PLANE, "directions": directions}) != plain
    assert digest({**SURFACE, "orthogonalise": True}, PLANE) != plain
    wide = {**SURFACE["grid"], "y": {"min": -1, "max": 2, "num": 3}}
    assert digest({**SURFACE, "grid": wide}, PLANE) != plain


def test_a_far_end_counts_by_its_weights_and_not_its_id() -> None:
    def between(target: str, weights: str) -> str:
        x = Direction({"kind": "between", "target": target}, weights)
        return digest(SURFACE, {**PLANE, "directions": {**PLANE["directions"], "x": x}})

    assert between("ckp_1", "sha256:b") == between("ckp_2", "sha256:b")
    assert between("ckp_1", "sha256:b") != between("ckp_1", "sha256:c")
