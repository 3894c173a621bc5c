"""Trajectories of both reference folders through the whole service, against the reference and
against dense float64 linear algebra on the same files.

The tolerances are those of the reference's own README: explained variance 1e-5, coordinates 1e-4
relative to the largest.
"""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from tests.support.live import Api
from tests.support.reference import ROOT, Pushed, push

Array = NDArray[np.float64]
BUFFER = re.compile(r"\.(running_mean|running_var|num_batches_tracked)$")


@pytest.fixture(scope="module", params=["digits_convnet", "digits_mlp"])
def pushed(request: pytest.FixtureRequest, live_api: Api) -> Pushed:
    return push(live_api, request.param, "paths")


def asked(pushed: Pushed, **changes: Any) -> dict[str, Any]:
    return {
        "kind": "trajectory",
        "model": pushed.model,
        "checkpoints": list(pushed.checkpoints),
        "datasets": [pushed.dataset],
        "surface": {"num": 5, "margin": 0.2},
        **changes,
    }


def matrix(pushed: Pushed) -> Array:
    """θ_i − θ_n of every parameter, shape (n, P), float64."""
    files = [load_file(path) for path in sorted((ROOT / pushed.folder).glob("checkpoint_*"))]
    names = [name for name in files[0] if not BUFFER.search(name)]
    rows = [np.concatenate([f[n].astype(np.float64).ravel() for n in names]) for f in files]
    out: Array = np.stack(rows) - rows[-1]
    return out


@pytest.mark.parametrize("exclude", [[], ["bias", "norm"]], ids=["all", "weights"])
@pytest.mark.parametrize("center", ["final", "mean"])
def test_the_plane_is_the_references(
    live_api: Api, pushed: Pushed, exclude: list[str], center: str
) -> None:
    job = live_api.landscape_of(asked(pushed, center=center, exclude=exclude, true_loss=False))
    path = live_api.data(job)["trajectory"]
    expected = pushed.expected["trajectory_ignore_biasbn" if exclude else "trajectory_all"]
    wanted = expected["uncentred" if center == "final" else "centred_reference"]
    assert path["explained_variance"][:2] == pytest.approx(
        wanted["explained_variance_ratio"], abs=1e-5
    )
    coordinates = np.array(wanted["abs_coordinates"])
    assert np.abs(path["coordinates"]) == pytest.approx(coordinates, abs=1e-4 * coordinates.max())
    assert path["center"] == center
    assert path["true"] is None
    excluded = live_api.get(f"/v1/landscapes/{job['landscape']}").json()["provenance"][
        "trajectory"
    ]["excluded"]
    assert bool(excluded) == bool(exclude)


def test_a_finished_trajectory_is_complete(live_api: Api, pushed: Pushed) -> None:
    """Residuals and distances against dense algebra, true losses against surfaces' centres."""
    job = live_api.landscape_of(asked(pushed))
    data = live_api.data(job)
    path = data["trajectory"]
    m = matrix(pushed)
    _, sigma, axes = np.linalg.svd(m, full_matrices=False)
    off = m - (m @ axes[:2].T) @ axes[:2]
    lengths = np.linalg.norm(m, axis=1)
    assert path["distances"] == pytest.approx(lengths, rel=1e-6)
    residuals = np.linalg.norm(off, axis=1)[:-1] / lengths[:-1]
    assert path["residuals"][:-1] == pytest.approx(residuals, abs=1e-5)
    assert path["residuals"][-1] == 0
    assert path["explained_variance"] == pytest.approx(sigma**2 / (sigma**2).sum(), abs=1e-6)
    assert path["share"] == pytest.approx(1 - (off**2).sum() / (m**2).sum(), abs=1e-6)
    # random planes hold about 2/P of the path
    assert len(path["random_shares"]) == 8
    assert max(path["random_shares"]) < 50 / m.shape[1] < path["share"]
    assert data["directions"]["x"]["norm"] == pytest.approx(1, abs=1e-6)
    assert abs(data["directions"]["cosine"]) < 1e-6

    # the surface holds the path with its margin
    coordinates = np.array(path["coordinates"])
    for axis, column in (("x", 0), ("y", 1)):
        low, high = coordinates[:, column].min(), coordinates[:, column].max()
        assert data[axis][0] == pytest.approx(low - 0.2 * (high - low))
        assert data[axis][-1] == pytest.approx(high + 0.2 * (high - low))
    assert {word for row in data["status"] for word in row} == {"ok"}

    # at the centre the plane and the checkpoint are one, bit for bit; it is the trained network
    true, plane = path["true"][pushed.folder], path["plane"][pushed.folder]
    assert (
        true["loss"][-1] == plane["loss"][-1] == data["center"]["datasets"][pushed.folder]["loss"]
    )
    assert true["loss"][-1] == pytest.approx(pushed.expected["final"]["loss"], rel=1e-5)
    for row in (0, 3):
        axis = {"min": -0.1, "max": 0.1, "num": 2}
        surface = live_api.landscape_of(
            {
                "kind": "surface",
                "origin": pushed.checkpoints[row],
                "directions": {a: {"kind": "random", "seed": 5} for a in "xy"},
                "grid": {"x": axis, "y": axis},
                "datasets": [pushed.dataset],
            }
        )
        center = live_api.data(surface)["center"]["datasets"][pushed.folder]
        for key in ("loss", "stderr", "accuracy"):
            assert true[key][row] == center[key], (row, key)


