"""Every kind of landscape's HDF5 file, opened as the published scripts open it (Li et al. 2018,
`plot_1D.py`, `plot_2D.py`, `h52vtp.py`, `plot_hessian_eigen.py`): the keys that each asks for, held
against the mesh as each does. Planes are not square, so that a turned array is seen.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import h5py
import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray

from service.domain.cells import CellStatus
from service.domain.results import GridResult
from service.exports import encode_hdf5
from tests.exports.cases import HOLES, LINE, WIDE, about, two, with_path
from tests.figures.cases import LINE_APART, span, through_three
from tests.figures.spectra import ENDS, point

Array = NDArray[Any]


def curved(a: Array, b: Array) -> Array:
    """λ_min somewhere on a plane; symmetric in nothing."""
    return -1.0 - 2 * a + 4 * b**2


def convexity_map() -> GridResult:
    """λ_min = −1 − 2α + 4β² and λ_max = 10 + α, one cell's curvature unknown."""
    a, b = np.meshgrid(WIDE.x, np.asarray(WIDE.y))
    smallest, largest = curved(a, b), 10 + a
    smallest[2, 4] = largest[2, 4] = np.nan
    extra = {"lambda_min": smallest, "lambda_max": largest, "ratio": np.abs(smallest / largest)}
    return replace(
        WIDE,
        datasets=(replace(WIDE.datasets[0], extra=extra),),
        attachments={"curvature.parameters": np.array(7), "curvature.tolerance": np.array(1e-3)},
    )


def adaptive() -> GridResult:
    known = np.zeros(WIDE.shape)
    known[::2, ::2] = 1
    grid = replace(WIDE.datasets[0], extra={"evaluated": known, "estimated_error": 0 * known})
    sampling = {
        "sampling.tolerance": np.array(0.03),
        "sampling.expected_within_tolerance": np.array([0.96]),
    }
    return replace(WIDE, datasets=(grid,), attachments=sampling)


def several_lines() -> GridResult:
    """The mean of three, as a job of `repeats` gives it."""
    values = np.stack([[grid.loss for _ in range(3)] for grid in LINE.datasets])
    status = np.full(values.shape, CellStatus.OK, dtype=np.int8)
    names = {"loss": values, "stderr": 0 * values, "accuracy": 0 * values, "status": status}
    return replace(
        LINE,
        anchors=np.zeros((1, 2)),
        attachments={f"line.{name}": array for name, array in names.items()},
    )


PLANES: Final[dict[str, Callable[[], GridResult]]] = {
    "surface": lambda: WIDE,
    "two data sets": lambda: two("train", "test"),
    "holes": lambda: HOLES,
    "adaptive": adaptive,
    "trajectory": lambda: with_path(HOLES),
    "convexity map": convexity_map,
    "through three networks": through_three,
}
LINES: Final[dict[str, Callable[[], GridResult]]] = {
    "interpolation": lambda: LINE,
    "told apart": lambda: LINE_APART,
    "several lines": several_lines,
}


def opened(result: GridResult) -> h5py.File:
    return h5py.File(io.BytesIO(encode_hdf5(result, about())), "r")


def contours(file: h5py.File, key: str) -> list[Array]:
    """As `plot_2d_contour` draws: the array itself against the mesh of the coordinates."""
    x, y = np.array(file["xcoordinates"][:]), np.array(file["ycoordinates"][:])
    mesh_x, mesh_y = np.meshgrid(x, y)
    values = np.array(file[key][:])
    assert values.dtype == np.float64
    assert values.shape == mesh_x.shape
    axes = Figure().add_subplot()
    axes.contourf(mesh_x, mesh_y, np.ma.masked_invalid(values), levels=np.arange(0.1, 10, 0.5))
    return [mesh_x, mesh_y, values]


@pytest.mark.parametrize("kind", list(PLANES))
def test_a_plane_in_the_contour_plot(kind: str) -> None:
    result = PLANES[kind]()
    with opened(result) as file:
        mesh_x, mesh_y, values = contours(file, "train_loss")
        assert np.array(file["train_acc"][:]).shape == values.shape
    named = result.datasets[0].loss
    for (row, column), alpha in np.ndenumerate(mesh_x):
        ix = int(np.flatnonzero(result.x == alpha)[0])
        iy = int(np.flatnonzero(np.asarray(result.y) == mesh_y[row, column])[0])
        np.testing.assert_equal(values[row, column], named[iy, ix])


