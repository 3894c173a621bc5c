"""One worker against two on the same surface: at least 1.8 times as fast, and the same bits.

Two services run beside each other, idle in turn; each worker computes with one thread.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from tests.benchmarks.networks import ResNet
from tests.benchmarks.stacks import Case, Stack, digits, running
from tests.benchmarks.timing import interleave, pairwise_ratio, write

NUM = 25
ROUNDS = 3
SEED = 1
CLAIM = 1.8


def run() -> None:
    torch.manual_seed(0)
    inputs, targets = digits()
    case = Case.of(ResNet(14, width=16, channels=1), inputs, targets)
    with running(case, workers=1) as one, running(case, workers=2) as two:
        if not np.array_equal(_loss(one), _loss(two), equal_nan=True):
            raise AssertionError("one worker and two do not compute the same bits")
        sides = interleave(
            {"one": lambda: one.surface(NUM, SEED), "two": lambda: two.surface(NUM, SEED)}, ROUNDS
        )
    ratio = pairwise_ratio(sides["one"], sides["two"])
    held = ratio >= CLAIM
    print(
        f"one {sides['one'].median:.2f} s, two {sides['two'].median:.2f} s, ratio {ratio:.2f}: "
        f"{'held' if held else 'BROKEN'}"
    )
    write(
        "fleet",
        {
            "claim": f"two workers >= {CLAIM} times one, same bits",
            "held": held,
            "grid": [NUM, NUM],
            "samples": len(targets),
            "network": "ResNet-14, width 16, on 8x8 digits; one thread a worker",
            "one": sides["one"].to_json(),
            "two": sides["two"].to_json(),
            "ratio": round(ratio, 3),
        },
    )


def _loss(stack: Stack) -> NDArray[np.float64]:
    grid = stack.api.data(stack.surface(NUM, SEED))["datasets"]["digits"]["loss"]["values"]
    return np.array(grid, dtype=np.float64)
