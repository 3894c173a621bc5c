"""Directions: where their numbers come from, how they are scaled, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from tests.support.module_network import ModuleNetwork, point_of, seeded
from workers.engine.direction import Direction, geometry, inner, orthogonalise
from workers.engine.directions import between, random_direction, uploaded
from workers.engine.errors import DirectionInvalid, InputInvalid
from workers.engine.gaussian import rademacher, standard_gaussians
from workers.engine.network import Point
from workers.engine.normalisation import Rule, normalise


class Mixed(nn.Module):
    """One of each: convolution, transposed convolution, norms of both kinds, linear, a scalar."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.up = nn.ConvTranspose2d(4, 5, 2)
        self.bn = nn.BatchNorm2d(5)
        self.ln = nn.LayerNorm((5, 2))
        self.fc = nn.Linear(6, 7)
        self.temperature = nn.Parameter(torch.tensor(0.7))


def mixed() -> tuple[ModuleNetwork, Point]:
    module = seeded(Mixed, seed=5)
    for p in module.parameters():
        p.data = torch.randn(p.shape)
    return ModuleNetwork(module), point_of(module)


NETWORK, THETA = mixed()
RANDOM = random_direction(NETWORK, 11, "x")
ONE_DIMENSIONAL = ["conv.bias", "up.bias", "bn.weight", "bn.bias", "fc.bias", "temperature"]
NORMS = ["bn.weight", "bn.bias"]


def scaled(normalisation: str, ignore: tuple[str, ...] = (), convention: str = "lossatlas"):  # type: ignore[no-untyped-def]
    rule = Rule.from_words(normalisation, ignore, convention)
    return normalise(RANDOM, THETA, NETWORK, rule).parameters


def test_the_numbers_never_change() -> None:
    """Golden values: whoever redoes a published direction must get these."""
    got = standard_gaussians(1, "x", "fc.weight", (2, 2))
    assert got.shape == (2, 2)
    assert got.ravel().tolist() == pytest.approx(GOLDEN, rel=1e-14)


GOLDEN = [0.26025195651438165, -0.20535229861182044, 0.6461491254188243, -1.5735459036803991]


def test_the_numbers_are_standard_gaussians() -> None:
    sample = standard_gaussians(2, "x", "w", (200_000,))
    # Kolmogorov–Smirnov at fixed data: not a matter of luck, but of the transform being right.
    assert stats.kstest(sample, "norm").pvalue > 0.01
    assert np.isfinite(sample).all()
    signs = rademacher(2, "x", "w", (100_000,))
    assert set(signs.tolist()) == {-1.0, 1.0}
    assert abs(signs.mean()) < 5 / math.sqrt(100_000)


@pytest.mark.parametrize(
    "other",
    [(2, "x", "w", (64,)), (1, "y", "w", (64,)), (1, "x", "v", (64,)), (1, "x", "w", (8, 8))],
)
def test_seed_axis_name_and_shape_each_give_other_numbers(
    other: tuple[int, str, str, tuple[int, ...]],
) -> None:
    a = standard_gaussians(1, "x", "w", (64,)).ravel()
    b = standard_gaussians(*other).ravel()
    assert not np.isin(a, b).any()
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.5


def test_fields_do_not_run_into_each_other() -> None:
    assert not np.array_equal(
        standard_gaussians(1, "x1", "w", (4,)), standard_gaussians(1, "x", "1w", (4,))
    )


