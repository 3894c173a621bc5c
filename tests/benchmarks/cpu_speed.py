"""Cells per second of the engine on a CPU, beside the published reference's evaluation.

For each network both sides evaluate the same cells of the same plane on the same images. The
published side has the whole machine: PyTorch's threads on every core, and the loader's processes.
Ours is a fleet as production runs it: one worker's child of one thread for each core, all at work
at once (`children`), in float32 and in bfloat16. Sides are interleaved; ratios are of throughput.

Beside that, in the same run: the machine's rate of matrix products (`gemm`), as `torch.mm` has it
(MKL's) and as oneDNN has it, which on some processors is twice as much; and the share of each that
our side reaches, counting multiplications and additions of convolutions and linear maps alone; and
how far each side's losses lie from float64's, on a few hundred of the images.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tests.benchmarks import timing
from tests.benchmarks.children import Fleet, Job
from tests.benchmarks.gemm import GemmRate
from tests.benchmarks.networks import MLP, VGG9, ResNet, ViT
from tests.benchmarks.published import PublishedEvaluator, TransformedImages, random_images
from tests.support.module_network import ModuleNetwork, point_of, seeded
from workers import sandbox
from workers.engine.datasets import Dataset
from workers.engine.direction import Direction
from workers.engine.directions import random_direction
from workers.engine.evaluation import Setting
from workers.engine.losses import Loss
from workers.engine.normalisation import Rule, normalise
from workers.engine.precision import Precision
from workers.engine.surface import plane_evaluator

ROUNDS = int(os.environ.get("ROUNDS", "5"))
#: The cells whose losses are compared, over so many images, and the one that is timed.
CELLS = ((0.0, 0.0), (0.5, -0.25))
TIMED = (0.5, -0.25)
COMPARED = 256
#: Of `torch.mm`'s rate, to be reached by convolutional networks in float32.
GEMM_SHARE = 0.85


@dataclass(frozen=True)
class Contest:
    """A network, how many images it sees, and what is to be reached: ratios to the reference."""

    name: str
    make: Callable[[], nn.Module]
    samples: int
    float32: float
    bf16: float
    convolutional: bool = False


CONTESTS = (
    Contest("ResNet-20", lambda: ResNet(20), 4_000, 2.2, 3.7, True),
    Contest("VGG-9", VGG9, 1_200, 2.3, 4.3, True),
    Contest("ResNet-56", lambda: ResNet(56), 1_200, 1.75, 3.0, True),
    Contest("MLP", MLP, 10_000, 4.5, 7.0),
    Contest("ViT", ViT, 1_500, 1.75, 2.4),
)


def run() -> None:
    only = os.environ.get("NETWORKS", "")
    chosen = [contest for contest in CONTESTS if only in contest.name]
    cores = os.cpu_count() or 1
    environment = {**os.environ, **sandbox.ALLOCATOR, "OMP_NUM_THREADS": "1"}
    results: dict[str, Any] = {}
    gemm = GemmRate(cores, environment)
    try:
        with tempfile.TemporaryDirectory(prefix="lossatlas-bench-") as folder:
            for contest in chosen:
                results[contest.name] = _contest(contest, Path(folder), cores, gemm)
    finally:
        gemm.close()
    held = all(row["held"] for row in results.values())
    print(f"every target {'held' if held else 'not held'}")
    if not only:
        claim = "ratios to the reference, and share of the matrix products' rate, as targeted"
        body = {"claim": claim, "held": held, "processes": cores, "threads": 1, **results}
        print(f"kept in {timing.write('cpu_speed', body)}")


def _contest(contest: Contest, folder: Path, cores: int, gemm: GemmRate) -> dict[str, Any]:
    module = _trained_enough(contest.make)
    transformed = random_images(contest.samples)
    targets, normalised = transformed.targets, transformed.normalised()
    x, y = _directions(module)
    errors = _errors(folder / f"{contest.name} compared", module, transformed, x, y)
    published = PublishedEvaluator(deepcopy(module), transformed, x.parameters, y.parameters)
    job = Job(folder / contest.name, module, normalised, targets, {"x": x, "y": y})
    with ExitStack() as stack:
        fleets = {
            precision: stack.enter_context(Fleet(job, precision, processes=cores))
            for precision in ("float32", "bf16")
        }
        rates: dict[str, list[float]] = {"float32": [], "bf16": [], "mkl": []}
        sides: dict[str, Callable[[], object]] = {"published": lambda: published.cell(*TIMED)}
        for precision, fleet in fleets.items():
            sides[precision] = _evaluating(fleet)
        for kind, kept in rates.items():
            sides[f"products {kind}"] = _measuring(gemm, kind, kept)
        samples = timing.interleave(sides, ROUNDS)
        prepared = {p: fleet.prepared for p, fleet in fleets.items()}
    flops = _flops(module, normalised[:2]) / 2 * contest.samples
    # a line is the best of many products already; the first one is the round that warms up
    best = {kind: statistics.median(kept[1:]) for kind, kept in rates.items()}
    body: dict[str, Any] = {
        "samples": contest.samples,
        "gflop_a_cell": round(flops / 1e9, 2),
        "gemm_gflops": {kind: round(rate / 1e9, 1) for kind, rate in best.items()},
        "published": samples["published"].to_json(),
        "published_error": errors["published"],
    }
    held = True
    for precision, target in (("float32", contest.float32), ("bf16", contest.bf16)):
        ratio = cores * timing.pairwise_ratio(samples["published"], samples[precision])
        rate = cores * flops / samples[precision].median
        shares = {"onednn": rate / best[precision]}
        if precision == "float32":
            shares["mkl"] = rate / best["mkl"]
        reached = ratio >= target
        if contest.convolutional and precision == "float32":
            reached = reached and shares["mkl"] >= GEMM_SHARE
        held = held and reached
        body[precision] = {
            "cells_at_once": cores,
            **samples[precision].to_json(),
            "ratio": round(ratio, 2),
            "target": target,
            "gflops": round(rate / 1e9, 1),
            "share_of_gemm": {name: round(share, 3) for name, share in shares.items()},
            "loss_error": errors[precision],
            "batch_size": prepared[precision]["batch_size"],
        }
        print(
            f"{contest.name}, {precision}: {samples[precision].median / cores:.3f} s a cell beside "
            f"{samples['published'].median:.3f} s: {ratio:.2f}× (target {target}×), "
            f"{rate / 1e9:.0f} GFLOP/s, "
            + ", ".join(f"{share:.0%} of {name}'s" for name, share in shares.items())
            + f", loss within {errors[precision]:.1e} of float64; "
            f"batch {prepared[precision]['batch_size']}",
            flush=True,
        )
    return {**body, "held": held}


def _evaluating(fleet: Fleet) -> Callable[[], object]:
    return lambda: fleet.evaluate([TIMED])


def _measuring(gemm: GemmRate, kind: str, kept: list[float]) -> Callable[[], object]:
    return lambda: kept.append(gemm.measure(kind))


def _trained_enough(make: Callable[[], nn.Module]) -> nn.Module:
    """Random weights, and running statistics that are those of data, so that losses are tame."""
    module = seeded(make).train()
    images = random_images(256).images
    with torch.no_grad():
        for _ in range(20):
            module(images.to(torch.float32).div(255).sub(0.47).div(0.25))
    return module.eval()


def _directions(module: nn.Module) -> tuple[Direction, Direction]:
    network, point = ModuleNetwork(module), point_of(module)

    def made(seed: int) -> Direction:
        raw = random_direction(network, seed, "x")
        return normalise(raw, point, network, Rule()).to(torch.float32)

    return made(1), made(2)


def _errors(
    folder: Path, module: nn.Module, images: TransformedImages, x: Direction, y: Direction
) -> dict[str, float]:
    """How far each side's losses lie from float64's: the largest relative error of a cell."""
    few = TransformedImages(images.images[:COMPARED], images.targets[:COMPARED])
    inputs, targets = few.normalised(), few.targets
    # it writes each cell's weights into the module, which the other sides start from
    published = PublishedEvaluator(deepcopy(module), few, x.parameters, y.parameters)
    losses = {"published": np.array([published.cell(*cell)[0] for cell in CELLS])}
    job = Job(folder, module, inputs, targets, {"x": x, "y": y})
    for precision in ("float32", "bf16"):
        with Fleet(job, precision, processes=1) as fleet:
            losses[precision] = fleet.evaluate(CELLS)[0].datasets[0].loss
    truth = _truth(module, inputs, targets, x, y)
    return {side: _error(found, truth) for side, found in losses.items()}


def _truth(
    module: nn.Module, inputs: Tensor, targets: Tensor, x: Direction, y: Direction
) -> NDArray[np.float64]:
    """The cells' losses in float64."""
    setting = Setting(ModuleNetwork(module), Loss.named("cross_entropy"), 250, Precision.FLOAT64)
    data = Dataset("data", (inputs,), targets)
    evaluator = plane_evaluator(setting, point_of(module), x, y, [data])
    return np.array([result.datasets[0].loss for result in evaluator.evaluate(CELLS)])


def _error(losses: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """The largest relative error of a cell's loss."""
    return float(f"{np.max(np.abs(losses - truth) / np.abs(truth)):.2e}")


def _flops(module: nn.Module, inputs: Tensor) -> float:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(inputs)
    return float(counter.get_total_flops())
