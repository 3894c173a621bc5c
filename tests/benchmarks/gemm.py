"""The rate of this machine's matrix products: what a network on it is measured against.

    python -m tests.benchmarks.gemm        one line in, one line out: a kind, its GFLOP/s

Kinds are `float32`, `bf16` (oneDNN's products, which convolutions are made of too) and `mkl`
(`torch.mm` in float32: MKL's, which on processors of other makers takes narrower instructions).
Every line is the best of the products that fit into a quarter of a second, of several sizes: what
the hardware can do, not what it did while something else ran.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

SIZES = (512, 1024)
SECONDS = 0.25


class GemmRate:
    """Processes that multiply matrices at the same time, each as a worker's child is started."""

    def __init__(self, processes: int, environment: dict[str, str]) -> None:
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.benchmarks.gemm"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
            for _ in range(processes)
        ]

    def measure(self, kind: str) -> float:
        """Floating-point operations per second of all processes together."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(f"{kind}\n")
            process.stdin.flush()
        rates = []
        for process in self._processes:
            assert process.stdout is not None
            rates.append(float(process.stdout.readline()))
        return sum(rates)

    def close(self) -> None:
        for process in self._processes:
            process.communicate()


def _products(kind: str, size: int) -> Callable[[], object]:
    import torch

    dtype = torch.bfloat16 if kind == "bf16" else torch.float32
    a, b = (torch.randn(size, size).to(dtype) for _ in range(2))
    if kind == "mkl":
        out = torch.empty(size, size)
        return lambda: torch.mm(a, b, out=out)
    product = torch.ops.mkldnn._linear_pointwise
    return lambda: product(a, b, None, "none", [], "")


def _rate(kind: str) -> float:
    fastest = 0.0
    for size in SIZES:
        run = _products(kind, size)
        run()
        begun = time.perf_counter()
        while time.perf_counter() - begun < SECONDS:
            start = time.perf_counter()
            run()
            fastest = max(fastest, 2.0 * size**3 / (time.perf_counter() - start))
    return fastest


def main() -> None:
    import torch

    torch.set_grad_enabled(False)
    for line in sys.stdin:
        print(_rate(line.strip()), flush=True)


if __name__ == "__main__":
    main()
