"""Nodes that nothing reads, left out. Pure."""

from __future__ import annotations

from dataclasses import replace

from service.programs.graph import UNUSED, Graph, references, renumber


def pruned(graph: Graph) -> Graph:
    """The graph without what its output does not depend on, values numbered anew without gaps.

    Tensors and inputs stay, used or not: files of weights and data sets are checked against them.
    """
    first = len(graph.tensors) + len(graph.inputs)
    live = {graph.output}
    kept = []
    for node in reversed(graph.nodes):
        if live.isdisjoint(node.outputs):
            continue
        kept.append(node)
        for _, argument in node.arguments:
            live.update(references(argument))
    number = {value: value for value in range(first)}
    nodes = []
    for node in reversed(kept):
        arguments = tuple((name, renumber(value, number)) for name, value in node.arguments)
        outputs = []
        for output in node.outputs:
            if output in live and output != UNUSED:
                number[output] = first
                outputs.append(first)
                first += 1
            else:
                outputs.append(UNUSED)
        nodes.append(replace(node, arguments=arguments, outputs=tuple(outputs)))
    return replace(graph, nodes=tuple(nodes), output=number[graph.output])