@pytest.mark.parametrize("kind", list(PLANES))
def test_a_plane_in_the_converter_to_vtk(kind: str) -> None:
    result = PLANES[kind]()
    with opened(result) as file:
        mesh = np.meshgrid(file["xcoordinates"][:], file["ycoordinates"][:][:])
        places = np.stack([mesh[0][:].ravel(), mesh[1][:].ravel()], axis=1)
        flat = file["train_loss"][:].ravel()
    assert len(flat) == len(places)
    for (alpha, beta), value in zip(places, flat, strict=True):
        ix = int(np.flatnonzero(result.x == alpha)[0])
        iy = int(np.flatnonzero(np.asarray(result.y) == beta)[0])
        np.testing.assert_equal(value, result.datasets[0].loss[iy, ix])


def test_a_convexity_map_in_the_plot_of_eigenvalue_ratios() -> None:
    with opened(convexity_map()) as file:
        mesh_x, mesh_y = np.meshgrid(file["xcoordinates"][:], file["ycoordinates"][:])
        smallest, largest = np.array(file["min_eig"][:]), np.array(file["max_eig"][:])
        losses = file["train_loss"][:]
    assert smallest.shape == largest.shape == losses.shape == (3, 5)
    assert smallest.dtype == largest.dtype == np.float64
    # what the script shows as a heat map, its first row at the bottom
    ratio = np.absolute(np.divide(smallest, largest))
    known = np.isfinite(ratio)
    assert np.argwhere(~known).tolist() == [[2, 4]]
    expected = np.abs(curved(mesh_x, mesh_y) / (10 + mesh_x))
    np.testing.assert_allclose(ratio[known], expected[known])


def test_the_spectrum_of_a_point_in_the_plot_of_ratios_along_a_line() -> None:
    result = point(**ENDS)
    with opened(result) as file:
        x = file["xcoordinates"][:]
        smallest, largest = np.array(file["min_eig"][:]), np.array(file["max_eig"][:])
        assert np.array(file["train_loss"][:]).shape == x.shape
    assert smallest.shape == largest.shape == x.shape
    assert largest[0] == result.attachments["curvature.largest"][0]
    assert smallest[0] == result.attachments["curvature.smallest"][0]


@pytest.mark.parametrize("kind", [*PLANES, *LINES])
def test_no_eigenvalues_where_there_is_no_curvature(kind: str) -> None:
    result = (PLANES | LINES)[kind]()
    with opened(result) as file:
        assert ("min_eig" in file) == ("max_eig" in file) == (kind == "convexity map")


@pytest.mark.parametrize("kind", list(LINES))
def test_a_line_in_the_plot_of_curves(kind: str) -> None:
    result = LINES[kind]()
    with opened(result) as file:
        x = file["xcoordinates"][:]
        assert "ycoordinates" not in file
        for side, grid in zip(("train", "test"), result.datasets, strict=True):
            loss, accuracy = file[f"{side}_loss"][:], file[f"{side}_acc"][:]
            assert loss.shape == accuracy.shape == x.shape
            np.testing.assert_array_equal(loss, grid.loss)
            assert grid.accuracy is not None
            # errors are drawn as 100 less the accuracy, on an axis from 0 to 100
            np.testing.assert_allclose(100 - accuracy, 100 * (1 - grid.accuracy))


def test_one_file_is_surface_path_and_directions_of_the_trajectory_plot() -> None:
    result = with_path(HOLES)
    with opened(result) as file:
        contours(file, "train_loss")
        across, along = file["proj_xcoord"][:], file["proj_ycoord"][:]
        shares = [file["explained_variance_ratio_"][k] for k in (0, 1)]
    assert "1st PC: %.2f %%" % (shares[0] * 100) == "1st PC: 80.00 %"
    (drawn,) = Figure().add_subplot().plot(across, along, marker=".")
    places = np.asarray(drawn.get_xydata())
    gap = np.flatnonzero(np.isnan(places[:, 0]))
    assert gap.tolist() == [3]
    np.testing.assert_array_equal(
        places[~np.isnan(places).any(axis=1)], result.attachments["trajectory.coordinates"]
    )


def test_a_line_of_one_network_and_one_of_two_have_the_same_axis() -> None:
    for result in (LINE, several_lines()):
        with opened(result) as file:
            np.testing.assert_array_equal(file["xcoordinates"], span(-0.5, 1.5, 9))
