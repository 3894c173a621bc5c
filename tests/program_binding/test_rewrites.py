"""Every rewrite that stands beside an operator, against PyTorch's public operators.

In float32, where there are rewrites, and in float64, where folding and oneDNN's products stand
aside; in the plain and in channels-last order; at sizes that each rewrite asks for. A program is
run twice: what a rewrite in place spoils shows in the second run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
import torch
from torch import Tensor

from tests.program_binding.operators.program import Program, functions_of
from tests.program_binding.test_folding import _operators
from workers.engine.network import Point
from workers.program.fusing import _ACTIVATIONS

_TOLERANCE: Final = {torch.float32: 2e-5, torch.float64: 1e-12}


def _random(*shape: int, scale: float = 1.0) -> Tensor:
    seed = sum((place + 1) * size for place, size in enumerate(shape))
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * scale


def _compare(program: Program, expected: set[str]) -> None:
    truth = program.public(torch.float64)
    size = float(truth.abs().max())
    network = program.bound()
    for dtype, tolerance in _TOLERANCE.items():
        for last in (False, True):
            parameters, buffers, x = program.point(dtype, last=last)
            given = x.clone()
            with torch.inference_mode():
                infer = network.at(parameters, buffers)
                first, second = infer(x).clone(), infer(x)
            assert torch.equal(first, second)
            assert torch.equal(x, given)
            assert (first.dtype, first.shape) == (dtype, truth.shape)
            assert float((first.double() - truth).abs().max()) <= tolerance * size
            plain = network(parameters, buffers, x)
            assert float((plain.double() - truth).abs().max()) <= tolerance * size
    assert expected <= functions_of(network)


# Batch norms folded into what stands before them.


def _foldable() -> Iterator[Any]:
    for n in (1, 2, 3):
        x, window = _random(3, 4, *(6, 5, 4)[:n]), (3, 2, 2)[:n]
        ones = (1,) * n
        name = f"conv{n}d"
        dense, halved = _random(6, 4, *window), _random(6, 2, *window)
        turned, turned_halves = _random(4, 6, *window), _random(4, 3, *window)
        yield name, x, dense, (None, ones, ones), True
        yield name, x, halved, (None, ones, ones, ones, 2), True
        yield f"{name}.padding", x, dense, (None, ones, "same"), True
        transposed = f"conv_transpose{n}d" + ("" if n == 1 else ".input")
        yield transposed, x, turned, (None, (2,) * n, ones, ones), True
        yield transposed, x, turned_halves, (None, ones, (0,) * n, (0,) * n, 2), False
    yield "linear", _random(5, 7), _random(6, 7), (None,), True


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize(
    ("operator", "x", "weight", "geometry", "folds"),
    _foldable(),
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_folding(
    operator: str,
    x: Tensor,
    weight: Tensor,
    geometry: tuple[Any, ...],
    folds: bool,
    biased: bool,
    affine: bool,
) -> None:
    program = Program(
        x,
        weight=weight,
        bias=_random(6),
        gain=_random(6),
        shift=_random(6) + 1,
        mean=_random(6) - 1,
        variance=_random(6).abs() + 0.3,
    )
    bias = program["bias"] if biased else None
    product = program.apply(operator, program.x, program["weight"], bias, *geometry[1:])
    gain, shift = (program[name] if affine else None for name in ("gain", "shift"))
    statistics = (program["mean"], program["variance"])
    program.apply("batch_norm", product, gain, shift, *statistics, False, 0.1, 1e-3, True)
    _compare(program, {"folded"} if folds else set())


def test_folding_of_a_norm_from_a_decomposition() -> None:
    program = Program(
        _random(3, 4, 6, 5),
        weight=_random(6, 4, 3, 3),
        **{name: _random(6) for name in ("gain", "shift", "mean")},
        variance=_random(6).abs() + 0.3,
    )
    product = program.apply("conv2d", program.x, program["weight"])
    rest = (program[name] for name in ("gain", "shift", "mean", "variance"))
    program.apply("_native_batch_norm_legit_no_training", product, *rest, 0.1, 1e-3)
    _compare(program, {"folded"})


# Sums, products and activations in memory that nobody reads any more.

#: Arguments beside the first, where an activation takes any.
_ARGUMENTS: Final[dict[str, list[dict[str, Any]]]] = {
    "leaky_relu": [{}, {"negative_slope": 0.3}],
    "elu": [{}, {"alpha": 1.3, "scale": 0.7, "input_scale": 1.9}],
    "gelu": [{}, {"approximate": "tanh"}],
    "hardtanh": [{}, {"min_val": -0.25, "max_val": 0.8}],
}


@pytest.mark.parametrize("operator", sorted(_ACTIVATIONS))
def test_activations_in_place(operator: str) -> None:
    name = operator.split(".")[1]
    for arguments in _ARGUMENTS.get(name, [{}]):
        for product, x, weight in (
            ("conv2d", _random(2, 3, 5, 4), _random(4, 3, 3, 3)),
            ("linear", _random(2, 3, 6), _random(4, 6)),
        ):
            program = Program(x, weight=weight, shift=_random(1))
            made = program.apply(product, program.x, program["weight"])
            active = program.apply(name, made, **arguments)
            program.apply("neg", active)
            network = program.bound()
            parameters, buffers, given = program.point(torch.float32, last=True)
            called = _operators(network, Point(parameters, buffers), given)
            assert f"aten.{name}_.default" in called
            _compare(program, set())


@pytest.mark.parametrize("operator", ["add.Tensor", "mul.Tensor"])
@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("other", [(4, 5, 4), (4, 1, 1), (1, 4, 5, 1), ()])
def test_sums_and_products_in_place(operator: str, swapped: bool, other: tuple[int, ...]) -> None:
    program = Program(_random(2, 3, 5, 4), weight=_random(4, 3, 3, 3), other=_random(*other))
    made = program.apply("conv2d", program.x, program["weight"], None, (1, 1), (1, 1))
    active = program.apply("tanh", made)
    pair = (program["other"], active) if swapped else (active, program["other"])
    program.apply("neg", program.apply(operator, *pair))
    _compare(program, {"sum_in_place" if operator.startswith("add") else "product_in_place"})


def _of_images(channels: int, size: int, *, stride: int = 1, groups: int = 1) -> Program:
    """Convolution, ReLU, convolution added to what the first one gave, ReLU, negation."""
    scale = (9 * channels / groups) ** -0.5
    program = Program(
        _random(3, channels, size, size),
        a=_random(channels, channels // groups, 3, 3, scale=scale),
        b=_random(channels, channels // groups, 3, 3, scale=scale),
        bias=_random(channels),
    )
    bias, geometry = program["bias"], ((1, 1), (1, 1), (1, 1), groups)
    strided = ((stride, stride), *geometry[1:])
    first = program.apply("relu", program.apply("conv2d", program.x, program["a"], bias, *strided))
    source = program.x
    second = program.apply("conv2d", source, program["b"], bias, *strided)
    program.apply("neg", program.apply("relu", program.apply("add.Tensor", second, first)))
    return program


@pytest.mark.parametrize(
    ("make", "called"),
    [
        (lambda: _of_images(5, 7), "mkldnn._convolution_pointwise_"),
        (lambda: _of_images(32, 7), "mkldnn._convolution_pointwise_"),
        (lambda: _of_images(32, 7, stride=2), "mkldnn._convolution_pointwise_"),
        (lambda: _of_images(96, 7, groups=2), "mkldnn._convolution_pointwise_"),
        (lambda: _of_images(128, 9), "mkldnn._linear_pointwise"),
    ],
    ids=["few weights", "many weights", "strided", "grouped", "winograd"],
)
def test_convolutions_added(make: Callable[[], Program], called: str) -> None:
    program = make()
    parameters, buffers, x = program.point(torch.float32, last=True)
    names = _operators(program.bound(), Point(parameters, buffers), x)
    assert any(name.startswith(called) for name in names)
    _compare(program, {"convolution_added", "in_order", "relu_in_place"})


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("size", [(12, 11), (7, 8), (4, 4), (2, 3)])
def test_winograd(size: tuple[int, int], biased: bool) -> None:
    weight = _random(136, 128, 3, 3, scale=0.03)
    program = Program(_random(2, 128, *size), weight=weight, bias=_random(136))
    bias = program["bias"] if biased else None
    program.apply("conv2d", program.x, program["weight"], bias, (1, 1), (1, 1))
    parameters, buffers, x = program.point(torch.float32, last=True)
    names = _operators(program.bound(), Point(parameters, buffers), x)
    transformed = sum(name.startswith("mkldnn._linear_pointwise") for name in names)
    assert transformed == (16 if min(size) >= 4 else 0)
    _compare(program, {"convolution", "in_order"})


@pytest.mark.parametrize("shape", [(64, 256), (16, 8, 256), (2, 3, 32, 256), (3, 256)])
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("turned", [True, False])
def test_linear_maps(shape: tuple[int, ...], biased: bool, turned: bool) -> None:
    """Large ones by oneDNN, of an argument in any order; small ones by PyTorch."""
    program = Program(_random(*shape), weight=_random(96, 256, scale=1 / 16), bias=_random(96))
    source = program.x
    if turned and len(shape) > 2:
        source = program.apply("transpose.int", source, 0, 1)
    bias = program["bias"] if biased else None
    program.apply("linear", source, program["weight"], bias)
    parameters, buffers, x = program.point(torch.float32, last=False)
    names = _operators(program.bound(), Point(parameters, buffers), x)
    large = x.numel() * 96 >= 1 << 20
    assert any(name.startswith("mkldnn._linear_pointwise") for name in names) == large
    _compare(program, {"linear"})


# The map that a program begins with, and statistics of the batch at hand.


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("dtype", list(_TOLERANCE))
def test_a_leading_map_cut_off(dtype: torch.dtype, last: bool, biased: bool) -> None:
    program = Program(_random(5, 3, 4, 4), weight=_random(30, 48), bias=_random(30))
    bias = program["bias"] if biased else None
    flat = program.apply("flatten.using_ints", program.x, 1)
    program.apply("tanh", program.apply("linear", flat, program["weight"], bias))
    leading = program.bound().leading
    assert leading is not None
    parameters, buffers, x = program.point(dtype, last=last)
    with torch.inference_mode():
        argument = leading.argument(parameters, buffers, x)
        product = argument @ parameters["weight"].t() + (parameters["bias"] if biased else 0)
        found = leading.rest(parameters, buffers)(product)
    truth = program.public(torch.float64)
    assert float((found.double() - truth).abs().max()) <= _TOLERANCE[dtype]


@pytest.mark.parametrize("size", [(), (7,), (5, 4), (3, 2, 4)])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("dtype", list(_TOLERANCE))
@pytest.mark.parametrize("decomposed", [True, False])
def test_statistics_of_the_batch(
    dtype: torch.dtype, last: bool, size: tuple[int, ...], decomposed: bool
) -> None:
    """Two norms in a row: the second one's input is what the first one made in training."""
    names = ("gain", "shift")
    program = Program(
        _random(6, 4, *size) + 2,
        **{name: _random(4) for name in names},
        mean=_random(4),
        variance=_random(4).abs() + 0.3,
        mean2=_random(4),
        variance2=_random(4).abs() + 0.3,
    )
    affine = tuple(program[name] for name in names)
    value = program.x
    for mean, variance in (("mean", "variance"), ("mean2", "variance2")):
        statistics = (program[mean], program[variance])
        if decomposed:
            operator, rest = "_native_batch_norm_legit_no_training", (0.1, 1e-5)
        else:
            operator, rest = "batch_norm", (False, 0.1, 1e-5, True)
        value = program.apply("tanh", program.apply(operator, value, *affine, *statistics, *rest))
    parameters, buffers, x = program.point(dtype, last=last)
    halves = [(x[:4],), (x[4:],)]
    found = program.bound().recalibrated(parameters, buffers, halves)

    gain, shift = parameters["gain"].double(), parameters["shift"].double()
    wanted: dict[str, list[Tensor]] = {name: [] for name in buffers}
    for (batch,) in halves:
        y = batch.double()
        for mean, variance in (("mean", "variance"), ("mean2", "variance2")):
            kept, spread = torch.zeros(4).double(), torch.ones(4).double()
            y = torch.nn.functional.batch_norm(y, kept, spread, gain, shift, True, 1.0, 1e-5)
            y = torch.tanh(y)
            wanted[mean].append(kept)
            wanted[variance].append(spread)
    assert set(found) == set(buffers)
    for name, parts in wanted.items():
        truth = torch.stack(parts).mean(0)
        assert torch.allclose(found[name].double(), truth, rtol=0, atol=10 * _TOLERANCE[dtype])


def test_distances_do_not_depend_on_how_many_there_are() -> None:
    """PyTorch's own go over to products of matrices, which near points do not survive."""
    centres = _random(40, 3) + 5
    program = Program(centres + 1e-3 * _random(40, 3), centres=centres)
    program.apply("cdist", program.x, program["centres"])
    parameters, buffers, x = program.point(torch.float32, last=False)
    truth = program.public(torch.float64).diagonal()
    with torch.inference_mode():
        infer = program.bound().at(parameters, buffers)
        found, few = infer(x), infer(x[:2])
    assert torch.equal(found[:2], few)
    true = torch.linalg.vector_norm(x.double() - centres.double(), dim=1)
    assert torch.allclose(found.diagonal().double(), true, rtol=1e-5)
    assert torch.allclose(truth, true, rtol=1e-6)
    theirs = program.public(torch.float32).diagonal().double()
    assert not torch.allclose(theirs, true, rtol=1e-5)
