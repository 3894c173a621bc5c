"""The HDF5 file: what the published scripts find in it, and everything else."""

from __future__ import annotations

import io
import json
import time
from typing import Any

import h5py
import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray

from service.domain.results import GridResult
from service.exports import About, encode_hdf5
from tests.exports.cases import HOLES, LINE, WIDE, about, two, with_path
from tests.figures.cases import LINE_APART, line_of


def read(
    result: GridResult,
    what: About | None = None,
    tensors: dict[str, dict[str, NDArray[Any]]] | None = None,
) -> h5py.File:
    return h5py.File(io.BytesIO(encode_hdf5(result, what or about(), tensors)), "r")


def test_the_published_contour_plot_of_a_plane_that_is_not_square() -> None:
    # as plot_2D.py does: the array against the mesh of the coordinates, without a turn
    with read(WIDE) as file:
        x, y, loss = (np.array(file[k]) for k in ("xcoordinates", "ycoordinates", "train_loss"))
    mesh_x, mesh_y = np.meshgrid(x, y)
    np.testing.assert_allclose(loss, 0.1 + 3 * mesh_x**2 + mesh_y + 1.5)
    drawn = Figure().add_subplot().contour(mesh_x, mesh_y, loss, levels=[2.0, 3.0])
    [[lines, *_], *_] = drawn.allsegs
    # vertices lie on the mesh's own lines; those of constant α are exact, as β enters linearly
    exact = [p for p in lines if np.isin(p[0].round(9), x)]
    assert len(exact) > 2
    for across, along in exact:
        assert 0.1 + 3 * across**2 + along + 1.5 == pytest.approx(2.0)


def test_the_published_converter_reads_cells_in_the_mesh_order() -> None:
    # as h52vtp.py does: mesh and values raveled side by side
    with read(WIDE) as file:
        flat = np.array(file["train_loss"]).ravel()
        mesh = np.meshgrid(file["xcoordinates"][:], file["ycoordinates"][:])
    np.testing.assert_allclose(flat, 0.1 + 3 * mesh[0].ravel() ** 2 + mesh[1].ravel() + 1.5)


def test_the_published_curves_of_a_line() -> None:
    with read(LINE) as file:
        assert "ycoordinates" not in file
        np.testing.assert_allclose(file["train_loss"], LINE.x**2 + 1)
        np.testing.assert_allclose(file["test_loss"], LINE.x**2 + 2)
        # plot_1D.py draws errors as 100 minus accuracy
        accuracy = LINE.datasets[0].accuracy
        assert accuracy is not None
        np.testing.assert_allclose(100 - file["train_acc"][:], 100 * (1 - accuracy))


@pytest.mark.parametrize(
    ("names", "splits", "train", "test"),
    [
        (("a", "b"), {}, "a", "b"),
        (("a", "b"), {"a": "test", "b": "train"}, "b", "a"),
        (("a", "b"), {"a": "Test"}, "b", "a"),
        (("a", "b"), {"b": "training"}, "b", "a"),
        (("a", "b"), {"a": "validation", "b": None}, "b", "a"),
        (("a", "b"), {"a": "test", "b": "test"}, None, "a"),
        (("a", "b"), {"a": "night", "b": "day"}, "a", "b"),
    ],
)
def test_which_data_set_is_which(
    names: tuple[str, str], splits: dict[str, str | None], train: str | None, test: str | None
) -> None:
    with read(two(*names), about(splits=splits)) as file:
        found = {side: file.get(f"{side}_loss") for side in ("train", "test")}
        said = {side: None if v is None else v.attrs["dataset"] for side, v in found.items()}
        assert said == {"train": train, "test": test}
        for side, name in said.items():
            if name is not None:
                values = two(*names).dataset(name).loss
                np.testing.assert_array_equal(file[f"{side}_loss"], values)


def test_without_an_accuracy_the_published_key_is_there_and_undefined() -> None:
    bare = line_of({"train": lambda a: a**2}, LINE.x, accuracy=False)
    with read(bare) as file:
        assert np.isnan(file["train_acc"][:]).all()
        assert not file["train_acc"].attrs["defined"]
        assert "accuracy" not in file["datasets/train"]


def test_values_that_are_no_numbers_stay_as_they_came() -> None:
    with read(HOLES) as file:
        assert np.isnan(file["train_loss"][0, 0]) or np.isnan(file["test_loss"][0, 0])
        group = file["datasets/test"]
        assert group["loss"][5, 6] == np.inf
        codes = dict(pair.split("=") for pair in group["status"].attrs["codes"].split())
        assert codes[str(group["status"][0, 0])] == "nan"
        assert codes[str(group["status"][5, 6])] == "posinf"


@pytest.mark.parametrize("name", ["a/b", "..", ".", "50%", "50%2F", "ü\n"])
def test_names_that_are_no_paths(name: str) -> None:
    with read(two(name, "other")) as file:
        assert len(file["datasets"]) == 2
        names = {group.attrs["name"] for group in file["datasets"].values()}
        assert names == {name, "other"}


def test_where_the_values_come_from() -> None:
    many = {f"k{k}": "v" * 100 for k in range(2000)}
    what = about(provenance={**about().provenance, "many": many})
    with read(WIDE, what) as file:
        assert file.attrs["landscape"] == "lsc_0"
        assert file.attrs["dtype"] == "float32"
        assert json.loads(file["provenance"][()]) == what.provenance
        assert json.loads(file["derived"][()]) == what.derived
        assert file["ydirection"].attrs["norm"] == 3.0
        assert json.loads(file["ydirection"].attrs["spec"])["seed"] == 2


def test_directions_are_groups() -> None:
    weights = np.arange(6, dtype=np.float32).reshape(2, 3)
    with read(WIDE, tensors={"x": {"fc.weight": weights}}) as file:
        np.testing.assert_array_equal(file["xdirection/fc.weight"], weights)
        assert len(file["ydirection"]) == 0


def test_a_path_under_the_published_names() -> None:
    with read(with_path(HOLES)) as file:
        # plotted as one line, which must not lead from one run to the next
        np.testing.assert_array_equal(file["proj_xcoord"], [-0.9, -0.5, 0, np.nan, 0.8, 0.3])
        np.testing.assert_array_equal(file["proj_ycoord"], [0.9, 0.2, 0, np.nan, 0.6, 0.1])
        np.testing.assert_array_equal(file["explained_variance_ratio_"], [0.8, 0.15])
        group = file["attachments/trajectory"]
        assert group["true_loss"].shape == (1, 5)
        assert group["labels"].asstr()[:].tolist() == ["früh", "", "last", "", ""]
        assert group["center"].asstr()[()] == "final"
    with read(WIDE) as file:
        assert "proj_xcoord" not in file


def test_networks_and_what_is_said_of_them() -> None:
    with read(LINE_APART) as file:
        np.testing.assert_array_equal(
            file["attachments/network/loss"], [[0.02, 0.12], [0.31, 0.38]]
        )
        assert file["attachments/network/roles"].asstr()[:].tolist() == ["origin", "target"]
        said = file.attrs["networks"]
        assert "loss 0.12 on train (the line gives 1.32), 0.38 on test (1.71)" in said
    with read(LINE) as file:
        assert "networks" not in file.attrs
        assert "network" not in file.get("attachments", {})


def test_equal_results_are_equal_bytes() -> None:
    first = encode_hdf5(with_path(HOLES), about())
    second = int(time.time())
    while int(time.time()) == second:  # HDF5's clock counts seconds
        pass
    assert encode_hdf5(with_path(HOLES), about()) == first
