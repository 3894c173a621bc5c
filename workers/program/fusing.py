"""Calls of a CPU's inference with fewer passes over memory, and on oneDNN's products.

Four rewrites, each of which leaves the values what they were but for rounding:

    a convolution and the sum after it    the convolution adds into the other summand
    an activation, a sum or a product     in the place of an argument that nobody reads any more
    a convolution with many weights       its weights in oneDNN's own order, once for each point,
                                          or transformed for `winograd`
    a linear map                          oneDNN's product: in float32 instead of MKL's, which on
                                          processors of other makers takes narrower instructions

oneDNN would take a ReLU into its convolutions as well, but there it turns NaN into zero: a cell
that is NaN must say so, so ReLUs stay by themselves.

Owns which calls may be rewritten, and the functions that take their place. What may be written
over: only what a call of the same batch made afresh, and only by its last reader.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from service.programs.graph import TensorRef
from workers.program import onednn, winograd
from workers.program.operators import Call
from workers.program.products import product
from workers.program.schedule import reads
from workers.program.winograd import TransformedWeights

_CONVOLUTION: Final = "aten.conv2d.default"
_LINEAR: Final = "aten.linear.default"
_ADD: Final = "aten.add.Tensor"
_ADDED: Final = "convolution added"
_RELU: Final = "aten.relu.default"
_MULTIPLY: Final = "aten.mul.Tensor"
#: Activations that can be computed in the memory of their argument.
_ACTIVATIONS: Final = frozenset(
    f"aten.{name}.default"
    for name in (
        *("relu", "relu6", "leaky_relu", "elu", "silu", "gelu", "sigmoid", "tanh"),
        *("hardtanh", "hardswish", "hardsigmoid"),
    )
)
#: Operators whose result is in memory of its own, never a view of an argument.
_FRESH: Final = frozenset(
    {
        _CONVOLUTION,
        _LINEAR,
        _ADD,
        "aten.conv1d.default",
        "aten.conv3d.default",
        "aten.batch_norm.default",
        "aten.layer_norm.default",
        _MULTIPLY,
        *_ACTIVATIONS,
        "aten.max_pool2d.default",
        "aten.avg_pool2d.default",
        "aten.constant_pad_nd.default",
        "aten.pad.default",
        "aten.mean.dim",
    }
)
#: Weights from which on putting them in order at every batch shows.
_MANY_WEIGHTS: Final = 1 << 12
#: Below this many multiplications MKL's smaller start-up counts for more.
_SMALL_PRODUCT: Final = 1 << 20
#: As a 16-bit integer, the smallest bfloat16 that is no number: everything below is negative.
_NEGATIVE_INFINITY: Final = -128


def fuse(
    calls: Sequence[Call], output: int, fixed: frozenset[int], values: int
) -> tuple[tuple[Call, ...], int]:
    """The calls rewritten for inference on a CPU, and the new number of values.

    Args:
        output: number of the program's result.
        fixed: numbers of the values that depend on the point alone; never written over.
        values: how many values there are.
    """
    joined = _sums_into_convolutions(list(calls), output, fixed)
    packed, values = _weights_in_order(_in_place(joined, output, fixed), fixed, values)
    return tuple(packed), values


def _sums_into_convolutions(calls: list[Call], output: int, fixed: frozenset[int]) -> list[Call]:
    while True:
        uses = _Uses(calls, output, fixed)
        found = next(
            (
                (index, place)
                for index, call in enumerate(calls)
                if _is_sum(call)
                for place in (0, 1)
                if _joinable(calls, uses, index, place)
            ),
            None,
        )
        if found is None:
            return calls
        index, place = found
        product, other = (call_argument(calls[index], p) for p in (place, 1 - place))
        maker = uses.made_by[product.value]
        convolution = calls[maker]
        calls[index] = replace(
            convolution,
            operator=_ADDED,
            function=_plainly_added,
            positional=(other, *convolution.positional),
            outputs=calls[index].outputs,
        )
        del calls[maker]


def call_argument(call: Call, place: int) -> TensorRef:
    argument = call.positional[place]
    assert isinstance(argument, TensorRef)  # noqa: S101 - by the operator's schema, or `_is_of_two`
    return argument


def _joinable(calls: list[Call], uses: _Uses, index: int, place: int) -> bool:
    """Whether summand `place` is a convolution's that can add into the other one's memory."""
    product, other = (call_argument(calls[index], p).value for p in (place, 1 - place))
    maker = uses.made_by.get(product)
    if maker is None or product == other or uses.readers[product] != [index]:
        return False
    convolution = calls[maker]
    return (
        convolution.operator == _CONVOLUTION
        and not convolution.keywords
        and other not in reads(convolution)
        and uses.expendable(other, index)
    )


def _in_place(calls: list[Call], output: int, fixed: frozenset[int]) -> list[Call]:
    uses = _Uses(calls, output, fixed)
    rewritten = []
    for index, call in enumerate(calls):
        if call.operator in _ACTIVATIONS:
            if uses.expendable(call_argument(call, 0).value, index):
                call = replace(call, function=_over(call.operator))
        elif _is_of_two(call, _ADD) or _is_of_two(call, _MULTIPLY):
            a, b = call_argument(call, 0), call_argument(call, 1)
            function = sum_in_place if call.operator == _ADD else product_in_place
            if a != b and uses.expendable(a.value, index):
                call = replace(call, function=function)
            elif a != b and uses.expendable(b.value, index):
                call = replace(call, function=function, positional=(b, a))
        elif call.operator == _LINEAR and not call.keywords:
            call = replace(call, function=linear)
        rewritten.append(call)
    return rewritten


def _weights_in_order(
    calls: list[Call], fixed: frozenset[int], values: int
) -> tuple[list[Call], int]:
    rewritten = []
    for call in calls:
        place = {_CONVOLUTION: 1, _ADDED: 2}.get(call.operator)
        if place is not None and not call.keywords:
            weight, geometry = call.positional[place], call.positional[place + 2 :]
            if isinstance(weight, TensorRef) and weight.value in fixed:
                order = (weight, *geometry)
                rewritten.append(
                    Call("weights in order", in_order, order, (), (values,), False, call.node)
                )
                function = convolution if place == 1 else convolution_added
                positional = (TensorRef(values), *call.positional)
                call = replace(call, function=function, positional=positional)
                values += 1
        rewritten.append(call)
    return rewritten, values


def _is_sum(call: Call) -> bool:
    return _is_of_two(call, _ADD)


def _is_of_two(call: Call, operator: str) -> bool:
    """Whether it is this operator of two tensors and nothing else."""
    return (
        call.operator == operator
        and not call.keywords
        and len(call.positional) == 2
        and all(isinstance(argument, TensorRef) for argument in call.positional)
    )


class _Uses:
    """Which call makes each value, and which ones read it, in order."""

    def __init__(self, calls: Sequence[Call], output: int, fixed: frozenset[int]) -> None:
        self._calls, self._output, self._fixed = calls, output, fixed
        self.made_by = {v: index for index, call in enumerate(calls) for v in call.outputs}
        self.readers: dict[int, list[int]] = defaultdict(list)
        for index, call in enumerate(calls):
            for value in dict.fromkeys(reads(call)):
                self.readers[value].append(index)

    def expendable(self, value: int, reader: int) -> bool:
        """Whether `reader` may write over the value: it is the last to read it, nobody else keeps
        a view of it, and the memory is a batch's own.
        """
        maker = self.made_by.get(value)
        if maker is None or value == self._output or value in self._fixed:
            return False
        readers = self.readers[value]
        return (
            self._is_fresh(self._calls[maker])
            and readers[-1] == reader
            and all(self._is_fresh(self._calls[other]) for other in readers[:-1])
        )

    def _is_fresh(self, call: Call) -> bool:
        return call.operator in _FRESH or call.operator == _ADDED


class OrderedWeights:
    """A convolution's weights at one point in the order that its kernels read them in.

    Which order that is depends on the size of the images, so it is made for the first batch and
    kept for those like it. Made for no size in particular it may be one that every batch has to
    be changed back from, which takes many times as long as the convolution.
    """

    def __init__(
        self,
        weight: Tensor,
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int],
        groups: int,
        reorder: Callable[..., Tensor],
        convolve: Callable[..., Tensor],
    ) -> None:
        """`reorder` and `convolve` are oneDNN's (`onednn`): who has ordered weights has both."""
        self._weight, self._groups = weight, groups
        self._reorder, self._convolve = reorder, convolve
        self._stride, self._padding, self._dilation = stride, padding, dilation
        self._made: dict[tuple[int, ...], Tensor] = {}

    def suiting(self, x: Tensor) -> Tensor:
        """The weights for images like those in `x`, shape (samples, in, height, width)."""
        size = tuple(x.shape[1:])
        found = self._made.get(size)
        if found is None:
            found = self._reorder(
                self._weight, self._padding, self._stride, self._dilation, self._groups, x.shape
            )
            self._made[size] = found
        return found

    def convolution(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """conv2d(x)."""
        weight, geometry = self.suiting(x), (self._padding, self._stride, self._dilation)
        return self._convolve(x, weight, bias, *geometry, self._groups, "none", [], "")


def in_order(
    weight: Tensor,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
) -> Tensor | OrderedWeights | TransformedWeights:
    """A convolution's weights as its kernels read them; few weights stay as they are."""
    if winograd.serves(weight, stride, padding, dilation, groups):
        return winograd.transformed(weight)
    if weight.dim() != 4 or weight.numel() < _MANY_WEIGHTS or not _is_narrow(weight):
        return weight
    reorder, convolve = onednn.REORDERED.found, onednn.CONVOLUTION_BY_ORDER.found
    if reorder is None or convolve is None:
        return weight
    return OrderedWeights(weight, stride, padding, dilation, groups, reorder, convolve)


def convolution(
    ordered: Tensor | OrderedWeights | TransformedWeights,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
) -> Tensor:
    """conv2d(x), by weights in order where that suits x."""
    if isinstance(ordered, TransformedWeights) and winograd.suits(x):
        return winograd.convolution(ordered, x, bias)
    if isinstance(ordered, OrderedWeights) and _suits(x, weight):
        return ordered.convolution(x, bias)
    return torch.conv2d(x, weight, bias, stride, padding, dilation, groups)


def _is_narrow(tensor: Tensor) -> bool:
    return tensor.dtype in (torch.float32, torch.bfloat16)


def _suits(x: Tensor, weight: Tensor) -> bool:
    return (
        x.dim() == 4
        and x.dtype == weight.dtype
        and _is_narrow(x)
        and x.is_contiguous(memory_format=torch.channels_last)
    )


def _plainly_added(other: Tensor, x: Tensor, weight: Tensor, *rest: Any) -> Tensor:
    return convolution_added(weight, other, x, weight, *rest)


def convolution_added(
    ordered: Tensor | OrderedWeights | TransformedWeights,
    other: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
) -> Tensor:
    """conv2d(x) + other, in `other`'s memory where its shape, type and format are the result's."""
    if isinstance(ordered, TransformedWeights) and winograd.suits(x):
        return sum_in_place(winograd.convolution(ordered, x, bias), other)
    into = onednn.CONVOLUTION_INTO.found
    shape = (len(x), len(weight), *_positions(x, weight, stride, padding, dilation))
    if (
        into is not None
        and _suits(x, weight)
        and other.shape == shape
        and other.dtype == x.dtype
        and other.is_contiguous(memory_format=torch.channels_last)
    ):
        given = ordered.suiting(x) if isinstance(ordered, OrderedWeights) else weight
        result: Tensor = into(
            other, x, given, bias, padding, stride, dilation, groups, "add", 1.0, None, [], None
        )
        return result
    return torch.conv2d(x, weight, bias, stride, padding, dilation, groups) + other


def _positions(
    x: Tensor,
    weight: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> tuple[int, ...]:
    sizes = zip(x.shape[2:], weight.shape[2:], stride, padding, dilation, strict=False)
    return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes)


def _over(activation: str) -> Any:
    """The function that computes an activation in the memory of its argument."""
    if activation == _RELU:
        return relu_in_place
    _, name, overload = activation.split(".")
    return getattr(getattr(torch.ops.aten, f"{name}_"), overload)


def relu_in_place(x: Tensor) -> Tensor:
    """max(x, 0) in x's memory; NaN stays NaN."""
    if x.dtype is torch.bfloat16:
        # one comparison of integers instead of two conversions
        torch.threshold_(x.view(torch.int16), _NEGATIVE_INFINITY, 0)
        return x
    return torch.relu_(x)


def sum_in_place(a: Tensor, b: Tensor) -> Tensor:
    """a + b, in a's memory where its shape and type are the result's."""
    if a.dtype == b.dtype and _spreads_over(b, a):
        return a.add_(b)
    return a + b


def product_in_place(a: Tensor, b: Tensor) -> Tensor:
    """a · b, in a's memory where its shape and type are the result's."""
    if a.dtype == b.dtype and _spreads_over(b, a):
        return a.mul_(b)
    return a * b


def _spreads_over(small: Tensor, large: Tensor) -> bool:
    """Whether one is broadcast to the shape of the other."""
    return small.dim() <= large.dim() and all(
        n in (1, m) for n, m in zip(reversed(small.shape), reversed(large.shape), strict=False)
    )


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """xWᵀ + b."""
    if (
        x.dtype == weight.dtype
        and _is_narrow(x)
        and x.dim() >= 2
        and x.numel() * len(weight) >= _SMALL_PRODUCT
        and weight.is_contiguous()
    ):
        # of an argument in another order PyTorch makes one product for each of its rows
        return product(x.contiguous(), weight, bias)
    return functional.linear(x, weight, bias)
