"""The VTK file as VTK itself reads it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkIOXML import vtkXMLStructuredGridReader

from service.domain.results import GridResult
from service.exports import encode_vts
from tests.exports.cases import HOLES, LINE, NASTY, WIDE, about, two
from tests.figures.cases import chaos, plane_of, span


def read(tmp_path: Path, result: GridResult, **options: Any) -> Any:
    """A vtkStructuredGrid; fails on anything that VTK complains of."""
    path = tmp_path / "landscape.vts"
    path.write_bytes(encode_vts(result, about(), **options))
    reader = vtkXMLStructuredGridReader()
    complaints: list[str] = []
    reader.AddObserver("ErrorEvent", lambda *_: complaints.append("error"))
    reader.AddObserver("WarningEvent", lambda *_: complaints.append("warning"))
    assert reader.CanReadFile(str(path))
    reader.SetFileName(str(path))
    reader.Update()
    assert not complaints
    assert reader.GetErrorCode() == 0
    return reader.GetOutput()


def dimensions(grid: Any) -> list[int]:
    found = [0, 0, 0]
    grid.GetDimensions(found)
    return found


def points(grid: Any) -> Any:
    return vtk_to_numpy(grid.GetPoints().GetData())


def values(grid: Any, name: str) -> Any:
    array = grid.GetPointData().GetArray(name)
    assert array is not None, name
    return vtk_to_numpy(array)


def test_points_are_the_surface(tmp_path: Path) -> None:
    grid = read(tmp_path, WIDE)
    assert dimensions(grid) == [5, 3, 1]
    x, y, z = points(grid).T
    np.testing.assert_array_equal(x, np.tile(WIDE.x, 3))
    assert WIDE.y is not None
    np.testing.assert_array_equal(y, np.repeat(WIDE.y, 5))
    np.testing.assert_array_equal(z, WIDE.datasets[0].loss.ravel())
    np.testing.assert_allclose(z, 0.1 + 3 * x**2 + y + 1.5)
    np.testing.assert_array_equal(values(grid, "loss"), z)
    np.testing.assert_allclose(values(grid, "log10_loss"), np.log10(z))
    accuracy = WIDE.datasets[0].accuracy
    assert accuracy is not None
    np.testing.assert_array_equal(values(grid, "accuracy"), accuracy.ravel())
    assert set(values(grid, "status")) == {0}
    assert grid.GetPointData().GetScalars().GetName() == "loss"
    assert grid.GetNumberOfCells() == 8
    assert all(grid.IsCellVisible(cell) for cell in range(8))


def test_cells_without_a_value_are_hidden(tmp_path: Path) -> None:
    grid = read(tmp_path, HOLES)
    seen = [grid.IsPointVisible(k) for k in range(grid.GetNumberOfPoints())]
    np.testing.assert_array_equal(np.flatnonzero(np.logical_not(seen)), [0, 41])
    hidden = [k for k in range(grid.GetNumberOfCells()) if not grid.IsCellVisible(k)]
    assert hidden == [0, 29]
    loss = HOLES.datasets[0].loss
    finite = loss[np.isfinite(loss)]
    assert points(grid)[:, 2].max() == finite.max()
    assert np.isnan(values(grid, "loss")[[0, 41]]).all()
    assert values(grid, "status")[41] == 2


def test_heights_over_many_decades_are_logarithms_unless_asked(tmp_path: Path) -> None:
    wide = plane_of(chaos, span(-1, 1, 9), span(-1, 1, 8))
    loss = wide.datasets[0].loss.ravel()
    np.testing.assert_allclose(points(read(tmp_path, wide))[:, 2], np.log10(loss))
    np.testing.assert_array_equal(points(read(tmp_path, wide, log=False))[:, 2], loss)
    saddle = plane_of(lambda a, b: a**2 - b**2, span(-1, 1, 5), span(-1, 1, 4))
    np.testing.assert_array_equal(
        points(read(tmp_path, saddle))[:, 2], saddle.datasets[0].loss.ravel()
    )
    logs = read(tmp_path, saddle, log=True)
    visible = [logs.IsPointVisible(k) for k in range(logs.GetNumberOfPoints())]
    np.testing.assert_array_equal(visible, saddle.datasets[0].loss.ravel() > 0)


def test_every_data_set_is_there_under_any_name(tmp_path: Path) -> None:
    both = two("train", NASTY)
    grid = read(tmp_path, both)
    np.testing.assert_allclose(values(grid, f"loss ({NASTY})"), WIDE.datasets[0].loss.ravel() + 10)
    higher = read(tmp_path, both, dataset=NASTY)
    np.testing.assert_allclose(points(higher)[:, 2], WIDE.datasets[0].loss.ravel() + 10)
    with pytest.raises(KeyError, match="no data set"):
        encode_vts(both, about(), dataset="third")


def test_a_line_is_a_row(tmp_path: Path) -> None:
    grid = read(tmp_path, LINE)
    assert dimensions(grid) == [9, 1, 1]
    np.testing.assert_array_equal(points(grid)[:, 1], 0)
    np.testing.assert_array_equal(points(grid)[:, 2], LINE.x**2 + 1)


def test_words_beside_the_values(tmp_path: Path) -> None:
    field = read(tmp_path, WIDE).GetFieldData()
    said = {
        field.GetAbstractArray(k).GetName(): field.GetAbstractArray(k).GetValue(0)
        for k in range(field.GetNumberOfArrays())
    }
    assert said["landscape"] == "lsc_0"
    assert said["height"] == "loss"
    assert said["title"] == "digits: surface"


def test_without_any_value_nothing_is_visible(tmp_path: Path) -> None:
    empty = plane_of(lambda a, b: a * np.nan, span(-1, 1, 3), span(-1, 1, 3))
    grid = read(tmp_path, replace(empty))
    assert not any(grid.IsCellVisible(k) for k in range(grid.GetNumberOfCells()))
