"""Modules become programs that compute the same, weights become files, and refusals say why."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lossatlas import ExportError, InputError, export_model, save_dataset, save_weights
from lossatlas.tensors import weights_of
from safetensors.numpy import load_file
from torch import nn

from service.programs import check_in_child
from tests.client import networks
from tests.program_binding.exported import read
from tests.support.module_network import point_of
from workers.program.binder import BoundNetwork


def loaded(path: Path) -> Any:
    """torch's own reader, on a file that this test has just written."""
    return torch.export.load(str(path)).module()


def test_a_network_computes_the_same_for_any_batch(tmp_path: Path) -> None:
    network = networks.seeded(networks.ConvNet)
    network.train()
    path = export_model(network, torch.zeros(1, 1, 8, 8), tmp_path / "conv.pt2")
    assert network.training, "the module is left as it was"
    assert network.get_submodule("drop").training
    network.eval()
    for samples in (1, 2, 7):
        x = torch.randn(samples, 1, 8, 8)
        assert torch.equal(loaded(path)(x), network(x))


def test_the_service_reads_what_is_exported(tmp_path: Path) -> None:
    network = networks.seeded(networks.ConvNet)
    path = export_model(network, np.zeros((5, 1, 8, 8), dtype=np.float32), tmp_path / "conv.pt2")
    signature = check_in_child(path)
    names = {spec.name for spec in (*signature.parameters, *signature.buffers)}
    assert {"conv.weight", "bn.running_mean", "head.bias"} <= names
    assert signature.inputs[0].shape == (None, 1, 8, 8)
    weights = load_file(save_weights(network, tmp_path / "w.safetensors"))
    assert names <= set(weights)


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (networks.Windows, (4, 8)),
        (partial(networks.Encoder, causal=True), (5, 8)),
        (partial(networks.Encoder, causal=False), (5, 8)),
    ],
)
def test_writes_into_parts_and_masks_are_taken_as_they_are(
    make: Callable[[], nn.Module], shape: tuple[int, int], tmp_path: Path
) -> None:
    network = networks.seeded(make)
    detect = torch.nn.modules.transformer._detect_is_causal_mask  # type: ignore[attr-defined]
    path = export_model(network, torch.zeros(2, *shape), tmp_path / "module.pt2")
    now = torch.nn.modules.transformer._detect_is_causal_mask  # type: ignore[attr-defined]
    assert now is detect
    graph, constants = read(path)
    bound, point = BoundNetwork(graph, constants), point_of(network)
    for samples in (1, 3):
        x = torch.randn(samples, *shape)
        with torch.inference_mode():
            expected, found = network(x), bound.at(point.parameters, point.buffers)(x)
        assert torch.allclose(found, expected, rtol=1e-5, atol=1e-6)
        ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
        bound(point.parameters, point.buffers, ours).square().sum().backward()
        network(theirs).square().sum().backward()
        assert ours.grad is not None
        assert theirs.grad is not None
        assert torch.allclose(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)


def test_several_inputs_by_position_and_by_keyword(tmp_path: Path) -> None:
    network = networks.seeded(networks.TwoInputs)
    image, extra = torch.randn(3, 4), torch.randn(3, 2)
    one = export_model(network, {"image": image, "extra": extra}, tmp_path / "one.pt2")
    two = export_model(network, image, tmp_path / "two.pt2", example_kwargs={"extra": extra})
    expected = network(image, extra=extra)
    assert torch.equal(loaded(one)(image=image, extra=extra), expected)
    assert torch.equal(loaded(two)(image, extra=extra), expected)
    for path in (one, two):
        assert [spec.name for spec in check_in_child(path).inputs] == ["image", "extra"]


def test_tied_weights_are_stored_once_under_the_program_s_name(tmp_path: Path) -> None:
    network = networks.seeded(networks.Tied)
    path = export_model(network, torch.zeros(2, 5, dtype=torch.int64), tmp_path / "tied.pt2")
    signature = check_in_child(path)
    wanted = {spec.name for spec in signature.parameters}
    stored = load_file(save_weights(network, tmp_path / "tied.safetensors"))
    assert set(stored) == wanted
    assert set(weights_of(network, frozenset({"embed.weight"}))) == {"embed.weight"}


