"""Whole services for the benchmarks: started for a block, with a network pushed to them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lossatlas
import numpy as np
import torch
from safetensors.numpy import save
from safetensors.torch import save as save_torch
from sklearn.datasets import load_digits
from torch import nn

from tests.support.live import Api, Live


@dataclass(frozen=True)
class Case:
    """A network as files: program, weights, data; and the tensors that they hold."""

    program: bytes
    weights: bytes
    data: bytes
    inputs: torch.Tensor
    targets: torch.Tensor

    @classmethod
    def of(cls, module: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> Case:
        module = module.eval()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "program.pt2"
            lossatlas.export_model(module, (inputs[:4],), path)
            program = path.read_bytes()
        state = {n: t.detach().contiguous() for n, t in module.state_dict().items()}
        data = save({"inputs": inputs.numpy(), "targets": targets.numpy()})
        return cls(program, save_torch(state), data, inputs, targets)


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """scikit-learn's digits as images (1797, 1, 8, 8) in [0, 1], and their classes."""
    images, classes = load_digits(return_X_y=True)
    pixels = (images.astype(np.float32) / 16.0).reshape(-1, 1, 8, 8)
    return torch.from_numpy(pixels), torch.from_numpy(classes.astype(np.int64))


@dataclass(frozen=True)
class Stack:
    """A running service and what was pushed to it."""

    api: Api
    model: str
    checkpoint: str
    dataset: str

    def surface(self, num: int, seed: int) -> dict[str, Any]:
        """Submits, waits, and gives the finished job."""
        axis = {"min": -1, "max": 1, "num": num}
        done: dict[str, Any] = self.api.landscape_of(
            {
                "kind": "surface",
                "origin": self.checkpoint,
                "directions": {
                    "x": {"kind": "random", "seed": seed},
                    "y": {"kind": "random", "seed": seed + 1},
                },
                "grid": {"x": axis, "y": axis},
                "datasets": [self.dataset],
                "force": True,
            },
            seconds=1800.0,
        )
        return done


@contextmanager
def running(case: Case, *, workers: int, **env: str) -> Iterator[Stack]:
    """A service of its own with the case pushed and its model ready."""
    with tempfile.TemporaryDirectory(prefix="lossatlas-bench-") as folder:
        live = Live(Path(folder) / "data", workers=workers, env=env)
        try:
            api = live.start()
            yield _push(api, case)
            live.stop()
        finally:
            live.kill()


def _push(api: Api, case: Case) -> Stack:
    model = api.create(
        "/v1/models", {"project": "bench", "name": "net", "program": api.put_object(case.program)}
    )["id"]
    checkpoint = api.create(
        f"/v1/models/{model}/checkpoints", {"weights": api.put_object(case.weights)}
    )["id"]
    dataset = api.create(
        "/v1/datasets",
        {"project": "bench", "name": "digits", "object": api.put_object(case.data)},
    )["id"]
    deadline = time.monotonic() + 120.0
    while api.get(f"/v1/models/{model}").json()["state"] != "ready":
        if time.monotonic() > deadline:
            raise AssertionError("the model did not become ready")
        time.sleep(0.1)
    return Stack(api, model, checkpoint, dataset)
