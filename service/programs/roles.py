"""What a graph uses its tensors for, found from the operators that read them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from service.programs.filters import filters_of, is_transposed_convolution
from service.programs.graph import Graph, Node, TensorRef

_NORMALISERS: Final = frozenset(
    {
        "aten.batch_norm.default",
        "aten.layer_norm.default",
        "aten.group_norm.default",
        "aten.instance_norm.default",
        "aten.rms_norm.default",
        "aten._native_batch_norm_legit_no_training.default",
        "aten.native_layer_norm.default",
        "aten.native_group_norm.default",
    }
)
#: Operators whose result is their first argument seen otherwise: a role passes through them.
_TRANSPARENT: Final = frozenset(
    {
        "aten.to.dtype",
        "aten.to.dtype_layout",
        "aten.to.device",
        "aten.to.prim_Device",
        "aten.to.prim_dtype",
        "aten._to_copy.default",
        "aten.type_as.default",
        "aten.alias.default",
        "aten.contiguous.default",
        "aten.clone.default",
        "aten.view.default",
        "aten.reshape.default",
    }
)


@dataclass(frozen=True)
class RunningStatistics:
    """Running mean and variance of one batch norm, as tensor names.

    `node` is the norm's position in the graph.
    """

    node: int
    mean: str
    variance: str


def with_roles(graph: Graph) -> Graph:
    """The graph with `normalisation`, `transposed` and `filters` set on its tensors."""
    root = _roots(graph)
    gains: set[int] = set()
    flipped: set[int] = set()
    for node in graph.nodes:
        if node.operator in _NORMALISERS:
            gains |= _tensors(node, ("weight", "bias"), root)
        elif is_transposed_convolution(node):
            flipped |= _tensors(node, ("weight",), root)
    filters = filters_of(graph)
    return replace(
        graph,
        tensors=tuple(
            replace(
                spec,
                normalisation=index in gains,
                transposed=index in flipped,
                filters=filters.get(index),
            )
            for index, spec in enumerate(graph.tensors)
        ),
    )


def running_statistics(graph: Graph) -> tuple[RunningStatistics, ...] | None:
    """The running statistics of every batch norm, in order.

    Nothing when some batch norm reads its statistics from anything but a tensor of the graph: then
    they cannot be recomputed by replacing buffers.
    """
    root = _roots(graph)
    found = []
    for index, node in enumerate(graph.nodes):
        if node.operator not in {
            "aten.batch_norm.default",
            "aten._native_batch_norm_legit_no_training.default",
        }:
            continue
        mean, variance = node.argument("running_mean"), node.argument("running_var")
        if not isinstance(mean, TensorRef) or not isinstance(variance, TensorRef):
            return None
        if mean.value not in root or variance.value not in root:
            return None
        found.append(
            RunningStatistics(
                index,
                graph.tensors[root[mean.value]].name,
                graph.tensors[root[variance.value]].name,
            )
        )
    return tuple(found)


def _roots(graph: Graph) -> dict[int, int]:
    """For each value that is one of the graph's tensors, perhaps reshaped: which one."""
    root = {index: index for index in range(len(graph.tensors))}
    for node in graph.nodes:
        if node.operator in _TRANSPARENT:
            source = node.arguments[0][1]
            if isinstance(source, TensorRef) and source.value in root:
                root[node.outputs[0]] = root[source.value]
    return root


def _tensors(node: Node, names: tuple[str, ...], root: dict[int, int]) -> set[int]:
    found = set()
    for name in names:
        value = node.argument(name)
        if isinstance(value, TensorRef) and value.value in root:
            found.add(root[value.value])
    return found
