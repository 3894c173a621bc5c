"""What a worker's memory is stated to be before a job's first tile, beside what it comes to.

Small and large weights, much and little data, both precisions. Two workers each time: the one that
prepares the job, and one that only computes tiles. Peaks are the kernel's own (VmHWM).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tests.benchmarks.children import Fleet, Job
from tests.benchmarks.networks import MLP, VGG9, ResNet
from tests.benchmarks.timing import write
from tests.support.module_network import ModuleNetwork, seeded
from workers.engine.direction import Direction
from workers.engine.directions import random_direction

CLAIM = 0.2
CASES: tuple[tuple[str, Callable[[], nn.Module], int], ...] = (
    ("ResNet-8, 500 images", lambda: ResNet(8), 500),
    ("ResNet-20, 20,000 images", lambda: ResNet(20), 20_000),
    ("VGG-9, 500 images", VGG9, 500),
    ("MLP of 41 million weights, 2,000 images", lambda: MLP(5_000), 2_000),
)


def run() -> None:
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="lossatlas-bench-") as folder:
        for number, (name, make, samples) in enumerate(CASES):
            job = _job(Path(folder) / str(number), seeded(make), samples)
            for precision in ("float32", "bf16"):
                rows[f"{name}, {precision}"] = _measured(f"{name}, {precision}", job, precision)
    held = all(row["held"] for row in rows.values())
    print(f"within {CLAIM:.0%}: {'held' if held else 'BROKEN'}")
    claim = f"a worker's peak within {CLAIM:.0%} of what was stated before the first tile"
    print(f"kept in {write('worker_memory', {'claim': claim, 'held': held, **rows})}")


def _job(folder: Path, module: nn.Module, samples: int) -> Job:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(samples, 3, 32, 32, generator=generator)
    classes = torch.randint(0, 10, (samples,), generator=generator)
    network = ModuleNetwork(module)

    def direction(seed: int) -> Direction:
        return random_direction(network, seed, "x").to(torch.float32)

    return Job(folder, module, images, classes, {"x": direction(1), "y": direction(2)})


def _measured(name: str, job: Job, precision: str) -> dict[str, Any]:
    with Fleet(job, precision, processes=2) as fleet:
        fleet.evaluate([(0.0, 0.0), (0.5, -0.5)])
        stated = fleet.prepared["memory"]["estimated_bytes"]
        preparing, computing = fleet.peaks
    ratios = {"preparing": preparing / stated, "computing": computing / stated}
    held = all(abs(ratio - 1) <= CLAIM for ratio in ratios.values())
    mib = 1 << 20
    print(
        f"{name}: stated {stated / mib:.0f} MiB, preparing {preparing / mib:.0f} MiB "
        f"({ratios['preparing']:.2f}), computing {computing / mib:.0f} MiB "
        f"({ratios['computing']:.2f})",
        flush=True,
    )
    return {
        "held": held,
        "stated_mib": round(stated / mib),
        "preparing_mib": round(preparing / mib),
        "computing_mib": round(computing / mib),
        **{f"{who}_ratio": round(ratio, 3) for who, ratio in ratios.items()},
    }
