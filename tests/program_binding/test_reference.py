"""The reference programs, bound, give the losses that another implementation computed."""

from __future__ import annotations

import json

import pytest
import safetensors.torch
import torch

from tests.program_binding.exported import read
from tests.support.reference import ROOT
from workers.engine.datasets import dataset_from_tensors
from workers.engine.direction import Direction
from workers.engine.evaluation import Setting
from workers.engine.losses import Loss
from workers.engine.network import split_point
from workers.engine.precision import Precision
from workers.engine.surface import plane_evaluator
from workers.program.binder import BoundNetwork


@pytest.mark.parametrize("folder", ["digits_convnet", "digits_mlp"])
@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.FLOAT64])
def test_the_final_loss_and_a_surface(folder: str, precision: Precision) -> None:
    root = ROOT / folder
    graph, constants = read(root / "program.pt2")
    network, loss = BoundNetwork(graph, constants), Loss.named("cross_entropy")
    expected = json.loads((root / "expected.json").read_text())
    final = sorted(root.glob("checkpoint_*.safetensors"))[-1]
    origin = split_point(network, safetensors.torch.load_file(final))
    given = safetensors.torch.load_file(root / "directions_filter.safetensors")
    x, y = (
        Direction({n: given[f"{axis}.{n}"] for n in network.parameters}, {}) for axis in ("x", "y")
    )
    data = safetensors.torch.load_file(root / "data.safetensors")
    dataset = dataset_from_tensors("digits", data, network, loss)
    setting = Setting(network=network, loss=loss, batch_size=100, precision=precision)
    evaluator = plane_evaluator(setting, origin, x, y, [dataset])

    surface = expected["surface_filter"]
    cells = [(a, b) for b in surface["y"] for a in surface["x"]]
    centre, *values = evaluator.evaluate([(0.0, 0.0), *cells])
    wanted = expected["final"]
    assert centre.datasets[0].loss == pytest.approx(wanted["loss"], rel=1e-5)
    one_sample = 1.01 / dataset.samples
    assert centre.datasets[0].accuracy == pytest.approx(wanted["accuracy"], abs=one_sample)
    losses = torch.tensor([cell.datasets[0].loss for cell in values], dtype=torch.float64)
    reference = torch.tensor(surface["loss"], dtype=torch.float64).flatten()
    assert float(((losses - reference).abs() / reference).max()) <= 1e-5