def test_a_loss_of_one_s_own_goes_into_the_program(tmp_path: Path) -> None:
    network = networks.seeded(networks.TwoInputs)
    image, extra, targets = torch.randn(3, 4), torch.randn(3, 2), torch.tensor([0, 2, 1])

    def loss(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(logits, classes, reduction="none")

    path = export_model(
        network,
        {"image": image, "extra": extra},
        tmp_path / "loss.pt2",
        loss=loss,
        example_targets=targets,
    )
    given = loaded(path)(image=image, extra=extra, targets=targets)
    assert torch.equal(given, loss(network(image, extra=extra), targets))
    signature = check_in_child(path)
    assert [spec.name for spec in signature.inputs] == ["image", "extra", "targets"]
    assert {spec.name for spec in signature.parameters} == set(dict(network.named_parameters()))


def test_neither_examples_nor_source_lines_are_sent(tmp_path: Path) -> None:
    example = torch.full((4, 1, 8, 8), 0.123456)
    path = export_model(networks.seeded(networks.ConvNet), example, tmp_path / "conv.pt2")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        samples = [name for name in names if "sample_inputs" in name]
        assert all(archive.getinfo(name).file_size == 0 for name in samples)
        graph = next(name for name in names if name.endswith("models/model.json"))
        text = archive.read(graph).decode()
    assert "networks.py" not in text
    nodes = json.loads(text)["graph_module"]["graph"]["nodes"]
    assert "stack_trace" not in {key for node in nodes for key in node["metadata"]}


@pytest.mark.parametrize(
    ("make", "example", "said"),
    [
        (networks.Branching, torch.ones(2, 3), "Branching.*branch may depend on values"),
        (networks.FixedBatch, torch.ones(2, 3), "FixedBatch.*batch"),
        (networks.TwoOutputs, torch.ones(2, 3), "returns 2 values"),
        (networks.ConvNet, torch.ones(2, 3, 8, 8), "does not run on two samples"),
        (networks.ConvNet, torch.ones(()), "dimension 0 must be samples"),
        (networks.ConvNet, torch.ones(0, 1, 8, 8), "at least one"),
        (networks.ConvNet, "an image", "takes tensors only"),
        (networks.ConvNet, {"y": torch.ones(2, 1, 8, 8)}, "does not fit ConvNet.forward"),
    ],
)
def test_what_cannot_be_exported_is_said(
    make: type[nn.Module], example: Any, said: str, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match=said):
        export_model(make(), example, tmp_path / "no.pt2")
    assert list(tmp_path.iterdir()) == [], "nothing half-written is left"


def test_only_modules_are_exported(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"torch\.nn\.Module"):
        export_model(lambda x: x, torch.ones(2, 3), tmp_path / "no.pt2")


def test_data_sets_of_tensors_and_arrays(tmp_path: Path) -> None:
    images = np.arange(24, dtype=np.float64).reshape(3, 8)[:, ::2]
    path = save_dataset(images, torch.tensor([0, 1, 2]), tmp_path / "d.safetensors")
    stored = load_file(path)
    assert np.array_equal(stored["inputs"], images)
    assert stored["targets"].tolist() == [0, 1, 2]
    named = save_dataset({"a": images, "b": images[:, :1]}, [0, 1, 2], tmp_path / "n.safetensors")
    assert set(load_file(named)) == {"inputs.a", "inputs.b", "targets"}


@pytest.mark.parametrize(
    ("inputs", "targets", "said"),
    [
        (np.zeros((3, 2)), np.zeros(2), "same number of samples"),
        (np.zeros((0, 2)), np.zeros(0), "at least one"),
        (np.zeros((3, 2), dtype=np.complex64), np.zeros(3), "element type complex64"),
        (np.array(["a", "b"]), np.zeros(2), "element type"),
        (np.float64(1), np.zeros(1), "no dimension"),
    ],
)
def test_data_that_cannot_be_sent(inputs: Any, targets: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        save_dataset(inputs, targets, tmp_path / "d.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_state_dicts_of_arrays_need_no_torch(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys, numpy as np, lossatlas\n"
        "lossatlas.save_weights({'w': np.ones((2, 3), np.float32)}, sys.argv[1])\n"
        "lossatlas.save_dataset(np.ones((2, 3)), np.zeros(2, np.int64), sys.argv[2])\n"
        "import lossatlas.cli.command\n"
        "assert 'torch' not in sys.modules\n"
    )
    paths = [str(tmp_path / "w.safetensors"), str(tmp_path / "d.safetensors")]
    subprocess.run([sys.executable, "-c", code, *paths], check=True, timeout=60)
    assert load_file(paths[0])["w"].shape == (2, 3)