def test_a_tensor_does_not_depend_on_the_others() -> None:
    class Only(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(6, 7)

    alone = random_direction(ModuleNetwork(Only()), 11, "x")
    assert torch.equal(alone.parameters["fc.weight"], RANDOM.parameters["fc.weight"])


def test_two_random_directions_are_nearly_orthogonal() -> None:
    network = ModuleNetwork(nn.Linear(300, 300))
    x, y = (random_direction(network, 4, axis) for axis in "xy")
    cosine = geometry(x, y).cosine
    assert cosine is not None
    assert abs(cosine) < 5 / math.sqrt(300 * 301)


def slices(tensor: torch.Tensor, name: str) -> torch.Tensor:
    """Rows = what is scaled together by `filter`."""
    if name == "up.weight":
        tensor = tensor.transpose(0, 1)
    return tensor.reshape(tensor.shape[0], -1)


@pytest.mark.parametrize("name", ["conv.weight", "up.weight", "ln.weight", "ln.bias", "fc.weight"])
def test_filter_gives_each_output_slice_the_norm_of_its_filter(name: str) -> None:
    d, theta = slices(scaled("filter")[name], name), slices(THETA.parameters[name].double(), name)
    assert torch.allclose(d.norm(dim=1), theta.norm(dim=1), rtol=1e-9)
    raw = slices(RANDOM.parameters[name], name)
    cosines = (d * raw).sum(1) / d.norm(dim=1) / raw.norm(dim=1)
    assert torch.allclose(cosines, torch.ones_like(cosines))


def test_filter_of_a_transposed_convolution_goes_along_its_output_dimension() -> None:
    weight = scaled("filter")["up.weight"]
    assert weight.shape == (4, 5, 2, 2)
    theta = THETA.parameters["up.weight"].double()
    norm = torch.linalg.vector_norm
    assert torch.allclose(norm(weight, dim=(0, 2, 3)), norm(theta, dim=(0, 2, 3)))
    assert not torch.allclose(norm(weight, dim=(1, 2, 3)), norm(theta, dim=(1, 2, 3)))


@pytest.mark.parametrize("name", [n for n in NETWORK.parameters if n not in ONE_DIMENSIONAL])
def test_the_other_rules(name: str) -> None:
    raw, theta = RANDOM.parameters[name], THETA.parameters[name].double()
    assert torch.allclose(scaled("layer")[name], raw * theta.norm() / (raw.norm() + 1e-10))
    assert torch.equal(scaled("weight")[name], raw * theta)
    assert torch.allclose(
        slices(scaled("dfilter")[name], name).norm(dim=1), torch.ones(1, dtype=torch.float64)
    )
    assert scaled("dlayer")[name].norm().item() == pytest.approx(1, abs=1e-9)
    assert torch.equal(scaled("none")[name], raw)


@pytest.mark.parametrize("rule", ["filter", "layer", "weight", "dfilter", "dlayer", "none"])
def test_ignored_tensors_are_zero_and_the_rest_is_not(rule: str) -> None:
    for ignore, zero in (
        (("bias", "norm"), ONE_DIMENSIONAL),
        (("bias",), [n for n in ONE_DIMENSIONAL if n not in NORMS]),
        (("norm",), NORMS),
        ((), []),
    ):
        got = scaled(rule, ignore)
        assert [n for n, t in got.items() if not t.any()] == [n for n in got if n in zero]


def test_our_convention_scales_a_one_dimensional_tensor_as_one_filter() -> None:
    got = scaled("filter")
    for name in ONE_DIMENSIONAL:
        raw, theta = RANDOM.parameters[name], THETA.parameters[name].double()
        assert torch.allclose(got[name], raw * theta.norm() / (raw.norm() + 1e-10))


@pytest.mark.parametrize("rule", ["filter", "layer", "weight", "dfilter", "dlayer", "none"])
def test_li2018_copies_one_dimensional_tensors(rule: str) -> None:
    got = scaled(rule, (), "li2018")
    for name in ONE_DIMENSIONAL:
        assert torch.equal(got[name], THETA.parameters[name].double())
    assert torch.equal(got["fc.weight"], scaled(rule)["fc.weight"])


def test_a_filter_of_zeros_gets_a_direction_of_zeros() -> None:
    theta = Point({**THETA.parameters, "fc.weight": torch.zeros(7, 6)}, {})
    got = normalise(RANDOM, theta, NETWORK, Rule.from_words("filter"))
    assert not got.parameters["fc.weight"].any()


def test_orthogonalise() -> None:
    x = Direction(scaled("filter"))
    y = normalise(random_direction(NETWORK, 11, "y"), THETA, NETWORK, Rule.from_words("filter", ()))
    assert abs(geometry(x, y).cosine or 0) > 1e-4
    turned = orthogonalise(y, x)
    assert abs(geometry(x, turned).cosine or 0) < 1e-12
    # Only the part along x is gone: what is left plus that part is y.
    share = inner(x, y) / inner(x, x)
    for name, tensor in y.parameters.items():
        assert torch.allclose(turned.parameters[name] + share * x.parameters[name], tensor)
    zero = Direction({n: torch.zeros_like(t) for n, t in x.parameters.items()})
    assert orthogonalise(y, zero) is y
    assert math.isnan(geometry(zero, y).cosine or 0)


def test_between_two_points_with_their_buffers() -> None:
    other = Point(
        {n: t + 1 for n, t in THETA.parameters.items()},
        {n: b + 2 for n, b in THETA.buffers.items()},
    )
    d = between(NETWORK, THETA, other)
    assert torch.allclose(d.parameters["fc.weight"], torch.ones(7, 6, dtype=torch.float64))
    assert set(d.buffers) == {"bn.running_mean", "bn.running_var"}
    assert torch.allclose(d.buffers["bn.running_var"], torch.full((5,), 2.0, dtype=torch.float64))


def test_a_good_upload_is_taken_as_it_is() -> None:
    tensors = {**RANDOM.to(torch.float32).parameters, "bn.running_mean": torch.ones(5)}
    got = uploaded(NETWORK, tensors)
    assert got.parameters["fc.weight"] is tensors["fc.weight"]
    assert set(got.buffers) == {"bn.running_mean"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fc.weight": None}, "lacks 'fc.weight'"),
        ({"extra": torch.zeros(1)}, "no tensor named 'extra'"),
        ({"fc.weight": torch.zeros(6, 7)}, r"\(6, 7\) in the direction and \(7, 6\)"),
        ({"fc.bias": torch.zeros(7, dtype=torch.int64)}, "not a floating type"),
        ({"fc.bias": torch.full((7,), math.nan)}, "not finite"),
        ({"bn.num_batches_tracked": torch.tensor(1)}, "whole numbers"),
    ],
)
def test_a_bad_upload_is_refused_by_name(
    change: dict[str, torch.Tensor | None], message: str
) -> None:
    tensors = {**RANDOM.parameters, **change}
    given = {n: t for n, t in tensors.items() if t is not None}
    with pytest.raises(DirectionInvalid, match=message):
        uploaded(NETWORK, given)


def test_unknown_words_are_refused_with_the_known_ones() -> None:
    with pytest.raises(InputInvalid, match="'filter', 'layer'"):
        Rule.from_words("filters")
    with pytest.raises(InputInvalid, match="only 'bias' and 'norm'"):
        Rule.from_words("filter", ["weight"])
    with pytest.raises(InputInvalid, match="li2018"):
        Rule.from_words("filter", [], "li2017")
