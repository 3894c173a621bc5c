"""How much memory and time the plane of a long trajectory takes, against scikit-learn's PCA.

50 checkpoints of 25 million float32 parameters (5 GB on disk, removed afterwards) for the peak;
50 of 4 million for both sides, one after the other in turns, with the same components. Every
measurement is a fresh process of one thread that reads the files, and tells the peak of its
resident memory beyond what the imports take, the seconds on the clock, and those of the processor,
which other work on the machine leaves alone.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from tests.benchmarks import timing

COUNT: Final = 50
LARGE: Final = 25_000_000
SMALL: Final = 4_000_000
ROUNDS: Final = 3
_ROOM: Final = 1.5
_TENSORS: Final = 8


def run() -> None:
    """Prints and keeps seconds and peaks; says so and stops where the disk has no room."""
    need = int(_ROOM * 4 * COUNT * (LARGE + SMALL))
    with tempfile.TemporaryDirectory(prefix="lossatlas-trajectory-") as folder:
        if shutil.disk_usage(folder).free < need:
            print(f"needs {need / 1e9:.1f} GB of free disk in {folder}")
            return
        small = make(Path(folder) / "small", SMALL)
        sides: dict[str, list[dict[str, Any]]] = {"lossatlas": [], "sklearn": []}
        for _ in range(ROUNDS):
            for side, rows in sides.items():
                rows.append(measured(side, small))
        agree(sides["lossatlas"][0], sides["sklearn"][0])
        shutil.rmtree(small)
        large = measured("lossatlas", make(Path(folder) / "large", LARGE))
    body: dict[str, Any] = {
        f"{COUNT}x{SMALL}": {side: summary(rows) for side, rows in sides.items()},
        f"{COUNT}x{LARGE}": {"lossatlas": summary([large])},
        "rounds": ROUNDS,
        "note": "peak_mb: resident memory beyond the imports, in a fresh process; the axes "
        "(two float32 vectors) are part of it",
    }
    ours, theirs = body[f"{COUNT}x{SMALL}"]["lossatlas"], body[f"{COUNT}x{SMALL}"]["sklearn"]
    body["ratio"] = {
        key: round(theirs[key] / ours[key], 2)
        for key in ("seconds", "processor_seconds", "peak_mb")
    }
    for size in (f"{COUNT}x{SMALL}", f"{COUNT}x{LARGE}"):
        for side, row in body[size].items():
            print(
                f"{size:>12}  {side:<10} {row['seconds']:8.2f} s  "
                f"{row['processor_seconds']:8.2f} s of the processor  {row['peak_mb']:8.1f} MB"
            )
    print(f"written to {timing.write('trajectory_memory', body).name}")


def make(folder: Path, parameters: int) -> Path:
    """Checkpoints of several tensors along a path that turns, with noise beside it."""
    import numpy as np
    from safetensors.numpy import save_file

    folder.mkdir()
    generator = np.random.default_rng(20180)
    size = parameters // _TENSORS
    ways = [generator.standard_normal((3, size), dtype=np.float32) for _ in range(_TENSORS)]
    for i in range(COUNT):
        t = i / (COUNT - 1)
        tensors = {
            f"layer{k}.weight": (
                way[0]
                + (1 - t) ** 2 * way[1]
                + 0.3 * np.float32(np.sin(3 * t)) * way[2]
                + 0.02 * (1 - t) * generator.standard_normal(size, dtype=np.float32)
            ).astype(np.float32)
            for k, way in enumerate(ways)
        }
        save_file(tensors, folder / f"checkpoint_{i:03d}.safetensors")
    return folder


def measured(side: str, folder: Path) -> dict[str, Any]:
    """One side in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.trajectory_memory", side, str(folder)]
    # threads that wait for each other busily would count as work on a machine that is shared
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, **one}
    )
    row: dict[str, Any] = json.loads(done.stdout)
    return row


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "seconds": round(statistics.median(row["seconds"] for row in rows), 2),
        "processor_seconds": round(statistics.median(row["processor"] for row in rows), 2),
        "peak_mb": round(statistics.median(row["peak_bytes"] for row in rows) / 1e6, 1),
        "rounds": len(rows),
    }


def agree(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Both sides found the same components; raises AssertionError otherwise."""
    for a, b in zip(ours["explained"], theirs["explained"], strict=True):
        assert abs(a - b) < 1e-5, (ours["explained"], theirs["explained"])


def side_lossatlas(folder: Path) -> list[float]:
    from types import SimpleNamespace

    from safetensors import safe_open

    from workers.engine.checkpoint_files import CheckpointFiles
    from workers.engine.trajectory import Centring, principal_plane

    paths = sorted(folder.iterdir())
    with safe_open(paths[0], framework="np") as file:
        size = file.get_slice("layer0.weight").get_shape()[0]
    spec = SimpleNamespace(shape=(size,), dtype="float32")
    network: Any = SimpleNamespace(parameters={f"layer{k}.weight": spec for k in range(_TENSORS)})
    plane = principal_plane(network, CheckpointFiles(network, paths), centring=Centring.MEAN)
    return [float(v) for v in plane.explained_variance[:2]]


def side_sklearn(folder: Path) -> list[float]:
    import numpy as np
    from safetensors.numpy import load_file
    from sklearn.decomposition import PCA

    rows = [
        np.concatenate([tensors[name].ravel() for name in sorted(tensors)])
        for tensors in (load_file(path) for path in sorted(folder.iterdir()))
    ]
    matrix = np.stack(rows)
    del rows
    matrix -= matrix[-1].copy()
    return [float(v) for v in PCA(n_components=2).fit(matrix).explained_variance_ratio_]


def main(side: str, folder: str) -> None:
    """A measurement's own process: imports first, then the clock and the memory."""
    import time

    if side == "lossatlas":
        import torch

        import workers.engine.trajectory

        assert workers.engine.trajectory
        torch.zeros(1)
    else:
        import sklearn.decomposition

        assert sklearn.decomposition
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before, began, used = peak_bytes(), time.perf_counter(), time.process_time()
    explained = (side_lossatlas if side == "lossatlas" else side_sklearn)(Path(folder))
    row = {
        "seconds": time.perf_counter() - began,
        "processor": time.process_time() - used,
        "peak_bytes": peak_bytes() - before,
        "explained": explained,
    }
    print(json.dumps(row))


def peak_bytes() -> int:
    """The peak of resident memory of this process image; `ru_maxrss` would be the parent's too."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
