"""Graphs made by hand: literals, sizes, and operators that stand for others."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from service.programs import ProgramRefused
from service.programs.graph import (
    UNUSED,
    Arg,
    Dtype,
    Graph,
    InputSpec,
    Node,
    SymRef,
    TensorRef,
    TensorSpec,
)
from service.programs.validation import validate
from workers.program.binder import BoundNetwork
from workers.program.failures import OperatorFailed

#: Values: 0 is the parameter `w` of shape (4,), 1 the input of shape (batch, 4).
W, X = TensorRef(0), TensorRef(1)


def _node(operator: str, outputs: tuple[int, ...], **arguments: Arg) -> Node:
    return Node(operator, tuple(arguments.items()), outputs)


def _network(nodes: Sequence[Node], output: int, rank: int = 2) -> BoundNetwork:
    shape = (None, *(4,) * (rank - 1))
    graph = Graph(
        tensors=(TensorSpec("w", (4,), "float32", "parameter"),),
        inputs=(InputSpec("x", "float32", shape, (2, *(4,) * (rank - 1))),),
        nodes=tuple(nodes),
        output=output,
    )
    validate(graph, lambda node: node.operator)
    return BoundNetwork(graph)


def _run(network: BoundNetwork, dtype: torch.dtype = torch.float32, rank: int = 2) -> Tensor:
    x = torch.arange(3 * 4 ** (rank - 1), dtype=dtype).reshape(3, *(4,) * (rank - 1))
    with torch.inference_mode():
        return network.at({"w": torch.ones(4, dtype=dtype)}, {})(x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_exported_type_means_the_computing_type(dtype: torch.dtype) -> None:
    network = _network(
        [
            _node("aten.ge.Scalar", (2,), self=X, other=2),
            _node("aten.to.dtype", (3,), self=TensorRef(2), dtype=Dtype("float32")),
            _node("aten.arange.default", (4,), end=4),
            _node("aten.mul.Tensor", (5,), self=TensorRef(4), other=0.1),
            _node("aten.zeros.default", (6,), size=(4,)),
            _node("aten.add.Tensor", (7,), self=TensorRef(5), other=TensorRef(6)),
            _node("aten.add.Tensor", (8,), self=TensorRef(3), other=TensorRef(7)),
        ],
        8,
    )
    found = _run(network, dtype)
    assert found.dtype == dtype
    tenth = (torch.arange(4).to(torch.float64) * 0.1).to(dtype)
    assert torch.equal(found[2], 1 + tenth)


def test_the_least_float32_is_the_least_number_of_a_narrower_type() -> None:
    least = torch.finfo(torch.float32).min
    network = _network(
        [
            _node("aten.lt.Scalar", (2,), self=X, other=2),
            _node("aten.masked_fill.Scalar", (3,), self=X, mask=TensorRef(2), value=least),
        ],
        3,
    )
    assert _run(network)[0, 0] == least
    assert _run(network, torch.bfloat16)[0, 0] == torch.finfo(torch.bfloat16).min


def test_sizes_are_followed_and_bounded() -> None:
    squares = [_node("aten.sym_size.int", (2,), self=X, dim=0)]
    for value in range(2, 12):
        squares.append(_node("sym.mul", (value + 1,), a=SymRef(value), b=SymRef(value)))
    expand = _node("aten.expand.default", (13,), self=W, size=(SymRef(12), 4))
    with pytest.raises(OperatorFailed, match="arithmetic on sizes leads to"):
        _run(_network([*squares, expand], 13))
    plain = [
        squares[0],
        _node("sym.mul", (3,), a=SymRef(2), b=4),
        _node("sym.floordiv", (4,), a=SymRef(3), b=2),
        _node("aten.view.default", (5,), self=X, size=(SymRef(4), 2)),
    ]
    assert _run(_network(plain, 5)).shape == (6, 2)


@pytest.mark.parametrize(
    "fused",
    [
        "aten._scaled_dot_product_flash_attention_for_cpu.default",
        "aten._scaled_dot_product_efficient_attention.default",
    ],
)
def test_fused_attention_is_plain_attention(fused: str) -> None:
    query = TensorRef(2)
    more: dict[str, Arg] = (
        {"attn_bias": None, "compute_log_sumexp": False} if "efficient" in fused else {}
    )
    others = (UNUSED,) * (3 if "efficient" in fused else 1)
    scale = _node("aten.mul.Tensor", (2,), self=X, other=0.1)
    attend = _node(fused, (3, *others), query=query, key=query, value=query, **more, is_causal=True)
    network = _network([scale, attend], 3, rank=4)
    x = torch.arange(192, dtype=torch.float32).reshape(3, 4, 4, 4) * 0.1
    wanted = F.scaled_dot_product_attention(x, x, x, is_causal=True)
    assert torch.equal(_run(network, rank=4), wanted)
    again = network({"w": torch.ones(4)}, {}, torch.arange(192.0).reshape(3, 4, 4, 4))
    assert torch.allclose(again, wanted, rtol=1e-5)


def test_an_internal_of_a_fused_kernel_is_refused() -> None:
    fused = "aten._scaled_dot_product_flash_attention_for_cpu.default"
    network = _network([_node(fused, (2, 3), query=X, key=X, value=X)], 3, rank=4)
    with pytest.raises(ProgramRefused, match="not_bindable"):
        _run(network, rank=4)


def test_pieces_must_be_as_many_as_the_program_has() -> None:
    pieces = _node("aten.split.Tensor", (2, 3), self=X, split_size=1, dim=0)
    with pytest.raises(OperatorFailed, match="gives 3 tensors where the program has 2"):
        _run(_network([pieces, _node("aten.add.Tensor", (4,), self=TensorRef(2), other=W)], 4))


def test_what_depends_on_the_point_alone_is_computed_once() -> None:
    """A network whose work is all in its weights does nothing per batch but the last addition."""
    network = _network(
        [
            _node("aten.exp.default", (2,), self=W),
            _node("aten.sin.default", (3,), self=TensorRef(2)),
            _node("aten.add.Tensor", (4,), self=X, other=TensorRef(3)),
        ],
        4,
    )
    weight = torch.ones(4)
    infer = network.at({"w": weight}, {})
    first = infer(torch.zeros(1, 4))
    weight.fill_(2.0)
    assert torch.equal(infer(torch.zeros(1, 4)), first)
    assert torch.allclose(first, torch.ones(4).exp().sin())


def test_an_output_that_is_no_function_of_the_inputs() -> None:
    network = _network([_node("aten.exp.default", (2,), self=W)], 2)
    assert torch.allclose(_run(network), torch.ones(4).exp())
    assert torch.equal(_run(_network([], 0)), torch.ones(4))
