"""What the service costs over calling the engine directly: a 25×25 surface of a small ResNet.

Claim: at most 10 % plus 3 seconds. Both sides compute the same cells with one thread; the direct
side is one process that has the tensors in memory already.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load

from service.domain.plan import grid_coordinates
from service.programs import read_program
from tests.benchmarks.networks import ResNet
from tests.benchmarks.stacks import Case, digits, running
from tests.benchmarks.timing import interleave, pairwise_ratio, write
from workers.engine.datasets import Dataset
from workers.engine.directions import random_direction
from workers.engine.evaluation import Setting
from workers.engine.losses import Loss
from workers.engine.network import Network, split_point
from workers.engine.normalisation import Rule, normalise
from workers.engine.placement import BufferPolicy
from workers.engine.surface import plane_evaluator
from workers.program.binder import BoundNetwork
from workers.sandbox import ALLOCATOR

NUM = 25
ROUNDS = 3
SEED = 1


def direct(
    case: Case, network: Network, provenance: Mapping[str, Any]
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The same surface by the engine alone; loss, shape (NUM, NUM)."""
    origin = split_point(network, load(case.weights))
    rule = Rule.from_words("filter", ["bias", "norm"], "lossatlas")
    x, y = (
        normalise(random_direction(network, seed, axis), origin, network, rule).to(torch.float32)
        for seed, axis in ((SEED, "x"), (SEED + 1, "y"))
    )
    setting = Setting(
        network=network,
        loss=Loss.named("cross_entropy"),
        batch_size=provenance["batch_size"],
        channels_last=provenance["channels_last"],
    )
    data = Dataset("digits", (case.inputs,), case.targets)
    evaluator = plane_evaluator(setting, origin, x, y, [data], BufferPolicy.FROZEN)
    points = tuple(np.linspace(-1, 1, NUM).tolist())
    cells = [(a, b) for a, b in grid_coordinates(points, points).tolist()]
    losses = [result.datasets[0].loss for result in evaluator.evaluate(cells)]
    return np.array(losses).reshape(NUM, NUM)


def run() -> None:
    """In a process with the allocator set as a child's is, so that only the service differs."""
    own = "from tests.benchmarks.service_overhead import compare; compare()"
    subprocess.run([sys.executable, "-c", own], env={**os.environ, **ALLOCATOR}, check=True)


def compare() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    inputs, targets = digits()
    case = Case.of(ResNet(8, width=16, channels=1), inputs, targets)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "program.pt2"
        path.write_bytes(case.program)
        with read_program(path) as program:
            network = BoundNetwork(program.graph)
    with running(case, workers=1) as stack:
        job = stack.surface(NUM, SEED)
        landscape = stack.api.get(f"/v1/landscapes/{job['landscape']}").json()
        provenance = landscape["provenance"]
        served = np.array(stack.api.data(job)["datasets"]["digits"]["loss"]["values"], dtype=float)
        if not np.array_equal(served, direct(case, network, provenance)):
            raise AssertionError("the two sides do not compute the same bits")
        sides = interleave(
            {
                "service": lambda: stack.surface(NUM, SEED),
                "engine": lambda: direct(case, network, provenance),
            },
            ROUNDS,
        )
    allowed = 1.1 * sides["engine"].median + 3.0
    held = sides["service"].median <= allowed
    print(
        f"service {sides['service'].median:.2f} s, engine {sides['engine'].median:.2f} s, "
        f"allowed {allowed:.2f} s: {'held' if held else 'BROKEN'}"
    )
    write(
        "service_overhead",
        {
            "claim": "service <= 1.1 * engine + 3 s",
            "held": held,
            "grid": [NUM, NUM],
            "samples": len(targets),
            "network": "ResNet-8, width 16, on 8x8 digits; one worker, one thread; same bits",
            "service": sides["service"].to_json(),
            "engine": sides["engine"].to_json(),
            "ratio": round(pairwise_ratio(sides["service"], sides["engine"]), 3),
        },
    )
