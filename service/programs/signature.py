"""What a program takes and gives: all that the service keeps of it in a row."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from service.programs.graph import Filters, Graph, InputSpec, Role, TensorSpec
from service.programs.roles import running_statistics


@dataclass(frozen=True)
class Signature:
    """Tensors and operators of a checked program.

    Attributes:
        parameters, buffers: what a file of weights must hold, in the program's order.
        constants: tensors that belong to the program and are in no file of weights.
        inputs: in call order; dimension 0 of each is the batch.
        outputs: one tensor, its sizes known only once a worker has probed the program.
        operators: how often each operator occurs.
        tied: other names of tied parameters, with the name under which they are kept.
        recalibratable: whether the statistics of every batch norm are buffers, so that they can
            be recomputed on data at another point.
        running: names of the (mean, variance) buffers of each batch norm.
    """

    parameters: tuple[TensorSpec, ...]
    buffers: tuple[TensorSpec, ...]
    constants: tuple[TensorSpec, ...]
    inputs: tuple[InputSpec, ...]
    outputs: tuple[str, ...]
    operators: tuple[tuple[str, int], ...]
    tied: tuple[tuple[str, str], ...] = ()
    recalibratable: bool = True
    running: tuple[tuple[str, str], ...] = ()

    @property
    def parameter_count(self) -> int:
        """How many numbers are trained."""
        return sum(math.prod(spec.shape) for spec in self.parameters)

    def to_json(self) -> dict[str, Any]:
        """Lists rather than objects wherever order matters."""
        return {
            "parameters": [_tensor(spec) for spec in self.parameters],
            "buffers": [_tensor(spec) for spec in self.buffers],
            "constants": [_tensor(spec) for spec in self.constants],
            "inputs": [
                {
                    "name": spec.name,
                    "dtype": spec.dtype,
                    "shape": list(spec.shape),
                    "sample": list(spec.sample),
                }
                for spec in self.inputs
            ],
            "outputs": [{"name": name} for name in self.outputs],
            "operators": [{"name": name, "count": count} for name, count in self.operators],
            "tied": [{"name": other, "as": name} for other, name in self.tied],
            "recalibratable": self.recalibratable,
            "running_statistics": [
                {"mean": mean, "variance": variance} for mean, variance in self.running
            ],
            "parameter_count": self.parameter_count,
        }

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Signature:
        """The inverse of `to_json`.

        Raises:
            KeyError, TypeError: the document is not one of ours.
        """
        return cls(
            parameters=_tensors(body["parameters"], "parameter"),
            buffers=_tensors(body["buffers"], "buffer"),
            constants=_tensors(body["constants"], "constant"),
            inputs=tuple(
                InputSpec(item["name"], item["dtype"], tuple(item["shape"]), tuple(item["sample"]))
                for item in body["inputs"]
            ),
            outputs=tuple(item["name"] for item in body["outputs"]),
            operators=tuple((item["name"], item["count"]) for item in body["operators"]),
            tied=tuple((item["name"], item["as"]) for item in body["tied"]),
            recalibratable=body["recalibratable"],
            running=tuple((item["mean"], item["variance"]) for item in body["running_statistics"]),
        )


def signature_of(graph: Graph) -> Signature:
    """The signature of a checked graph."""
    counts: dict[str, int] = {}
    for node in graph.nodes:
        counts[node.operator] = counts.get(node.operator, 0) + 1
    running = running_statistics(graph)
    buffers = {spec.name for spec in graph.tensors if spec.role == "buffer"}
    pairs = () if running is None else tuple((item.mean, item.variance) for item in running)
    return Signature(
        parameters=tuple(spec for spec in graph.tensors if spec.role == "parameter"),
        buffers=tuple(spec for spec in graph.tensors if spec.role == "buffer"),
        constants=tuple(spec for spec in graph.tensors if spec.role == "constant"),
        inputs=graph.inputs,
        outputs=("output",),
        operators=tuple(sorted(counts.items())),
        tied=graph.tied,
        recalibratable=running is not None and {name for pair in pairs for name in pair} <= buffers,
        running=pairs,
    )


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "dtype": spec.dtype,
        "shape": list(spec.shape),
        "normalisation": spec.normalisation,
        "transposed": spec.transposed,
        "filters": spec.filters
        and {"view": list(spec.filters.view), "dims": list(spec.filters.dims)},
    }


def _tensors(items: Iterable[dict[str, Any]], role: str) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(
            item["name"],
            tuple(item["shape"]),
            item["dtype"],
            cast(Role, role),
            item["normalisation"],
            item["transposed"],
            _filters(item["filters"]),
        )
        for item in items
    )


def _filters(item: dict[str, Any] | None) -> Filters | None:
    return None if item is None else Filters(tuple(item["view"]), tuple(item["dims"]))
