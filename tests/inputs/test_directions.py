"""Directions as recorded: defaults filled in, uploaded tensors matched."""

from __future__ import annotations

import pytest

from service.domain.directions import BetweenDirection, Ignored, RandomDirection, UploadedDirection
from service.inputs.directions import match_uploaded, spec_digest, spec_json, with_axis
from service.inputs.fit import TensorShape

PARAMETERS = {"w": TensorShape("float32", (2, 3)), "b": TensorShape("float32", (2,))}
BUFFERS = {"mean": TensorShape("float32", (2,)), "count": TensorShape("int64", ())}


def prefixed(*prefixes: str) -> dict[str, TensorShape]:
    return {f"{p}{n}": t for p in prefixes for n, t in PARAMETERS.items()}


def test_a_random_direction_keeps_the_axis_it_was_made_for() -> None:
    spec = RandomDirection(seed=3)
    x = with_axis(spec, "x")
    assert spec_json(x)["axis"] == "x"
    assert spec_digest(x) != spec_digest(with_axis(spec, "y"))
    assert with_axis(x, "y") == x


def test_other_kinds_have_no_axis() -> None:
    spec = BetweenDirection(target="ckp_" + "0" * 26)
    assert with_axis(spec, "y") == spec


def test_equal_specs_have_equal_digests_whatever_the_order_of_their_sets() -> None:
    one = RandomDirection(seed=1, ignore=frozenset([Ignored.BIAS, Ignored.NORM]))
    two = RandomDirection(seed=1, ignore=frozenset([Ignored.NORM, Ignored.BIAS]))
    assert spec_json(one)["ignore"] == ["bias", "norm"]
    assert spec_digest(one) == spec_digest(two)


def test_uploaded_names_match_as_they_are() -> None:
    assert match_uploaded(PARAMETERS, BUFFERS, PARAMETERS, "", None).faults == ()
    with_buffer = {**PARAMETERS, "buffer:mean": BUFFERS["mean"]}
    assert match_uploaded(PARAMETERS, BUFFERS, with_buffer, "", "x").faults == ()


@pytest.mark.parametrize("axis", ["x", "y"])
def test_an_object_of_both_axes_is_read_by_the_axis_at_hand(axis: str) -> None:
    matched = match_uploaded(PARAMETERS, BUFFERS, prefixed("x.", "y."), "", axis)  # type: ignore[arg-type]
    assert matched.prefix == f"{axis}."
    assert matched.faults == ()


def test_outside_a_job_the_fix_names_the_prefixes_that_fit() -> None:
    matched = match_uploaded(PARAMETERS, BUFFERS, prefixed("x.", "y."), "", None)
    assert matched.faults
    assert '"prefix": "x."' in matched.hint
    assert '"prefix": "y."' in matched.hint


def test_a_prefix_leaves_other_names_alone() -> None:
    assert match_uploaded(PARAMETERS, BUFFERS, prefixed("a.", "b."), "b.", "x").faults == ()
    matched = match_uploaded(PARAMETERS, BUFFERS, prefixed("a."), "z.", None)
    assert "begins with 'z.'" in matched.faults[0].detail


def test_whole_number_buffers_cannot_be_moved() -> None:
    given = {**PARAMETERS, "count": BUFFERS["count"]}
    faults = match_uploaded(PARAMETERS, BUFFERS, given, "", None).faults
    assert [f.name for f in faults] == ["count"]


def test_the_default_prefix_is_recorded() -> None:
    spec = UploadedDirection(object="sha256:" + "0" * 64)
    assert spec_json(spec)["prefix"] == ""
