"""What curvature costs: products that both ends of a spectrum take, beside SciPy's Lanczos, and
what a Hessian-vector product costs in gradients, alone and in blocks.

A convolutional network trained for a moment on random data, one thread, sides interleaved.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import nn

from tests.benchmarks import timing
from tests.benchmarks.networks import ResNet
from tests.support.module_network import ModuleNetwork, point_of, seeded
from workers.engine.datasets import Dataset
from workers.engine.evaluation import Setting
from workers.engine.hessian import HessianForm, HessianOperator, choose_form
from workers.engine.lanczos import spectrum_ends
from workers.engine.losses import Loss
from workers.engine.network import Point
from workers.engine.objective import LocalObjective, Objective
from workers.engine.operators import CountingOperator, rademacher_block
from workers.engine.precision import Precision

SAMPLES, BATCH, BLOCK, ROUNDS = 128, 64, 8, 7
#: To be reached: a product by the chosen form beside the cheapest one, a vector of a block beside a
#: product alone, both ends beside SciPy's one after the other.
_CHOSEN, _BLOCKS, _PRODUCTS = 1.1, 0.85, 0.5
#: SciPy's runs that give both ends: `which` and k of each.
_SCIPY: Final = {"BE": (("BE", 2),), "LA and SA": (("LA", 1), ("SA", 1))}


def run() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        ends = {f"ResNet-{depth}": _ends(depth) for depth in (8, 20)}
        products = _products()
    finally:
        torch.set_num_threads(threads)
    held = _held(ends, products)
    print("  ".join(f"{claim}: {'held' if value else 'BROKEN'}" for claim, value in held.items()))
    body = {"held": held, "ends": ends, "products": products}
    print(f"kept in {timing.write('curvature', body)}")


def _held(ends: dict[str, Any], products: dict[str, Any]) -> dict[str, bool]:
    """What was to be reached, and whether it was."""
    one = {form: products[f"{form}, one"]["gradients_a_product"] for form in HessianForm}
    block = {
        form: products[f"{form}, block of {BLOCK}"]["gradients_a_product"] for form in HessianForm
    }
    chosen = products["chosen"]
    ratios = [
        row["scipy LA and SA"]["ratio"]
        for network in ends.values()
        for name, row in network.items()
        if name.startswith("tolerance")
    ]
    return {
        f"the chosen form at most {_CHOSEN} times the cheapest": one[chosen["block of 1"]]
        <= _CHOSEN * min(one.values()),
        f"blocks at most {_BLOCKS} of a product each": block[chosen[f"block of {BLOCK}"]]
        <= _BLOCKS * min(one.values()),
        f"at most {_PRODUCTS} of the products of SciPy's LA and SA": max(ratios) <= _PRODUCTS,
    }


def _trained(depth: int) -> tuple[ModuleNetwork, Point, Dataset]:
    module = seeded(lambda: ResNet(depth)).train()
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(SAMPLES, 3, 16, 16, generator=generator)
    classes = torch.randint(0, 10, (SAMPLES,), generator=generator)
    optimiser = torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9)
    for step in range(12):
        part = slice(step % 2 * 64, step % 2 * 64 + 64)
        optimiser.zero_grad()
        nn.functional.cross_entropy(module(images[part]), classes[part]).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    module.eval()
    return ModuleNetwork(module), point_of(module), Dataset("random", (images,), classes)


def _local(depth: int, precision: Precision) -> LocalObjective:
    network, point, data = _trained(depth)
    setting = Setting(network, Loss.named("cross_entropy"), BATCH, precision)
    return Objective(setting, point, data).at(point)


def _ends(depth: int) -> dict[str, Any]:
    """Products until λ_max and λ_min are known to one part in a thousand and in 10⁵ of λ_max.

    Beside SciPy's for both ends at once (`BE`), and for one after the other (`LA`, `SA`).
    """
    local = _local(depth, Precision.FLOAT64)
    operator = CountingOperator(HessianOperator(local, retain=True))
    results: dict[str, Any] = {"images": "16×16", "parameters": operator.layout.size}
    exact = spectrum_ends(operator, tolerance=1e-7, max_products=200, vectors=False)
    top, low = exact.largest[0].value, exact.smallest[0].value
    for tolerance in (1e-3, 1e-5):
        ours = spectrum_ends(operator, tolerance=tolerance, max_products=300, vectors=False)
        error = max(abs(ours.largest[0].value - top), abs(ours.smallest[0].value - low)) / top
        body: dict[str, Any] = {"products": ours.products, "relative_error": error}
        for name, runs in _SCIPY.items():
            operator.products = 0
            theirs = np.concatenate([_scipy(operator, tolerance, *one) for one in runs])
            other = float(max(abs(theirs.max() - top), abs(theirs.min() - low)) / top)
            body[f"scipy {name}"] = {
                "products": operator.products,
                "relative_error": other,
                "ratio": round(ours.products / operator.products, 3),
            }
        print(f"ResNet-{depth}, both ends to {tolerance:g}: {body}")
        results[f"tolerance {tolerance:g}"] = body
    return results


def _scipy(
    operator: CountingOperator, tolerance: float, which: str, count: int
) -> NDArray[np.float64]:
    size = operator.layout.size

    def matvec(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        block = torch.from_numpy(np.ascontiguousarray(vector.reshape(1, -1)))
        product: NDArray[np.float64] = operator.apply(block)[0].numpy()
        return product

    hessian = LinearOperator((size, size), matvec=matvec, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(size)
    values: NDArray[np.float64] = eigsh(
        hessian, k=count, which=which, tol=tolerance, v0=start, return_eigenvectors=False
    )
    return values


def _products() -> dict[str, Any]:
    """Seconds of a product beside those of a gradient; blocks of eight by each form."""
    local = _local(8, Precision.FLOAT32)
    sides: dict[str, Any] = {"gradient": local.gradient}
    for form in HessianForm:
        operator = HessianOperator(local, form=form, block=BLOCK)
        block = rademacher_block(operator, BLOCK, 0, "benchmark")
        sides[f"{form}, one"] = _applying(operator, block[:1])
        sides[f"{form}, block of {BLOCK}"] = _applying(operator, block)
    kept = HessianOperator(local, retain=True)
    sides["swept and kept, one"] = _applying(kept, rademacher_block(kept, 1, 0, "benchmark"))
    samples = timing.interleave(sides, ROUNDS)
    results: dict[str, Any] = {
        "network": "ResNet-8, 16×16",
        "parameters": local.layout.size,
        "samples": SAMPLES,
        "chosen": {
            f"block of {block}": choose_form(local, block=block).value for block in (1, BLOCK)
        },
    }
    for name, sample in samples.items():
        products = BLOCK if "block" in name else 1
        cost = timing.pairwise_ratio(sample, samples["gradient"]) / products
        print(f"{name}: {sample.median * 1e3:.0f} ms, {cost:.2f} gradients a product")
        results[name] = {**sample.to_json(), "gradients_a_product": round(cost, 3)}
    return results


def _applying(operator: HessianOperator, block: torch.Tensor) -> Any:
    return lambda: operator.apply(block)
