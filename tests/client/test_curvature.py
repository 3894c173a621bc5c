"""Curvature through the client and the command line, against the live service."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import lossatlas
import numpy as np
import pytest

from tests.support.live import Api, Live
from tests.support.reference import Pushed, push

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def pushed(live_api: Api) -> Pushed:
    return push(live_api, "digits_mlp", "bent")


@pytest.fixture(scope="module")
def client(live_api: Api) -> Iterator[lossatlas.Client]:
    with lossatlas.Client(live_api.url, live_api.key, progress=False) as client:
        yield client


def test_a_point(client: lossatlas.Client, pushed: Pushed, tmp_path: Path) -> None:
    job = client.curvature(
        pushed.final,
        [pushed.dataset],
        largest=3,
        smallest=2,
        trace="deflated",
        density={"steps": 40, "probes": 3},
        layers=True,
        along=[{"kind": "random", "seed": 1}],
        precision="float64",
    )
    landscape = job.wait(180, progress=False)
    curvature = landscape.curvature
    assert curvature is not None
    expected = pushed.expected["hessian_float64"]
    assert np.allclose(curvature.largest.values, expected["largest"][:3], rtol=1e-6)
    assert curvature.largest.converged.all()
    assert curvature.smallest.values.shape == curvature.smallest.residuals.shape == (2,)
    assert curvature.lambda_max == curvature.largest.values[0]
    assert curvature.trace is not None
    low, high = curvature.trace.interval
    assert low <= expected["trace"] <= high
    assert curvature.density is not None
    assert curvature.density.weights.sum() == pytest.approx(1)
    assert len(curvature.density.nodes) == 120
    assert [layer.name for layer in curvature.layers] == ["fc1", "fc2"]
    assert sum(layer.parameters for layer in curvature.layers) == curvature.parameters == 610
    assert curvature.along[0].direction == job.info.directions["along0"]
    for view in (None, "spectrum", "layers"):
        path = landscape.save_figure(tmp_path / f"{view}.png", view)
        assert path.read_bytes().startswith(PNG)
    assert b"<svg" in landscape.figure("svg", theme="dark")
    with pytest.raises(lossatlas.ProblemError, match="does not fit a single point"):
        landscape.figure("png", view="curve")


def test_a_map(client: lossatlas.Client, pushed: Pushed, tmp_path: Path) -> None:
    landscape = client.convexity_map(pushed.final, pushed.dataset, num=(5, 4)).wait(
        180, progress=False
    )
    assert landscape.curvature is None
    cells = landscape.dataset("digits_mlp").extra
    assert cells["ratio"].shape == landscape.loss.shape == (4, 5)
    assert np.allclose(cells["ratio"], np.abs(cells["lambda_min"] / cells["lambda_max"]))
    assert set(landscape.grid.body["curvature"]["definitions"]) >= {"ratio", "converged"}
    usual = landscape.figure("png")
    assert usual == landscape.figure("png", metric="ratio", view="heatmap")
    pictures = {usual}
    for metric, view in (("lambda_min", "heatmap"), ("lambda_max", "filled"), ("loss", "contour")):
        pictures.add(landscape.figure("png", metric=metric, view=view))
    assert len(pictures) == 4


def test_the_command(live: Live, pushed: Pushed, tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "lossatlas.cli.command", "curvature", *arguments],
            env={
                "PATH": os.environ["PATH"],
                "HOME": "/nonexistent",
                "LOSSATLAS_DATA_DIR": str(live.folder),
            },
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    common = (pushed.final, "-d", pushed.dataset)
    spectrum, ratio = tmp_path / "spectrum.png", tmp_path / "ratio.svg"
    point = run(*common, "--largest", "2", "--trace", "xtrace", "--output", str(spectrum))
    assert point.returncode == 0, point.stderr
    assert "lambda_max" in point.stderr
    assert "trace" in point.stderr
    assert spectrum.read_bytes().startswith(PNG)
    mapped = run(*common, "--map", "--num", "3", "--exclude", "bias", "--output", str(ratio))
    assert mapped.returncode == 0, mapped.stderr
    assert "negative_share" in mapped.stderr
    assert "<svg" in ratio.read_text()
    wrong = run(*common, "--map", "--layers")
    assert wrong.returncode == 2
    assert "--layers" in wrong.stderr
