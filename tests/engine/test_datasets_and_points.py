"""What is refused of data sets and weights, and the flat layout that weights are kept in."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from tests.engine.cases import BY_NAME, Case, TwoInputs, convnet
from tests.support.module_network import ModuleNetwork, Spec, seeded
from workers.engine.datasets import dataset_from_tensors
from workers.engine.errors import DatasetInvalid, ParametersInvalid
from workers.engine.layout import ParameterLayout
from workers.engine.losses import Loss
from workers.engine.network import split_point

LOSS = Loss.named("cross_entropy")
TWO = ModuleNetwork(seeded(TwoInputs), ("image", "table"))
GOOD = {
    "inputs.image": torch.zeros(3, 12),
    "inputs.table": torch.zeros(3, 3),
    "targets": torch.zeros(3, dtype=torch.int64),
}


def test_inputs_come_in_the_networks_order() -> None:
    shuffled = {name: GOOD[name] for name in reversed(GOOD)}
    dataset = dataset_from_tensors("d", shuffled, TWO, LOSS)
    assert [t.shape[1] for t in dataset.inputs] == [12, 3]
    assert dataset.samples == 3


def test_a_program_with_a_loss_takes_its_targets_from_the_targets() -> None:
    case: Case = BY_NAME["program"]
    tensors = {"inputs": torch.zeros(3, 4), "targets": torch.zeros(3, 2)}
    dataset = dataset_from_tensors("d", tensors, case.network, case.loss)
    assert len(dataset.inputs) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs.table": None}, r"lacks \['inputs.table'\]"),
        ({"targets": None}, r"lacks \['targets'\]"),
        ({"other": torch.zeros(3)}, r"unknown tensors \['other'\]"),
        ({"inputs.table": torch.zeros(2, 3)}, "2 samples in 'inputs.table' and 3"),
        ({"inputs.table": torch.zeros(0, 3)}, "no samples"),
        ({"inputs.table": torch.full((3, 3), math.nan)}, "not finite"),
        ({"inputs.table": torch.tensor(1.0)}, "no dimension"),
    ],
)
def test_a_data_set_that_cannot_be_used(change: dict[str, Tensor | None], message: str) -> None:
    tensors = {n: t for n, t in {**GOOD, **change}.items() if t is not None}
    with pytest.raises(DatasetInvalid, match=message):
        dataset_from_tensors("d", tensors, TWO, LOSS)


def test_real_inputs_for_a_network_of_whole_numbers_are_refused() -> None:
    class Whole(ModuleNetwork):
        input_dtypes = ("int64",)

    network = Whole(nn.Embedding(3, 2))
    with pytest.raises(DatasetInvalid, match=r"float32, the network takes torch\.int64"):
        dataset_from_tensors(
            "d", {"inputs": torch.zeros(2, 4), "targets": torch.zeros(2)}, network, LOSS
        )


def test_a_checkpoint_is_told_apart_into_parameters_and_buffers() -> None:
    network = ModuleNetwork(convnet())
    state = dict(seeded(convnet).state_dict())
    del state["1.num_batches_tracked"]  # plays no part in evaluation mode
    point = split_point(network, state)
    assert list(point.parameters) == list(network.parameters)
    assert point.buffers["1.num_batches_tracked"].item() == 0

    for change, message in (
        ({"7.bias": None}, "no parameter given for '7.bias'"),
        ({"1.running_var": None}, "no buffer given for '1.running_var'"),
        ({"more": torch.zeros(1)}, "no tensor named 'more'"),
        ({"7.bias": torch.zeros(3)}, r"shape \(3,\), the network's is \(10,\)"),
    ):
        changed = {n: t for n, t in {**state, **change}.items() if t is not None}
        with pytest.raises(ParametersInvalid, match=message):
            split_point(network, changed)


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_layout_gives_back_what_it_was_given(channels_last: bool) -> None:
    specs = {
        "a": Spec((4, 3, 2, 5), "float32"),
        "b": Spec((), "float32"),
        "c": Spec((7,), "float32"),
        "d": Spec((3, 1, 2, 2), "float32"),
    }
    tensors = {n: torch.randn(s.shape) for n, s in specs.items()}
    layout = ParameterLayout.of(specs, channels_last=channels_last)
    vector = layout.flatten(tensors, torch.float32, torch.device("cpu"))
    assert layout.count == 120 + 1 + 7 + 12
    assert vector.shape == (layout.size,)
    views = layout.views(vector)
    for name, tensor in tensors.items():
        assert torch.equal(views[name], tensor)
        assert (views[name].data_ptr() - vector.data_ptr()) % 64 == 0
    # The gaps are zeros, so a whole vector's norm is the tensors'.
    assert vector.double().norm().item() == pytest.approx(
        math.sqrt(sum(t.double().square().sum().item() for t in tensors.values()))
    )
    views["a"].fill_(2.0)
    assert vector[:120].eq(2.0).all()
    if channels_last:
        assert views["a"].is_contiguous(memory_format=torch.channels_last)


def test_a_layout_of_some_names_leaves_the_others_out() -> None:
    specs = {n: Spec((3,), "float32") for n in "abc"}
    layout = ParameterLayout.of(specs, names=["c", "a"], aligned=False)
    assert layout.names == ("a", "c")
    assert layout.size == layout.count == 6
