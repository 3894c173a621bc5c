"""How results look: plots that are honest about missing cells, tables, frames, xarray."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lossatlas
import matplotlib as mpl
import numpy as np
import pytest
from lossatlas import display
from lossatlas.jobs import Job
from lossatlas.values import Model
from matplotlib import pyplot
from matplotlib.colors import LogNorm
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from tests.client.answering import Reply, answering
from tests.client.finished import NOW, job_state, landscape


@pytest.fixture(autouse=True)
def canvas() -> Iterator[None]:
    mpl.use("Agg")
    yield
    pyplot.close("all")


def bowl(ny: int = 9, nx: int = 11) -> NDArray[np.float64]:
    x, y = np.meshgrid(np.linspace(-1, 1, nx), np.linspace(-1, 1, ny))
    return np.asarray(0.5 + x**2 + 2 * y**2)


def holes(ax: Any) -> int:
    return sum(isinstance(patch, Rectangle) and bool(patch.get_hatch()) for patch in ax.patches)


@pytest.mark.parametrize("view", ["contour", "filled", "heatmap"])
def test_cells_without_a_value_are_hatched_and_out_of_the_scale(view: str) -> None:
    values = bowl()
    values[1, 2], values[4, 7] = np.nan, np.inf
    values[0, 0] = 1e30
    made = landscape({"test": values})
    ax = made.plot(view=view, vmax=4.0)
    assert holes(ax) == 2
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("α", "β", "a title")
    bar = ax.figure.axes[1]
    assert bar.get_ylabel() == "loss"
    assert bar.get_ylim() == pytest.approx((0.5, 4.0))
    alone = made.plot(view=view, colorbar=False)
    assert len(alone.figure.axes) == 1


def test_a_factor_of_fifty_makes_a_logarithmic_scale() -> None:
    _, (one, two, three) = pyplot.subplots(1, 3)
    mesh = landscape({"t": bowl() ** 6}).plot(one, view="heatmap").collections[0]
    assert isinstance(mesh.norm, LogNorm)
    mesh = landscape({"t": bowl() ** 6}).plot(two, view="heatmap", log=False).collections[0]
    assert not isinstance(mesh.norm, LogNorm)
    with pytest.raises(lossatlas.InputError, match="positive"):
        landscape({"t": bowl() - 1}).plot(three, log=True)


def test_a_surface_has_no_facet_over_a_hole() -> None:
    values = bowl()
    whole = landscape({"t": values}).plot(view="surface")
    values = values.copy()
    values[4, 5] = np.nan
    holed = landscape({"t": values}).plot(view="surface")
    facets = [int((~ax.collections[0]._invalid_vertices).all(1).sum()) for ax in (whole, holed)]
    # four facets meet in a point
    assert facets == [8 * 10, 8 * 10 - 4]
    with pytest.raises(lossatlas.InputError, match="3-D axes"):
        landscape({"t": values}).plot(pyplot.subplots()[1], view="surface")


def test_a_line_breaks_where_a_value_is_missing() -> None:
    line = np.linspace(1, 2, 7)
    line[3] = np.nan
    ax = landscape({"train": line, "test": line * 2}, kind="line").plot()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["train", "test"]
    drawn = np.asarray(ax.lines[0].get_ydata(), dtype=float)
    assert np.isnan(drawn[3])
    assert np.isfinite(np.delete(drawn, 3)).all()
    assert sum(bool(patch.get_hatch()) for patch in ax.patches) == 1


def test_what_cannot_be_drawn_is_said() -> None:
    plane, line = landscape({"t": bowl()}), landscape({"t": np.ones(3)}, kind="line")
    for made, options, words in (
        (plane, {"view": "curve"}, "not as a curve"),
        (line, {"view": "contour"}, "drawn as a curve"),
        (line, {"view": "spectrum"}, "no spectrum"),
        (plane, {"view": "pie"}, "no view 'pie'"),
        (plane, {"metric": "accuracy"}, "it has loss, stderr"),
    ):
        with pytest.raises(lossatlas.InputError, match=words):
            made.plot(**options)  # type: ignore[arg-type]
    nothing = landscape({"t": np.full((3, 4), np.nan)}).plot()
    assert "no cell has a finite value" in nothing.get_title()
    assert holes(nothing) == 12
    flat = landscape({"t": np.ones((3, 4))}).plot()
    assert len(flat.collections) == 1


def test_xarray_keeps_axes_names_and_statuses() -> None:
    values = bowl()
    values[1, 2], values[0, 0] = np.nan, np.inf
    made = landscape({"train": bowl(), "test": values}).to_xarray()
    assert made["loss"].dims == ("dataset", "y", "x")
    assert float(made["loss"].sel(dataset="train").sel(x=0, y=0, method="nearest")) == 0.5
    holed = made["loss"].sel(dataset="test")
    assert np.isnan(holed[1, 2])
    assert np.isposinf(holed[0, 0])
    assert made["status"].sel(dataset="test")[1, 2] == "nan"
    assert made.attrs["landscape"] == "lsc_1"
    line = landscape({"t": np.ones(3)}, kind="line").to_xarray()
    assert line["loss"].dims == ("dataset", "x")


def test_one_picture_for_all_forms_and_none_in_an_outage() -> None:
    made = landscape({"t": bowl()})
    with (
        answering(Reply(200, "picture")) as server,
        lossatlas.Client(server.url, "k", retry_seconds=0) as client,
    ):
        made._transport = client.transport
        assert made._repr_png_() == b'"picture"'
        assert "data:image/png;base64," in made._repr_html_()
        assert len(server.seen) == 1
        away = landscape({"t": bowl()})
        away._transport = client.transport
        server.replies[0] = Reply(503)
        assert away._repr_png_() is None
        assert "lsc_1" in away._repr_html_()


class Cell:
    """Keeps what a notebook's cell would show."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def update(self, bundle: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.shown.append(bundle["text/html"])


