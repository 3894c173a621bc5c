"""What reading, binding and running a program costs, against the module it was exported from.

Three questions: how long a ResNet-56 takes from archive to network, beside torch's own loader; what
the interpreter adds to each operator, which small batches show; and what folding batch norms saves.
One thread, sides interleaved.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from service.programs import canonical, read_program
from tests.benchmarks import timing
from tests.benchmarks.networks import ResNet
from tests.program_binding.exported import save
from tests.support.module_network import point_of, seeded
from workers.program.binder import BoundNetwork
from workers.program.canonical import load_canonical

LOADS, PASSES = 5, 15


def run() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            results = {"load": _load(Path(folder)), "run": _passes(Path(folder))}
    finally:
        torch.set_num_threads(threads)
    print(f"kept in {timing.write('program_binding', results)}")


def _load(folder: Path) -> dict[str, Any]:
    module = seeded(lambda: ResNet(56))
    path = save(module, (torch.zeros(2, 3, 32, 32),), folder / "56.pt2")
    point = point_of(module)
    stored = folder / "graph.json"
    with read_program(path) as program:
        stored.write_bytes(canonical.encode(program.graph))

    def check() -> None:
        with read_program(path):
            pass

    def load() -> None:
        load_canonical(stored, None).at(point.parameters, point.buffers)

    sides = {
        "read and check the archive": check,
        "load and bind the stored form": load,
        "torch.export.load": lambda: torch.export.load(path).module(),
    }
    samples = timing.interleave(sides, LOADS)
    for name, sample in samples.items():
        print(f"ResNet-56: {name}: {sample.median * 1e3:.1f} ms")
    return {name: sample.to_json() for name, sample in samples.items()}


def _passes(folder: Path) -> dict[str, Any]:
    module = seeded(lambda: ResNet(20))
    path = save(module, (torch.zeros(2, 3, 32, 32),), folder / "20.pt2")
    with read_program(path) as program:
        graph = program.graph
    return {
        f"batch {size}": _pass(module, graph, size, rounds)
        for size, rounds in ((128, PASSES), (8, 10 * PASSES), (1, 20 * PASSES))
    }


def _pass(module: nn.Module, graph: Any, size: int, rounds: int) -> dict[str, Any]:
    images = torch.randn(size, 3, 32, 32).to(memory_format=torch.channels_last)
    point = point_of(module)
    parameters = {
        n: t.contiguous(memory_format=torch.channels_last) if t.dim() == 4 else t
        for n, t in point.parameters.items()
    }
    module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.inference_mode():
        plain, short = (
            BoundNetwork(graph, fold=fold).at(parameters, point.buffers) for fold in (False, True)
        )
        network = BoundNetwork(graph)
        samples = timing.interleave(
            {
                "eager": lambda: module(images),
                "bound": lambda: plain(images),
                "folded": lambda: short(images),
                "fold a point": lambda: network.at(parameters, point.buffers),
            },
            rounds,
        )
    eager, bound, folded = (samples[name] for name in ("eager", "bound", "folded"))
    overhead = (bound.median - eager.median) / len(graph.nodes) * 1e6
    print(
        f"ResNet-20, batch {size}: eager {eager.median * 1e3:.2f} ms, bound "
        f"{bound.median * 1e3:.2f} ms ({overhead:+.2f} µs an operator), folded "
        f"{folded.median * 1e3:.2f} ms ({timing.pairwise_ratio(bound, folded):.2f}× as fast), "
        f"folding {samples['fold a point'].median * 1e3:.2f} ms a point"
    )
    return {
        **{name: sample.to_json() for name, sample in samples.items()},
        "operators": len(graph.nodes),
        "overhead_us_per_operator": round(overhead, 3),
        "folding_speed_up": round(timing.pairwise_ratio(bound, folded), 3),
    }
