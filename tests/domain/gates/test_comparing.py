"""When two landscapes answer the same question: every term counts but the network itself."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from service.domain.digests import digest_bytes
from service.domain.gates.comparing import differences, terms

WEIGHTS = {"ckp_a": digest_bytes(b"a"), "ckp_b": digest_bytes(b"b"), "ckp_c": digest_bytes(b"a")}


def surface(**changes: Any) -> dict[str, Any]:
    random = {"kind": "random", "seed": 1, "normalize": "filter", "ignore": ["norm", "bias"]}
    base: dict[str, Any] = {
        "kind": "surface",
        "spec": {
            "kind": "surface",
            "origin": "ckp_one",
            "datasets": ["dst_one"],
            "directions": {"x": "dir_one", "y": random},
            "grid": {"x": {"min": -1, "max": 1, "num": 25}, "y": {"min": -1, "max": 1, "num": 25}},
            "sampling": {"mode": "exact"},
            "precision": "float32",
            "buffers": "frozen",
            "recalibration": {"samples": 1024},
            "tags": ["a"],
            "priority": 0,
            "force": False,
        },
        "loss": "cross_entropy",
        "loss_options": {"reduction": "sample"},
        "definitions": "1",
        "datasets": [digest_bytes(b"data")],
        "directions": {"x": random, "y": {**random, "axis": "y"}},
        "weights": WEIGHTS,
        "objects": {},
    }
    base = copy.deepcopy(base)
    for path, value in changes.items():
        node = base
        *parents, last = path.split("__")
        for name in parents:
            node = node[name]
        node[last] = value
    return base


def unlike(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    return [difference.field for difference in differences(terms(**a), terms(**b))]


@pytest.mark.parametrize(
    "change",
    [
        {"spec__origin": "ckp_two"},
        {"spec__datasets": ["dst_two"]},
        {"spec__tags": []},
        {"spec__priority": 3},
        {"spec__force": True},
        # counts for nothing unless statistics are recalibrated
        {"spec__recalibration": {"samples": 8}},
        # how a direction was named; what it was made from is compared
        {"spec__directions": {}},
        {"directions__x__ignore": ["bias", "norm"]},
        {"spec__grid__x__min": -1.0},
    ],
)
def test_what_makes_no_difference(change: dict[str, Any]) -> None:
    assert unlike(surface(), surface(**change)) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kind": "trajectory"}, "kind"),
        ({"loss": "mse"}, "loss"),
        ({"loss_options__reduction": "position"}, "loss_options.reduction"),
        ({"definitions": "2"}, "definitions"),
        ({"datasets": [digest_bytes(b"other")]}, "datasets"),
        ({"spec__grid__x__num": 51}, "grid.x.num"),
        ({"spec__grid__y__max": 2}, "grid.y.max"),
        ({"spec__precision": "float64"}, "precision"),
        ({"spec__buffers": "interpolate"}, "buffers"),
        ({"spec__sampling__mode": "adaptive"}, "sampling.mode"),
        ({"spec__orthogonalise": True}, "orthogonalise"),
        ({"directions__x__seed": 2}, "directions.x.seed"),
        ({"directions__y__normalize": "layer"}, "directions.y.normalize"),
        ({"directions__y__ignore": []}, "directions.y.ignore"),
        # not known to this version, so it may matter
        ({"spec__something_new": 1}, "something_new"),
    ],
)
def test_what_makes_a_difference_is_named(change: dict[str, Any], field: str) -> None:
    assert unlike(surface(), surface(**change)) == [field]


def test_recalibration_counts_where_it_is_used() -> None:
    one = surface(spec__buffers="recalibrate")
    two = surface(spec__buffers="recalibrate", spec__recalibration={"samples": 8})
    assert unlike(one, two) == ["recalibration.samples"]


def test_directions_are_compared_by_the_bytes_they_name() -> None:
    def between(target: str) -> dict[str, Any]:
        return surface(directions={"x": {"kind": "between", "target": target}})

    assert unlike(between("ckp_a"), between("ckp_c")) == []
    assert unlike(between("ckp_a"), between("ckp_b")) == ["directions.x.target"]

    def path(*checkpoints: str) -> dict[str, Any]:
        return surface(directions={"x": {"kind": "pca", "checkpoints": list(checkpoints)}})

    assert unlike(path("ckp_a", "ckp_b"), path("ckp_c", "ckp_b")) == []
    assert unlike(path("ckp_a", "ckp_b"), path("ckp_b", "ckp_a")) == ["directions.x.checkpoints"]


def test_both_values_are_shown() -> None:
    (one,) = differences(terms(**surface()), terms(**surface(spec__grid__x__num=51)))
    assert one.to_json() == {"field": "grid.x.num", "landscape": 25, "baseline": 51}
    assert one.text() == "grid.x.num is 25 here and 51 there"


@pytest.mark.parametrize(
    ("landscape", "baseline", "again"),
    [
        ("lossatlas numerics 2", "lossatlas numerics 1", "compute the baseline again"),
        ("lossatlas numerics 9", "lossatlas numerics 10", "compute the landscape again"),
        ("lossatlas numerics 2", None, "not there"),
        ("another engine", "lossatlas numerics 1", "another engine"),
    ],
)
def test_other_definitions_are_told_with_what_to_compute_again(
    landscape: str | None, baseline: str | None, again: str
) -> None:
    found = differences(
        terms(**surface(definitions=landscape)), terms(**surface(definitions=baseline))
    )
    assert [difference.field for difference in found] == ["definitions"]
    text = found[0].text()
    assert again in text
    assert "equal names mean different numbers" in text
