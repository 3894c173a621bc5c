"""Archives of torch: read, run and compared with the modules they came from."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from service.programs import ProgramRefused, canonical, read_program
from service.programs.graph import UNUSED, Graph
from service.programs.schema import schema_of
from tests.programs import interpreter
from tests.programs.networks import Case, export, prepared


def test_computes_what_the_module_computes(case: Case, exported: dict[str, Path]) -> None:
    """Same operators on the same numbers, on other batch sizes too.

    Not to the last bit: kernels choose their order of summation by where in memory operands lie,
    and eager encoder layers take a fused kernel that no export contains.
    """
    module = prepared(case.make)
    with read_program(exported[case.name]) as program:
        tensors = interpreter.stored(program)
    for size in (2, 5):
        inputs = case.inputs(size)
        with torch.no_grad():
            got = interpreter.run(program.graph, tensors, tuple(x.clone() for x in inputs))
            torch.testing.assert_close(got, module(*inputs), rtol=1e-5, atol=1e-6)


def test_lists_the_modules_tensors(case: Case, exported: dict[str, Path]) -> None:
    module = prepared(case.make)
    saved = set(module.state_dict())
    with read_program(exported[case.name]) as program:
        signature = program.signature
    parameters = {spec.name: spec.shape for spec in signature.parameters}
    assert parameters == {n: tuple(p.shape) for n, p in module.named_parameters()}
    assert [s.name for s in signature.parameters] == [n for n, _ in module.named_parameters()]
    assert {s.name for s in signature.buffers} == {
        name for name, _ in module.named_buffers() if name in saved
    }
    assert signature.parameter_count == sum(p.numel() for p in module.parameters())


def test_graph_has_no_effects(case: Case, exported: dict[str, Path]) -> None:
    with read_program(exported[case.name]) as program:
        for node in program.graph.nodes:
            assert "dropout." not in node.operator
            assert "_assert" not in node.operator
            schema = schema_of(node.operator)
            assert schema is None or not schema.mutates
            assert not {"device", "layout", "pin_memory"} & dict(node.arguments).keys()


def test_every_node_is_used(case: Case, exported: dict[str, Path]) -> None:
    with read_program(exported[case.name]) as program:
        for node in program.graph.nodes:
            assert any(output != UNUSED for output in node.outputs)


def test_canonical_form_round_trips(case: Case, exported: dict[str, Path]) -> None:
    with read_program(exported[case.name]) as program:
        data = canonical.encode(program.graph)
    again = canonical.decode(data)
    assert again == program.graph
    assert canonical.encode(again) == data
    assert b"/" not in data.replace(b"\\/", b"") or b".py" not in data


def test_canonical_form_is_the_same_for_every_export(tmp_path: Path) -> None:
    """The digest of a program depends on what it computes, not on where it was written."""
    digests = set()
    for name in ("one", "two"):
        path = tmp_path / f"{name}.pt2"
        export(prepared(lambda: nn.Linear(3, 2)), (torch.randn(4, 3),), path)
        with read_program(path) as program:
            digests.add(hashlib.sha256(canonical.encode(program.graph)).hexdigest())
    assert len(digests) == 1


def test_reads_the_reference(reference: Path) -> None:
    with read_program(reference) as program:
        assert [(s.name, s.shape, s.sample) for s in program.graph.inputs] == [
            ("x", (None, 1, 8, 8), (2, 1, 8, 8))
        ]
        inputs = torch.randn(6, 1, 8, 8)
        out = interpreter.run(program.graph, interpreter.stored(program), (inputs,))
        assert out.shape == (6, 10)


def test_roles(exported: dict[str, Path]) -> None:
    with read_program(exported["decoder"]) as program:
        by_name = {spec.name: spec for spec in program.signature.parameters}
    assert by_name["up.weight"].transposed
    assert not by_name["down.weight"].transposed
    assert by_name["norm.weight"].normalisation
    assert not by_name["down.bias"].normalisation
    with read_program(exported["resnet"]) as program:
        signature = program.signature
    assert signature.recalibratable
    assert len(signature.running) == 19
    assert ("bn.running_mean", "bn.running_var") in signature.running


def test_tied_parameters_are_one(exported: dict[str, Path]) -> None:
    with read_program(exported["tied"]) as program:
        signature = program.signature
    assert [spec.name for spec in signature.parameters] == ["tokens.weight"]
    assert signature.tied == (("head.weight", "tokens.weight"),)
    assert [spec.name for spec in signature.buffers] == ["scale"]
    assert {spec.name for spec in signature.constants} >= {"shift", "plain"}


def test_sizes_that_vary(exported: dict[str, Path]) -> None:
    with read_program(exported["text"]) as program:
        assert [(s.name, s.dtype, s.shape, s.sample) for s in program.graph.inputs] == [
            ("ids", "int64", (None, None), (2, 7)),
            ("padding", "bool", (None, None), (2, 7)),
        ]


def _refusal(module: nn.Module, inputs: tuple[Tensor, ...], path: Path) -> ProgramRefused:
    export(module, inputs, path)
    with pytest.raises(ProgramRefused) as caught:
        read_program(path)
    return caught.value


class _Function(nn.Module):
    """A module of one function."""

    def __init__(self, function: object) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        assert callable(self.function)
        result = self.function(self.lin(x), x)
        assert isinstance(result, Tensor)
        return result


def _slice_overwritten(h: Tensor, x: Tensor) -> Tensor:
    part = h[:, :2]
    part += 1
    return h


def _base_overwritten(h: Tensor, x: Tensor) -> Tensor:
    part = h.view(-1, 2, 2)
    h *= 2
    return part.flatten(1) + h


def _without_gradient(h: Tensor, x: Tensor) -> Tensor:
    with torch.no_grad():
        scale = x.sum(1, keepdim=True)
    return h * scale


def _conditional(h: Tensor, x: Tensor) -> Tensor:
    return torch.cond(x.sum() > 0, torch.sin, torch.cos, (h,))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("function", "code"),
    [
        (_slice_overwritten, "inplace_on_shared_memory"),
        (_base_overwritten, "inplace_on_shared_memory"),
        (lambda h, x: h + torch.rand(4), "forbidden_operator"),
        (lambda h, x: h + torch.empty(4), "forbidden_operator"),
        (lambda h, x: F.dropout(h, 0.5, training=True), "training_mode"),
        (lambda h, x: h.as_strided((2, 2), (1, 1)), "forbidden_operator"),
        (lambda h, x: x.add_(1) + h, "input_mutated"),
        (_conditional, "control_flow"),
        (_without_gradient, "control_flow"),
    ],
    ids=["slice", "base", "rand", "empty", "dropout", "as_strided", "input", "cond", "no_grad"],
)
def test_refuses_what_torch_exports(function: object, code: str, tmp_path: Path) -> None:
    refusal = _refusal(_Function(function).eval(), (torch.randn(3, 4),), tmp_path / "p.pt2")
    assert refusal.code == code
    assert refusal.pointer.startswith("models/model.json#/")


def test_refuses_training_mode(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).train()
    refusal = _refusal(module, (torch.randn(3, 4),), tmp_path / "p.pt2")
    assert refusal.code == "training_mode"
    assert "eval()" in refusal.detail


def test_refuses_a_fixed_batch(tmp_path: Path) -> None:
    path = tmp_path / "p.pt2"
    torch.export.save(torch.export.export(nn.Linear(4, 4), (torch.randn(3, 4),)), path)
    with pytest.raises(ProgramRefused) as caught:
        read_program(path)
    assert caught.value.code == "static_batch"
    assert "Dim('batch')" in caught.value.detail


def test_refuses_several_outputs(tmp_path: Path) -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x + 1, x - 1

    assert _refusal(Two(), (torch.randn(3, 4),), tmp_path / "p.pt2").code == "bad_output"


def test_keeps_the_type_of_what_is_written_in_place(tmp_path: Path) -> None:
    """float32 += float64 stays float32 in place, and would not otherwise."""
    module = _Function(lambda h, x: h.add_(torch.ones(4, dtype=torch.float64) / 3)).eval()
    path = tmp_path / "p.pt2"
    export(module, (torch.randn(3, 4),), path)
    x = torch.randn(5, 4)
    with read_program(path) as program, torch.no_grad():
        got = interpreter.run(program.graph, interpreter.stored(program), (x,))
    assert got.dtype == torch.float32
    assert torch.equal(got, module(x))


def test_a_conversion_to_another_type_is_a_copy(tmp_path: Path) -> None:
    """A mask made of booleans may be written in place while the booleans are still used."""

    def function(h: Tensor, x: Tensor) -> Tensor:
        keep = h > 0
        mask = keep.to(torch.float32)
        mask *= 3.0
        return torch.where(keep, h, mask + 1)

    module = _Function(function).eval()
    path = tmp_path / "p.pt2"
    export(module, (torch.randn(3, 4),), path)
    x = torch.randn(5, 4)
    with read_program(path) as program, torch.no_grad():
        got = interpreter.run(program.graph, interpreter.stored(program), (x,))
    assert torch.equal(got, module(x))


def test_graph_is_one_value(exported: dict[str, Path]) -> None:
    """Reading twice gives equal graphs."""
    graphs: list[Graph] = []
    for _ in range(2):
        with read_program(exported["vit"]) as program:
            graphs.append(program.graph)
    assert graphs[0] == graphs[1]
