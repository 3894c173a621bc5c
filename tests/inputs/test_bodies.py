"""Errors of tagged-union bodies point at the field as it was sent."""

from __future__ import annotations

from typing import Any

import pytest

from service.domain.problems import Problem
from service.domain.questions.table import job_spec
from service.inputs.bodies import read

CHECKPOINT = "ckp_" + "0" * 26
OTHER = "ckp_" + "1" * 26
DATASET = "dst_" + "0" * 26
AXIS = {"min": -1, "max": 1, "num": 3}


def surface(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "surface",
        "origin": CHECKPOINT,
        "directions": {
            "x": {"kind": "random", "seed": 1},
            "y": {"kind": "random", "seed": 2},
        },
        "grid": {"x": AXIS, "y": AXIS},
        "datasets": [DATASET],
        **changes,
    }


def line(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "interpolation",
        "origin": CHECKPOINT,
        "target": OTHER,
        "datasets": [DATASET],
        **changes,
    }


def pointers(body: Any) -> list[str]:
    with pytest.raises(Problem) as caught:
        read(job_spec(), body)
    assert caught.value.code == "invalid_request"
    return [error.pointer for error in caught.value.errors]


def test_good_bodies_are_read() -> None:
    assert read(job_spec(), surface()).grid.cells == 9
    assert read(job_spec(), line()).target == OTHER


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ([], [""]),
        ("text", [""]),
        ({}, ["/kind"]),
        ({"kind": "volume"}, ["/kind"]),
        (line(origin="mdl_1"), ["/origin"]),
        (line(target=CHECKPOINT), ["/target"]),
        (line(datasets=[]), ["/datasets"]),
        (line(datasets=[DATASET, DATASET]), ["/datasets"]),
        (line(datasets=["x"]), ["/datasets/0"]),
        (line(alpha={"min": 1, "max": 0, "num": 5}), ["/alpha"]),
        (line(alpha={"min": float("nan"), "max": 0, "num": 5}), ["/alpha/min"]),
        (line(beta=1), ["/beta"]),
        (line(interpolation=1), ["/interpolation"]),
        (line(precision="float8"), ["/precision"]),
        (surface(grid={"x": AXIS}), ["/grid/y"]),
        (surface(grid={"x": AXIS, "y": {**AXIS, "num": 0}}), ["/grid/y/num"]),
        (surface(grid=[]), ["/grid"]),
        (surface(directions={"x": "dir_1", "y": {"kind": "random"}}), [
            "/directions/x", "/directions/y/seed",
        ]),
        (surface(directions={"x": {"kind": "rnd"}, "y": {"seed": 1}}), [
            "/directions/x/kind", "/directions/y/kind",
        ]),
        (surface(directions={"x": 7, "y": {"kind": "random", "seed": 1, "random": 1}}), [
            "/directions/x", "/directions/y/random",
        ]),
    ],
)  # fmt: skip
def test_pointers(body: Any, expected: list[str]) -> None:
    assert pointers(body) == expected


def test_an_unknown_kind_names_those_there_are() -> None:
    with pytest.raises(Problem) as caught:
        read(job_spec(), {"kind": "volume"})
    assert all(f"'{kind}'" in caught.value.detail for kind in ("interpolation", "line", "surface"))
