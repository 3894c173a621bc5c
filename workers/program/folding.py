"""Batch norms folded into the convolution or linear map before them.

In evaluation mode a batch norm multiplies each channel by s = γ/√(σ²+ε) and adds β − μs, so it can
be part of the weights: W′ = sW and b′ = (b − μ)s + β. That is the same function up to the rounding
of one multiplication per weight. W′ and b′ depend on the point alone and are computed once per
point. A negative σ² + ε gives NaN weights, and so NaN outputs, as it does unfolded.

Owns which pairs may be folded, and the arithmetic of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import Tensor

from service.programs.graph import Graph, TensorRef, references
from workers.program.operators import Call
from workers.program.schedule import reads

_BATCH_NORM: Final = "aten.batch_norm.default"
_CONVOLUTIONS: Final = frozenset(
    {
        "aten.conv1d.default",
        "aten.conv2d.default",
        "aten.conv3d.default",
        "aten.conv1d.padding",
        "aten.conv2d.padding",
        "aten.conv3d.padding",
    }
)
#: Transposed convolutions, with the place of `groups` among their arguments.
_TRANSPOSED: Final = {
    "aten.conv_transpose1d.default": 6,
    "aten.conv_transpose2d.input": 6,
    "aten.conv_transpose3d.input": 6,
}
_LINEAR: Final = "aten.linear.default"
#: Operators whose result has as many dimensions as their first argument.
_RANK_KEEPING: Final = frozenset(
    f"aten.{name}.default"
    for name in ("relu", "relu6", "tanh", "sigmoid", "gelu", "silu", "elu", "selu", "leaky_relu")
) | {_BATCH_NORM, _LINEAR, "aten.to.dtype", "aten._to_copy.default"}


@dataclass(frozen=True)
class _Pair:
    """Positions among the calls, and the dimension of the weight that holds output channels."""

    product: int
    norm: int
    dimension: int


def fold(
    graph: Graph, calls: Sequence[Call], output: int, values: int, fixed: frozenset[int]
) -> tuple[tuple[Call, ...], int]:
    """The calls with every foldable pair made one, and the new number of values.

    Args:
        output: number of the program's result.
        values: how many values there are.
        fixed: numbers of the values that depend on the point alone.
    """
    rewritten: list[Call | None] = list(calls)
    prepared: list[Call] = []
    for pair in _pairs(graph, calls, output, fixed):
        product, norm = calls[pair.product], calls[pair.norm]
        weight, bias = TensorRef(values), TensorRef(values + 1)
        values += 2
        prepared.append(_fold_call(product, norm, pair, (weight.value, bias.value)))
        rewritten[pair.norm] = None
        rewritten[pair.product] = replace(
            product,
            positional=(product.positional[0], weight, bias, *product.positional[3:]),
            keywords=tuple(item for item in product.keywords if item[0] != "bias"),
            outputs=norm.outputs[:1],
        )
    if not prepared:
        return tuple(calls), values
    # What the folded weights are made of depends on the point alone: it comes first.
    kept = [call for call in rewritten if call is not None]
    before = [call for call in kept if fixed.issuperset(reads(call))]
    after = [call for call in kept if not fixed.issuperset(reads(call))]
    return (*before, *prepared, *after), values


def _fold_call(product: Call, norm: Call, pair: _Pair, outputs: tuple[int, int]) -> Call:
    given = dict(
        zip(("input", "weight", "bias", "mean", "variance"), norm.positional, strict=False)
    )
    epsilon = norm.positional[7]
    return Call(
        "folded batch norm",
        folded,
        (
            product.positional[1],
            _bias(product),
            given["weight"],
            given["bias"],
            given["mean"],
            given["variance"],
            epsilon,
            pair.dimension,
        ),
        (),
        outputs,
        True,
        norm.node,
    )


def folded(
    weight: Tensor,
    bias: Tensor | None,
    gain: Tensor | None,
    shift: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    epsilon: float,
    dimension: int,
) -> tuple[Tensor, Tensor]:
    """W′ and b′, in the weight's type and memory format; computed in float32 at least.

    Args:
        weight: of the convolution or linear map, output channels in `dimension`.
        gain, shift, mean, variance: of the batch norm, shape (channels,).
    """
    dtype = weight.dtype
    if dtype in (torch.bfloat16, torch.float16):
        bias, gain, shift = (None if t is None else t.float() for t in (bias, gain, shift))
        weight, mean, variance = weight.float(), mean.float(), variance.float()
    scale = torch.rsqrt(variance + epsilon)
    if gain is not None:
        scale = scale * gain
    shape = [1] * weight.dim()
    shape[dimension] = -1
    centred = mean if bias is None else mean - bias
    moved = -centred * scale if shift is None else torch.addcmul(shift, centred, scale, value=-1)
    return (weight * scale.reshape(shape)).to(dtype), moved.to(dtype)


def _pairs(graph: Graph, calls: Sequence[Call], output: int, fixed: frozenset[int]) -> list[_Pair]:
    readers = Counter(value for call in calls for value in reads(call))
    readers[output] += 1
    made_by = {value: index for index, call in enumerate(calls) for value in call.outputs}
    ranks = _ranks(graph, calls)
    pairs = []
    for index, norm in enumerate(calls):
        if norm.operator != _BATCH_NORM or len(norm.positional) < 8 or norm.keywords:
            continue
        source = norm.positional[0]
        if source.value not in made_by or readers[source.value] != 1:
            continue
        product = calls[made_by[source.value]]
        dimension = _channel_dimension(product, ranks)
        needed = {*references(norm.positional[1:5]), *references(product.positional[1:2])}
        needed |= set(references(_bias(product)))
        if dimension is not None and fixed.issuperset(needed):
            pairs.append(_Pair(made_by[source.value], index, dimension))
    return pairs


def _channel_dimension(product: Call, ranks: dict[int, int]) -> int | None:
    """Which dimension of the weight holds the channels that the norm sees; None: do not fold."""
    if product.operator in _CONVOLUTIONS:
        return 0
    if product.operator in _TRANSPOSED:
        place = _TRANSPOSED[product.operator]
        groups = product.positional[place] if len(product.positional) > place else 1
        return 1 if groups == 1 and "groups" not in dict(product.keywords) else None
    # A batch norm's channels are dimension 1: a linear map's outputs only where there are two.
    if product.operator == _LINEAR and ranks.get(product.positional[0].value) == 2:
        return 0
    return None


def _bias(product: Call) -> Any:
    if len(product.positional) > 2:
        return product.positional[2]
    return dict(product.keywords).get("bias")


def _ranks(graph: Graph, calls: Sequence[Call]) -> dict[int, int]:
    """Numbers of dimensions, as far as a glance shows them."""
    ranks = {index: len(spec.shape) for index, spec in enumerate(graph.tensors)}
    ranks |= {len(ranks) + index: len(spec.shape) for index, spec in enumerate(graph.inputs)}
    for call in calls:
        if len(call.outputs) != 1 or not call.positional:
            continue
        source = call.positional[0]
        rank = ranks.get(source.value) if isinstance(source, TensorRef) else None
        if call.operator == "aten.reshape.default":
            ranks[call.outputs[0]] = len(call.positional[1])
        elif call.operator == "aten.flatten.using_ints":
            start, end = (*call.positional[1:], *(0, -1)[len(call.positional) - 1 :])[:2]
            if start >= 0 and end == -1:
                ranks[call.outputs[0]] = start + 1
        elif call.operator in _RANK_KEEPING and rank is not None:
            ranks[call.outputs[0]] = rank
    return ranks
