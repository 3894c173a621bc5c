"""A program's sizes are found before it runs, and one that would take too much names its node."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import vmap

from service.programs.graph import Graph, InputSpec, Node, SymRef, TensorRef, TensorSpec
from service.programs.validation import validate
from tests.program_binding.operators import TABLE
from tests.program_binding.operators.case import OperatorCase
from workers.program import binder
from workers.program.binder import BoundNetwork
from workers.program.failures import OperatorFailed
from workers.program.measuring import ProgramTooLarge

MIB = 1 << 20
W, X = TensorRef(0), TensorRef(1)


def _node(operator: str, outputs: tuple[int, ...], **given: Any) -> Node:
    return Node(operator, tuple(given.items()), outputs)


def _network(nodes: list[Node], *, memory_bytes: int = 64 * MIB) -> BoundNetwork:
    graph = Graph(
        tensors=(TensorSpec("w", (4,), "float32", "parameter"),),
        inputs=(InputSpec("x", "float32", (None, 4), (2, 4)),),
        nodes=tuple(nodes),
        output=nodes[-1].outputs[0],
    )
    validate(graph, lambda node: node.operator)
    return BoundNetwork(graph, memory_bytes=memory_bytes)


def _run(network: BoundNetwork, samples: int = 2) -> Tensor:
    with torch.inference_mode():
        return network.at({"w": torch.ones(4)}, {})(torch.ones(samples, 4))


def test_a_computed_size_is_bounded_as_a_literal_one_is() -> None:
    nodes = [
        _node("sym.mul", (2,), a=1 << 10, b=1 << 11),
        _node("aten.full.default", (3,), size=(SymRef(2),), fill_value=1.0),
        _node("aten.sum.default", (4,), self=TensorRef(3)),
        _node("aten.add.Tensor", (5,), self=X, other=TensorRef(4)),
    ]
    assert _run(_network(nodes)).shape == (2, 4)
    nodes[0] = _node("sym.mul", (2,), a=1 << 15, b=1 << 15)
    with pytest.raises(ProgramTooLarge, match=r"aten\.full\.default \(node 1 of the program\)"):
        _run(_network(nodes))


def test_what_has_no_memory_but_is_gone_through_counts() -> None:
    nodes = [
        _node("sym.mul", (2,), a=1 << 16, b=1 << 16),
        _node("aten.scalar_tensor.default", (3,), s=1.0),
        _node("aten.expand.default", (4,), self=TensorRef(3), size=(SymRef(2),)),
        _node("aten.sum.default", (5,), self=TensorRef(4)),
        _node("aten.add.Tensor", (6,), self=X, other=TensorRef(5)),
    ]
    with pytest.raises(ProgramTooLarge, match=r"aten\.expand\.default \(node 2"):
        _run(_network(nodes))


def test_all_that_is_alive_at_once_counts_and_what_is_let_go_does_not() -> None:
    """40 MiB each of 64: one after another they pass, two beside each other do not."""
    size = (10 * MIB,)
    chain = [_node("aten.full.default", (2,), size=size, fill_value=1.0)]
    for value in range(2, 6):
        small = _node("aten.sum.default", (2 * value - 1,), self=TensorRef(2 * value - 2))
        large = _node("aten.full.default", (2 * value,), size=size, fill_value=1.0)
        chain += [small, large]
    chain.append(_node("aten.sum.default", (11,), self=TensorRef(10)))
    chain.append(_node("aten.add.Tensor", (12,), self=X, other=TensorRef(11)))
    assert _run(_network(chain)).shape == (2, 4)
    beside = [
        _node("aten.full.default", (2,), size=size, fill_value=1.0),
        _node("aten.full.default", (3,), size=size, fill_value=1.0),
        _node("aten.dot.default", (4,), self=TensorRef(2), tensor=TensorRef(3)),
        _node("aten.add.Tensor", (5,), self=X, other=TensorRef(4)),
    ]
    with pytest.raises(ProgramTooLarge, match=r"node 1 of the program.*at once take 0\.078"):
        _run(_network(beside))


def test_what_an_operator_makes_inside_counts() -> None:
    """Distances by differences: 1024² numbers as a result, 64 times that on the way."""
    wide = _node("aten.full.default", (2,), size=(1024, 64), fill_value=1.0)
    nodes = [
        wide,
        _node("aten.full.default", (3,), size=(1024, 64), fill_value=2.0),
        _node("aten.cdist.default", (4,), x1=TensorRef(2), x2=TensorRef(3), p=2.0),
        _node("aten.sum.default", (5,), self=TensorRef(4)),
        _node("aten.add.Tensor", (6,), self=X, other=TensorRef(5)),
    ]
    network = _network(nodes)
    assert _run(network).shape == (2, 4)
    with pytest.raises(ProgramTooLarge, match=r"aten\.cdist\.default \(node 2"):
        network({"w": torch.ones(4)}, {}, torch.ones(2, 4))


def test_what_grows_with_the_samples_is_measured_for_each_number_of_them() -> None:
    nodes = [
        _node("aten.sym_size.int", (2,), self=X, dim=0),
        _node("sym.mul", (3,), a=SymRef(2), b=SymRef(2)),
        _node("sym.mul", (4,), a=SymRef(3), b=SymRef(3)),
        _node("aten.full.default", (5,), size=(SymRef(4),), fill_value=0.0),
        _node("aten.sum.default", (6,), self=TensorRef(5)),
        _node("aten.add.Tensor", (7,), self=X, other=TensorRef(6)),
    ]
    network = _network(nodes)
    for samples in (1, 3, 32):
        assert _run(network, samples).shape == (samples, 4)
    with pytest.raises(ProgramTooLarge, match=r"aten\.full\.default \(node 3"):
        _run(network, 256)
    with pytest.raises(OperatorFailed, match=r"sym\.mul \(node 2 of the program\): arithmetic"):
        _run(network, 1 << 11)
    assert _run(network, 3).shape == (3, 4)


@pytest.mark.parametrize(
    ("operator", "given"),
    [
        ("aten.unbind.int", {}),
        ("aten.split.Tensor", {"split_size": 1}),
        ("aten.chunk.default", {"chunks": 1 << 20}),
        ("aten.tensor_split.sections", {"sections": 1 << 20}),
    ],
)
def test_an_operator_of_a_million_pieces_is_refused(operator: str, given: dict[str, int]) -> None:
    nodes = [
        _node("aten.full.default", (2,), size=(1 << 20,), fill_value=1.0),
        _node(operator, (3, 4), self=TensorRef(2), **given),
        _node("aten.add.Tensor", (5,), self=X, other=TensorRef(3)),
    ]
    with pytest.raises((ProgramTooLarge, OperatorFailed), match=r"node 1 of the program"):
        _run(_network(nodes))


def test_a_size_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    network = _network([_node("aten.relu.default", (2,), self=X)])
    walks = []
    plain = binder.Measured.walk

    def walk(self: Any, *arguments: Any) -> Any:
        walks.append(1)
        return plain(self, *arguments)

    monkeypatch.setattr(binder.Measured, "walk", walk)
    for _ in range(3):
        for samples in (2, 5):
            _run(network, samples)
    assert len(walks) == 3  # the point's part, and two sizes


def test_it_sees_through_transforms() -> None:
    """In a batched call the program's sizes are those of one lane."""
    network = _network([_node("aten.mul.Tensor", (2,), self=X, other=W)])
    lanes = torch.arange(12.0).reshape(3, 4)
    found = vmap(lambda w: network({"w": w}, {}, torch.ones(2, 4)))(lanes)
    assert torch.equal(found, lanes.unsqueeze(1).expand(3, 2, 4))


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_sizes_found_are_the_sizes_there_are(
    case: OperatorCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every operator, in both forms: what is measured is what is computed."""
    found: list[Any] = []
    plain = binder.Measured.walk

    def walk(self: Any, given: Any, kept: Any) -> Any:
        result = plain(self, given, kept)
        found.append(result)
        return result

    monkeypatch.setattr(binder.Measured, "walk", walk)
    masks = any(
        isinstance(v, Tensor) and v.dtype is torch.bool
        for _, value in case.arguments
        for v in (value if isinstance(value, tuple) else (value,))
    )
    for differentiable in (False, True):
        found.clear()
        with torch.inference_mode(not differentiable):
            bound = case.bound()
            result = bound.at({"anchor": torch.zeros(1), **case.point(torch.float32)}, {})(
                torch.zeros(2, 1)
            )
        (said,) = found[0].values()
        if case.operator == "aten.index.Tensor" and masks:
            assert said.numel() >= result.numel()  # as many as the mask could choose
        else:
            assert (said.shape, said.dtype) == (result.shape, result.dtype)
