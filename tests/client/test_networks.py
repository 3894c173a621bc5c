"""Networks on lines and planes in the client: read from the service's JSON, and drawn apart."""

from __future__ import annotations

import math

import numpy as np
import pytest
from lossatlas.grids import Grid
from lossatlas.landscapes import Landscape
from matplotlib.figure import Figure

from service.domain.results import GridResult
from service.landscapes.grid import grid_json
from tests.client.finished import job_state, landscape
from tests.figures.cases import LINE, LINE_APART, through_three


def read(result: GridResult, kind: str) -> Landscape:
    planned = [{"role": "target", "checkpoint": "ckp_2", "label": "Adam"}]
    made = landscape({"test": np.zeros(3)}, kind=kind)
    body = grid_json(kind, result, provenance={"networks": planned}, derived={})
    made.__dict__["grid"] = Grid.from_json(body)
    return made


def test_a_line_has_its_ends_with_both_losses() -> None:
    origin, target = read(LINE_APART, "interpolation").networks
    assert (target.role, target.checkpoint, target.label, target.at) == (
        *("target", "ckp_2", "Adam"),
        (1.0,),
    )
    assert target.loss == {"train": 0.12, "test": 0.38}
    assert target.loss_there == pytest.approx({"train": 1.32, "test": 1.71})
    assert set(target.accuracy) == {"train", "test"}
    assert (origin.loss, origin.at) == (origin.loss_there, (0.0,))
    assert read(LINE, "interpolation").networks == ()


def test_what_is_told_apart_is_drawn_apart() -> None:
    axes = Figure().add_subplot()
    read(LINE_APART, "interpolation").plot(axes)
    marks = [line for line in axes.get_lines() if line.get_marker() == "D"]
    assert [tuple(line.get_xydata()[0]) for line in marks] == [(1.0, 0.12), (1.0, 0.38)]
    legend = axes.get_legend()
    assert legend is not None
    assert "target itself, test" in [text.get_text() for text in legend.get_texts()]
    plane = Figure().add_subplot()
    read(through_three(), "surface").plot(plane)
    marks = [line for line in plane.get_lines() if line.get_marker() == "D"]
    assert [tuple(line.get_xydata()[0]) for line in marks] == [(1.0, 0.0), (0.0, 1.0)]


def test_a_loss_that_is_none_is_nan() -> None:
    body = {
        "role": "target",
        "at": [1.0],
        "datasets": {"test": {"loss": None, "stderr": None, "status": "posinf"}},
        "on_line": {},
    }
    from lossatlas.networks import NetworkValues

    found = NetworkValues.from_json(body)
    assert math.isnan(found.loss["test"])
    assert found.accuracy == {}


def test_notes_of_a_job_are_read_and_optional() -> None:
    assert job_state(notes=["to know"]).notes == ("to know",)
    assert job_state().notes == ()