def test_a_wait_in_a_notebook_shows_the_picture_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = Cell()
    for module in ("jobs", "progress"):
        monkeypatch.setattr(f"lossatlas.{module}.in_notebook", lambda: True)
    monkeypatch.setattr(display, "shown", lambda text: cell)
    running = job_state().model_dump(mode="json")
    failed = job_state(state="failed", error={"code": "poison"}).model_dump(mode="json")
    replies = (Reply(200, running), Reply(200, "picture"), Reply(200, failed))
    with (
        answering(*replies) as server,
        lossatlas.Client(server.url, "k") as client,
        pytest.raises(lossatlas.JobFailed),
    ):
        Job(client.transport, job_state()).wait(10)
    assert [seen.path.split("?")[0] for seen in server.seen] == [
        "/v1/jobs/job_1", "/v1/jobs/job_1/partial.png", "/v1/jobs/job_1",
    ]  # fmt: skip
    assert "3/9 cells" in cell.shown[0]
    assert "data:image/png;base64," in cell.shown[0]
    # nothing is left of it
    assert cell.shown[-1] == ""


HOSTILE = "<script>alert('x')</script>"


def test_tables_escape_what_others_wrote(tmp_path: Path) -> None:
    model = Model(
        id="mdl_1", project="p", name=HOSTILE, loss="cross_entropy", state="ready", created_at=NOW
    )
    job = Job(None, job_state(state="failed", error={"detail": HOSTILE}))
    with answering(Reply(200, {"items": [model.model_dump(mode="json")] * 30})) as server:
        client = lossatlas.Client(server.url, "k")
        listed = client.models()
        table = listed._repr_html_()
        assert table.count("<tr>") == 21
        assert "and more" in table
        assert len(list(listed)) == 30
        assert len(server.seen) == 1
        client.close()
    named = landscape({"t": bowl()}, title=HOSTILE)
    for text in (model._repr_html_(), job._repr_html_(), table, named._card()):
        assert "<script>" not in text
        assert "&lt;script&gt;" in text


def test_a_page_in_a_cell_cannot_reach_the_notebook() -> None:
    framed = display.framed('<p title="a">&amp;</p><script>parent.alert(1)</script>', 300)
    assert "<script>" not in framed
    assert 'srcdoc="&lt;p title=&quot;a&quot;&gt;&amp;amp;' in framed
    assert 'sandbox="allow-scripts allow-downloads"' in framed
    assert "allow-same-origin" not in framed


def test_importing_is_light() -> None:
    code = (
        "import sys, lossatlas\n"
        "heavy = {'torch', 'matplotlib', 'pandas', 'xarray', 'scipy', 'IPython', 'lightning',\n"
        "         'transformers', 'mlflow', 'sklearn', 'trio'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert ran.stdout.strip() == "[]"
