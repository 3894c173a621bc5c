"""Cells per second of the engine on a CUDA device, beside the published reference's evaluation.

Needs a device: without one it says so and measures nothing. It runs the very code that a worker's
child runs (`plane_evaluator` on an exported, read and bound program): data resident on the device
in channels-last, one flat vector for each of θ, δ and η, moves written into static vectors, batch
norms folded, losses reduced on the device in float64, passes recorded as CUDA graphs, one wait for
the device per call.

Beside the speed it reports how far TF32's and bfloat16's losses lie from float32's, what of the
device's memory is taken, and the arithmetic rate reached, in floating-point operations of
convolutions and linear maps alone.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lossatlas
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from service.programs import read_program
from tests.benchmarks import timing
from tests.benchmarks.networks import MLP, VGG9, ResNet, ViT
from tests.benchmarks.published import PublishedEvaluator, TransformedImages, random_images
from tests.support.module_network import ModuleNetwork, point_of, seeded
from workers.engine.batching import choose_batching
from workers.engine.datasets import Dataset
from workers.engine.direction import Direction
from workers.engine.directions import random_direction
from workers.engine.evaluation import Setting
from workers.engine.losses import Loss
from workers.engine.network import Network
from workers.engine.normalisation import Rule, normalise
from workers.engine.precision import Precision
from workers.engine.surface import Cell, CellEvaluator, compare_precision, plane_evaluator
from workers.program.binder import BoundNetwork
from workers.program.canonical import constants_of

ROUNDS, SAMPLES = 5, 50_000
CELLS: tuple[Cell, ...] = ((0.0, 0.0), (0.5, -0.25), (-1.0, 1.0), (0.25, 0.75))
TARGET = 20.0
#: Minutes for 51×51 cells of ResNet-56 over 50,000 images, in a precision within 1e-3 of float32.
TARGET_MINUTES = 5.0
NETWORKS: tuple[tuple[str, Callable[[], nn.Module]], ...] = (
    ("ResNet-20", lambda: ResNet(20)),
    ("VGG-9", VGG9),
    ("ResNet-56", lambda: ResNet(56)),
    ("MLP", MLP),
    ("ViT", ViT),
)


def run() -> None:
    device = found_device()
    if device is None:
        return
    rows = {name: compare(make, device, SAMPLES) for name, make in NETWORKS}
    for name, row in rows.items():
        for precision in ("float32", "tf32", "bf16"):
            side = row[precision]
            print(
                f"{name}, {precision}: {side['cell_s']:.4f} s a cell, {side['ratio']:.1f}×, "
                f"{side['gflops']:.0f} GFLOP/s, 51×51 in {side['minutes_51x51']:.1f} min, "
                f"loss within {side['relative_loss_error']:.1e} of float32"
            )
    body = {"device": torch.cuda.get_device_name(device), "samples": SAMPLES, **rows}
    print(f"kept in {timing.write('cuda_speed', body)}")


def found_device() -> torch.device | None:
    """The CUDA device; where there is none, that is said."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    print("needs a CUDA device, and this machine has none: nothing was measured or written")
    return None


def compare(
    make: Callable[[], nn.Module], device: torch.device, samples: int, rounds: int = ROUNDS
) -> dict[str, Any]:
    """Both sides of one network, interleaved; TF32 is left out where there is none."""
    module = seeded(make)
    images = random_images(samples)
    x, y = (_direction(module, seed) for seed in (1, 2))
    flops = _flops(module, images.normalised()[:2]) / 2 * samples
    published = _Published(module, images, x, y, device)
    network = bound(module, images.normalised()[:2])
    precisions = [Precision.FLOAT32, Precision.TF32, Precision.BF16]
    if device.type != "cuda":
        precisions.remove(Precision.TF32)
    data = Dataset("data", (images.normalised(),), images.targets)
    ours = {p: _evaluator(network, module, x, y, data, p, device) for p in precisions}
    sides: dict[str, Callable[[], object]] = {"published": published.cell}
    sides |= {p.value: _evaluating(ours[p]) for p in precisions}
    taken = timing.interleave(sides, rounds)
    row: dict[str, Any] = {"published": taken["published"].to_json()}
    for precision in precisions:
        sample = taken[precision.value]
        cell = sample.median / len(CELLS)
        tested, exact = (ours[p].evaluate(CELLS) for p in (precision, Precision.FLOAT32))
        error = compare_precision(tested, exact)
        row[precision.value] = {
            **sample.to_json(),
            "cell_s": cell,
            "ratio": timing.pairwise_ratio(taken["published"], sample) * len(CELLS),
            "gflops": flops / cell / 1e9,
            "minutes_51x51": 51 * 51 * cell / 60,
            "relative_loss_error": error.largest_relative_loss,
            "replayed": ours[precision].replays,
        }
    if device.type == "cuda":
        row["peak_memory_bytes"] = torch.cuda.max_memory_allocated(device)
    return row


class _Published(PublishedEvaluator):
    """The reference on a device: its module and every batch are moved there, as its code does."""

    def __init__(
        self,
        module: nn.Module,
        images: TransformedImages,
        x: Direction,
        y: Direction,
        device: torch.device,
    ) -> None:
        there, along = (
            {name: tensor.to(device) for name, tensor in direction.parameters.items()}
            for direction in (x, y)
        )
        super().__init__(copy.deepcopy(module).to(device), images, there, along, device)

    def cell(self, alpha: float = 0.5, beta: float = -0.25) -> tuple[float, float]:
        return super().cell(alpha, beta)


def _direction(module: nn.Module, seed: int) -> Direction:
    network, point = ModuleNetwork(module), point_of(module)
    raw = random_direction(network, seed, "x")
    return normalise(raw, point, network, Rule()).to(torch.float32)


def bound(module: nn.Module, example: Tensor) -> Network:
    """The module exported, read and bound, as a worker has it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "program.pt2"
        lossatlas.export_model(module.eval(), (example,), path)
        with read_program(path) as program:
            constants = constants_of(program.graph, program.contiguous)
            return BoundNetwork(program.graph, constants)


def _evaluator(
    network: Network,
    module: nn.Module,
    x: Direction,
    y: Direction,
    data: Dataset,
    precision: Precision,
    device: torch.device,
) -> CellEvaluator:
    setting = Setting(network, Loss.named("cross_entropy"), 1, precision, device)
    origin = point_of(module)
    chosen = choose_batching(setting, origin, [data])
    setting = Setting(
        network,
        setting.loss,
        chosen.batch_size,
        precision,
        device,
        chosen.channels_last,
    )
    return plane_evaluator(setting, origin, x, y, [data])


def _evaluating(evaluator: CellEvaluator) -> Callable[[], object]:
    return lambda: evaluator.evaluate(CELLS)


def _flops(module: nn.Module, inputs: Tensor) -> float:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(inputs)
    return float(counter.get_total_flops())