def test_the_arrays_hold_the_path(live_api: Api, pushed: Pushed) -> None:
    job = live_api.landscape_of(asked(pushed))
    path = live_api.data(job)["trajectory"]
    answer = live_api.get(f"/v1/landscapes/{job['landscape']}/data.npz")
    with np.load(io.BytesIO(answer.content), allow_pickle=False) as arrays:
        attached = {
            name.removeprefix("attached.trajectory."): arrays[name]
            for name in arrays.files
            if name.startswith("attached.trajectory.")
        }
    assert attached["checkpoints"].tolist() == list(pushed.checkpoints)
    assert attached["steps"].tolist() == list(range(len(pushed.checkpoints)))
    assert attached["coordinates"].tolist() == path["coordinates"]
    assert attached["true_loss"][0].tolist() == path["true"][pushed.folder]["loss"]


def test_what_is_wrong_is_said(live_api: Api, pushed: Pushed) -> None:
    """Three checkpoints of which two are one: a line, found by the worker."""
    first = (ROOT / pushed.folder / "checkpoint_00.safetensors").read_bytes()
    twin = live_api.create(
        f"/v1/models/{pushed.model}/checkpoints", {"weights": live_api.put_object(first)}
    )["id"]
    job = live_api.create(
        "/v1/jobs", asked(pushed, checkpoints=[pushed.checkpoints[0], twin, pushed.final])
    )
    done = live_api.finish(job["id"])
    assert done["state"] == "failed"
    assert done["error"]["code"] == "incompatible_inputs"
    assert "do not span a plane" in done["error"]["detail"]


def test_two_runs_on_one_plane(live_api: Api, pushed: Pushed) -> None:
    """The second run: every other checkpoint, moved by a constant, at another learning rate."""
    files = sorted((ROOT / pushed.folder).glob("checkpoint_*"))[::2]
    model = live_api.create(
        "/v1/models",
        {
            "project": "paths",
            "name": "moved",
            "program": live_api.put_object((ROOT / pushed.folder / "program.pt2").read_bytes()),
        },
    )["id"]
    generator = np.random.default_rng(3)
    shift = {
        name: 0.05 * generator.standard_normal(value.shape).astype(np.float32)
        for name, value in load_file(files[0]).items()
        if not BUFFER.search(name)
    }
    moved = []
    for step, file in enumerate(files):
        tensors = {n: v + shift[n] if n in shift else v for n, v in load_file(file).items()}
        moved.append(np.concatenate([tensors[n].astype(np.float64).ravel() for n in shift]))
        body = {
            "weights": live_api.put_object(save(tensors)),
            "step": 10 * step,
            "learning_rate": 0.1 if step < 2 else 0.01,
        }
        live_api.create(f"/v1/models/{model}/checkpoints", body)
    job = live_api.landscape_of(
        asked(pushed, runs=[{"model": model, "label": "moved"}], label="straight")
    )
    path = live_api.data(job)["trajectory"]
    n = len(pushed.checkpoints)
    assert path["runs"] == [
        {"label": "straight", "start": 0, "stop": n},
        {"label": "moved", "start": n, "stop": n + len(files)},
    ]
    assert path["centre_row"] == n - 1
    assert path["coordinates"][n - 1] == [0, 0]
    assert [i for i, dropped in enumerate(path["learning_rate_drops"]) if dropped] == [n + 2]
    final = np.concatenate(
        [
            load_file(files[0].parent / f"checkpoint_{n - 1:02d}.safetensors")[k].ravel()
            for k in shift
        ]
    ).astype(np.float64)
    names = list(shift)
    first = np.stack(
        [
            np.concatenate([load_file(f)[k].astype(np.float64).ravel() for k in names])
            for f in sorted((ROOT / pushed.folder).glob("checkpoint_*"))
        ]
    )
    m = np.vstack([first, np.stack(moved)]) - final
    _, sigma, axes = np.linalg.svd(m, full_matrices=False)
    assert path["explained_variance"][:2] == pytest.approx(
        (sigma**2 / (sigma**2).sum())[:2], abs=1e-6
    )
    wanted = np.abs(m @ axes[:2].T)
    assert np.abs(path["coordinates"]) == pytest.approx(wanted, abs=1e-4 * wanted.max())
