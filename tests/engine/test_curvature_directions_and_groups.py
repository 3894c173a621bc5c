"""Directions from curvature, curvature along directions, and curvature by layers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.engine.dense_hessian import CURVED, dense_hessian, digits, objective
from workers.engine.curvature_directions import (
    curvature_along,
    eigenvector_direction,
    gradient_direction,
)
from workers.engine.direction import Direction, norm
from workers.engine.directions import random_direction
from workers.engine.errors import CurvatureNotFinite, DirectionInvalid, InputInvalid
from workers.engine.groups import GroupCurvature, group_curvatures, layers
from workers.engine.hessian import HessianOperator
from workers.engine.lanczos import RitzPair, spectrum_ends
from workers.engine.normalisation import Kind
from workers.engine.objective import Gradient
from workers.engine.operators import CountingOperator

CASE = CURVED["convnet"]


def flat(direction: Direction) -> torch.Tensor:
    return torch.cat([t.reshape(-1) for t in direction.parameters.values()])


def test_the_gradient_points_uphill_and_leaves_out_what_is_excluded() -> None:
    gradient = objective(CASE).at(CASE.origin).gradient()
    got = gradient_direction(CASE.network, gradient)
    assert list(got.parameters) == list(CASE.network.parameters)
    assert torch.equal(flat(got), gradient.vector)
    assert flat(got) @ gradient.vector > 0
    assert got.buffers == {}
    chosen = objective(CASE, exclude=frozenset({Kind.BIAS, Kind.NORM}))
    part = gradient_direction(CASE.network, chosen.at(CASE.origin).gradient())
    for name, tensor in part.parameters.items():
        if CASE.origin.parameters[name].dim() > 1:
            assert torch.allclose(tensor, got.parameters[name], rtol=0, atol=1e-14)
        else:
            assert not tensor.any()


def test_a_gradient_that_is_no_direction_is_refused() -> None:
    layout = objective(CASE).layout
    for value, message in ((0.0, "zero"), (torch.nan, "not finite")):
        vector = torch.full((layout.size,), value, dtype=torch.float64)
        with pytest.raises(DirectionInvalid, match=message):
            gradient_direction(CASE.network, Gradient(1.0, vector, layout))


def test_eigenvectors_are_those_of_the_dense_hessian_with_a_fixed_sign() -> None:
    matrix = dense_hessian(CASE)
    _, vectors = np.linalg.eigh(matrix.numpy())
    operator = HessianOperator(objective(CASE).at(CASE.origin), retain=True)
    for seed in range(3):
        spectrum = spectrum_ends(operator, tolerance=1e-8, seed=seed)
        for pair, exact in (
            (spectrum.largest[0], vectors[:, -1]),
            (spectrum.smallest[0], vectors[:, 0]),
        ):
            got = eigenvector_direction(CASE.network, operator, pair)
            assert norm(got) == pytest.approx(1, abs=1e-12)
            exact = exact * np.sign(exact[np.abs(exact).argmax()])
            assert np.abs(flat(got).numpy() - exact).max() < 1e-5
            (along,) = curvature_along(operator, [got])
            assert along.value == pytest.approx(pair.value, rel=1e-9)
    with pytest.raises(DirectionInvalid, match="ask for them"):
        eigenvector_direction(CASE.network, operator, RitzPair(1.0, 0.0, True))


def test_curvature_along_directions() -> None:
    matrix = dense_hessian(CASE)
    operator = CountingOperator(HessianOperator(objective(CASE).at(CASE.origin)))
    given = [random_direction(CASE.network, 8, axis) for axis in "xy"]
    given.append(Direction({n: 1e6 * t for n, t in given[0].parameters.items()}))
    got = curvature_along(operator, given)
    assert operator.products == 3
    for direction, along in zip(given, got, strict=True):
        d = flat(direction)
        assert along.value == pytest.approx(float(d @ matrix @ d / (d @ d)), rel=1e-10)
        assert along.norm == pytest.approx(norm(direction))
    zero = Direction({n: torch.zeros_like(t) for n, t in given[0].parameters.items()})
    with pytest.raises(InputInvalid, match="zero over the parameters"):
        curvature_along(operator, [zero])
    with pytest.raises(InputInvalid, match="no direction"):
        curvature_along(operator, [])
    bad = {**CASE.origin.parameters, "7.bias": torch.full((3,), torch.nan)}
    point = type(CASE.origin)(bad, CASE.origin.buffers)
    with pytest.raises(CurvatureNotFinite):
        curvature_along(HessianOperator(objective(CASE).at(point)), given)


def test_layers_are_modules() -> None:
    assert layers(objective(CASE).layout) == {
        "0": ("0.weight", "0.bias"),
        "1": ("1.weight", "1.bias"),
        "3": ("3.weight",),
        "4": ("4.weight", "4.bias"),
        "7": ("7.weight", "7.bias"),
    }


def test_every_layer_against_its_dense_block() -> None:
    heard: list[GroupCurvature] = []
    got = group_curvatures(
        objective(CASE), CASE.origin, tolerance=1e-6, retain=True, on_group=heard.append
    )
    assert tuple(heard) == got
    assert [g.group for g in got] == ["0", "1", "3", "4", "7"]
    for group in got:
        block = dense_hessian(CASE, list(group.parameters))
        assert group.size == len(block)
        exact = np.linalg.eigvalsh(block.numpy())
        scale = np.abs(exact).max()
        assert abs(group.largest.value - exact[-1]) <= 1e-6 * scale
        assert abs(group.smallest.value - exact[0]) <= 1e-6 * scale
        truth = float(block.trace())
        assert abs(group.trace.trace - truth) <= 5 * group.trace.standard_error + 1e-10
        assert group.products <= 116


def test_groups_of_ones_own_and_of_one_number() -> None:
    chosen, point = digits()
    groups = {"weights": ["0.weight", "2.weight"], "bias": ["2.bias"]}
    got = group_curvatures(chosen, point, groups)
    assert [(g.group, g.size) for g in got] == [("weights", 592), ("bias", 10)]
    with pytest.raises(InputInvalid, match="'none' is empty"):
        group_curvatures(chosen, point, {"none": []})
    with pytest.raises(InputInvalid, match="no parameter of the curvature"):
        group_curvatures(chosen, point, {"other": ["3.weight"]})
