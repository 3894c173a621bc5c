"""A bound program gives the very numbers of the module it was exported from."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from service.programs import canonical
from tests.program_binding.exported import Case, computing_in, exported
from tests.support.module_network import seeded
from workers.engine.activations import peak_activation_bytes
from workers.engine.evaluation import cast_point
from workers.engine.network import Network, split_point, variance_buffers
from workers.program.binder import BoundNetwork
from workers.program.canonical import encode_constants, load_canonical
from workers.program.failures import OperatorFailed

CPU = torch.device("cpu")


def _infer(network: Network, case: Case, *inputs: Tensor) -> Tensor:
    point = case.point
    with torch.inference_mode():
        return network.at(point.parameters, point.buffers)(*inputs)


def test_every_bit_is_the_modules_own(case: Case) -> None:
    with torch.inference_mode():
        wanted = case.eager()
    assert torch.equal(_infer(case.network(fold=False), case, *case.inputs), wanted)


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_any_number_of_samples(case: Case, samples: int) -> None:
    repeated = tuple(torch.cat([t, t, t])[:samples] for t in case.inputs)
    with torch.inference_mode():
        wanted = case.eager(*repeated)
    assert torch.equal(_infer(case.network(fold=False), case, *repeated), wanted)


def test_channels_last_inputs_and_weights(case: Case) -> None:
    def last(tensor: Tensor) -> Tensor:
        return tensor.to(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor

    point = case.point
    parameters = {name: last(tensor) for name, tensor in point.parameters.items()}
    with torch.inference_mode():
        wanted = case.eager()
        infer = case.network(fold=False).at(parameters, point.buffers)
        found = infer(*(last(tensor) for tensor in case.inputs))
    # other kernels for another format: a few roundings, added up over the layers
    assert torch.allclose(found, wanted, rtol=1e-5, atol=2e-6 * float(wanted.abs().max()))


def test_float64_is_float64_throughout(case: Case) -> None:
    """Literal types follow: a program exported in float32 computes in double precision."""
    point = cast_point(case.point, torch.float64, CPU)
    inputs = tuple(t.double() if t.is_floating_point() else t for t in case.inputs)
    module = copy.deepcopy(case.module).double()
    with torch.inference_mode():
        with computing_in(torch.float64):
            wanted = module(*inputs)
        found = case.network().at(point.parameters, point.buffers)(*inputs)
    assert found.dtype == torch.float64
    assert torch.get_default_dtype() == torch.float32
    assert torch.allclose(found, wanted, rtol=1e-12, atol=1e-13)
    single = _infer(case.network(fold=False), case, *case.inputs)
    assert torch.allclose(found.float(), single, rtol=2e-4, atol=2e-5 * float(wanted.abs().max()))


def test_bfloat16_runs(case: Case) -> None:
    point = cast_point(case.point, torch.bfloat16, CPU)
    inputs = tuple(t.bfloat16() if t.is_floating_point() else t for t in case.inputs)
    wanted = _infer(case.network(), case, *case.inputs)
    with torch.inference_mode():
        found = case.network().at(point.parameters, point.buffers)(*inputs)
    assert found.dtype == torch.bfloat16
    assert float((found.float() - wanted).abs().max()) < 0.1 * float(wanted.abs().max()) + 0.05


def test_the_stored_form_is_the_same_function(case: Case, tmp_path: Path) -> None:
    graph, constants = tmp_path / "graph.json", tmp_path / "constants.safetensors"
    graph.write_bytes(canonical.encode(case.graph))
    constants.write_bytes(encode_constants(case.constants))
    network = load_canonical(graph, constants if case.constants else None)
    assert torch.equal(
        _infer(network, case, *case.inputs), _infer(case.network(), case, *case.inputs)
    )
    assert dict(network.parameters) == dict(case.network().parameters)


def test_what_the_engine_asks_of_a_network(case: Case) -> None:
    network: Network = case.network()
    module = case.module
    state = dict(module.state_dict())
    point = split_point(network, {n: state[n] for n in (*network.parameters, *network.buffers)})
    assert list(point.parameters) == [s.name for s in case.graph.tensors if s.role == "parameter"]
    norms = (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)
    gains = {
        f"{name}.{own}"
        for name, child in module.named_modules()
        if isinstance(child, norms)
        for own, _ in child.named_parameters(recurse=False)
    }
    assert network.normalisation_parameters == gains
    flipped = {
        f"{name}.weight"
        for name, child in module.named_modules()
        if isinstance(child, nn.ConvTranspose2d)
    }
    assert set(network.filters) == flipped
    assert variance_buffers(network) == {n for n in state if n.endswith("running_var")}
    assert len(network.input_names) == len(case.inputs)


def test_memory_peaks_no_higher_than_the_modules(case: Case) -> None:
    point = case.point
    with torch.inference_mode():
        infer = case.network(fold=False).at(point.parameters, point.buffers)
    eager = peak_activation_bytes(case.module, case.inputs)
    assert 0 < peak_activation_bytes(infer, case.inputs) <= eager


def test_inputs_and_weights_are_left_as_they_are(case: Case) -> None:
    point = case.point
    before = [t.clone() for t in (*point.parameters.values(), *point.buffers.values())]
    inputs = tuple(t.clone() for t in case.inputs)
    case.network()(point.parameters, point.buffers, *inputs)
    _ = _infer(case.network(), case, *inputs)
    after = [*point.parameters.values(), *point.buffers.values()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(inputs, case.inputs, strict=True))


def test_an_operator_that_fails_is_named_with_its_place(tmp_path: Path) -> None:
    case = exported(
        lambda: seeded(lambda: nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))),
        (torch.zeros(2, 4),),
        tmp_path,
    )
    point = case.point
    wrong = {**point.parameters, "2.weight": torch.zeros(2, 5)}
    with pytest.raises(OperatorFailed, match=r"aten\.linear\.default \(node 2 of the program\)"):
        case.network()(wrong, point.buffers, torch.zeros(3, 4))
    with pytest.raises(TypeError, match="takes 1 inputs, not 2"):
        case.network()(point.parameters, point.buffers, torch.zeros(3, 4), torch.zeros(3))


def test_constants_must_be_those_of_the_graph(case: Case) -> None:
    if not case.constants:
        assert BoundNetwork(case.graph).parameters
        return
    with pytest.raises(ValueError, match="'scale' is missing"):
        BoundNetwork(case.graph)
    with pytest.raises(ValueError, match=r"'scale' is float64"):
        BoundNetwork(case.graph, {"scale": torch.zeros((), dtype=torch.float64)})
