"""λ_min and λ_max of networks of ten million parameters over 50,000 images on a CUDA device.

Needs a device: without one it says so and measures nothing. It decides as a worker does (the batch
and what is kept within a budget of memory, the fastest form of a product) and runs what a curvature
job runs: Lanczos with full reorthogonalisation for both ends, in float32 on the bound program.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from tests.benchmarks import timing
from tests.benchmarks.cuda_speed import bound, found_device
from tests.benchmarks.networks import MLP, ResNet
from tests.benchmarks.published import random_images
from tests.support.module_network import point_of, seeded
from workers.engine.datasets import Dataset
from workers.engine.evaluation import Setting
from workers.engine.hessian import HessianOperator, choose_form
from workers.engine.lanczos import spectrum_ends
from workers.engine.losses import Loss
from workers.engine.objective import Objective
from workers.engine.precision import Precision
from workers.engine.product_memory import plan_products

SAMPLES, TOLERANCE, MOST_PRODUCTS = 50_000, 1e-3, 100
TARGET_SECONDS = 60.0
#: Of the device's free memory, for products; bases take the rest.
SHARE = 0.5
NETWORKS: tuple[tuple[str, Callable[[], nn.Module]], ...] = (
    ("MLP of 10 million", lambda: MLP(2048)),
    ("ResNet-44, four times as wide, of 10 million", lambda: ResNet(44, width=64)),
)


def run() -> None:
    device = found_device()
    if device is None:
        return
    budget = int(SHARE * torch.cuda.mem_get_info(device)[0])
    rows = {name: ends(make, device, SAMPLES, budget) for name, make in NETWORKS}
    for name, row in rows.items():
        print(
            f"{name}: λ_max {row['largest']:.4g}, λ_min {row['smallest']:.4g}, {row['products']} "
            f"products in {row['seconds']:.1f} s ({row['form']}, batches of {row['batch_size']}), "
            f"decided in {row['deciding_s']:.1f} s"
        )
    held = all(row["seconds"] <= TARGET_SECONDS for row in rows.values())
    claim = f"both ends to {TOLERANCE:g} in {TARGET_SECONDS:g} s"
    print(f"{claim}: {'held' if held else 'BROKEN'}")
    body = {"device": torch.cuda.get_device_name(device), "claim": claim, "held": held, **rows}
    print(f"kept in {timing.write('cuda_curvature', body)}")


def ends(
    make: Callable[[], nn.Module], device: torch.device, samples: int, budget: int
) -> dict[str, Any]:
    """Both ends of one network's spectrum, and what they took."""
    module = seeded(make)
    images = random_images(samples)
    network = bound(module, images.normalised()[:2])
    data, point = Dataset("data", (images.normalised(),), images.targets), point_of(module)

    def setting(batch_size: int) -> Setting:
        loss = Loss.named("cross_entropy")
        return Setting(network, loss, batch_size, Precision.FLOAT32, device)

    begun = time.perf_counter()
    plan = plan_products(setting(1), point, data, memory_budget_bytes=budget, block=1)
    local = Objective(setting(plan.batch_size), point, data).at(point)
    form = choose_form(local, block=1)
    decided = time.perf_counter()
    operator = HessianOperator(local, form=form, retain=plan.retain)
    found = spectrum_ends(
        operator, tolerance=TOLERANCE, max_products=MOST_PRODUCTS, vectors=False, seed=0
    )
    done = time.perf_counter()
    pairs = found.largest[0], found.smallest[0]
    return {
        "parameters": local.layout.size,
        "samples": samples,
        "largest": pairs[0].value,
        "smallest": pairs[1].value,
        "residuals": [pair.residual for pair in pairs],
        "converged": all(pair.converged for pair in pairs),
        "products": found.products,
        "form": form.value,
        "batch_size": plan.batch_size,
        "retain": operator.retain,
        "deciding_s": decided - begun,
        "seconds": done - decided,
    }
