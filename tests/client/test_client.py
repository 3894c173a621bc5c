"""The client against the whole live service: push, ask, wait, read."""

from __future__ import annotations

import json
import shutil
import webbrowser
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import lossatlas
import numpy as np
import pytest
import torch
from torch import nn

from tests.client import networks
from tests.support.live import Api

PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Pushed:
    """A convolutional network and its data, in the service and here."""

    network: nn.Module
    images: torch.Tensor
    classes: torch.Tensor
    model: lossatlas.Model
    checkpoint: lossatlas.Checkpoint
    other: lossatlas.Checkpoint
    data: lossatlas.Dataset


@pytest.fixture(scope="module")
def client(live_api: Api) -> Iterator[lossatlas.Client]:
    with lossatlas.Client(live_api.url, live_api.key, progress=False) as client:
        yield client


@pytest.fixture(scope="module")
def pushed(client: lossatlas.Client, tmp_path_factory: pytest.TempPathFactory) -> Pushed:
    network = networks.seeded(networks.ConvNet)
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(40, 1, 8, 8, generator=generator)
    classes = torch.randint(0, 3, (40,), generator=generator)
    path = tmp_path_factory.mktemp("push") / "conv.pt2"
    lossatlas.export_model(network, images[:1], path)
    model = client.push_model(path, project="client", name="conv", tags=["small"])
    checkpoint = client.push_checkpoint(
        model, network, label="final", step=3, epoch=1.5, metrics={"loss": 1}, learning_rate=0.1
    )
    moved = {
        name: value + 0.1 if value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }
    other = client.push_checkpoint(model.id, moved, label="moved")
    data = client.push_dataset(images, classes, project="client", name="noise", split="test")
    return Pushed(network, images, classes, model, checkpoint, other, data)


def test_what_was_pushed_is_what_is_there(client: lossatlas.Client, pushed: Pushed) -> None:
    assert client.model(pushed.model.id).tags == ("small",)
    assert client.checkpoint(pushed.checkpoint.id) == pushed.checkpoint
    assert pushed.checkpoint.metrics == {"loss": 1.0}
    assert client.dataset(pushed.data.id).samples == 40
    assert [c.label for c in client.checkpoints(pushed.model)] == ["final", "moved"]
    assert pushed.data.id in {d.id for d in client.datasets(project="client")}
    assert pushed.model.id in {m.id for m in client.models(project="client", name="conv")}


def test_a_surface_as_arrays_and_files(
    client: lossatlas.Client, pushed: Pushed, tmp_path: Path
) -> None:
    job = client.surface(pushed.checkpoint, [pushed.data], num=(5, 3), y_range=(-0.5, 0.5))
    landscape = job.wait(120, progress=False)
    assert job.state == "succeeded"
    assert landscape.x.tolist() == [-1, -0.5, 0, 0.5, 1]
    assert landscape.y is not None
    assert landscape.y.tolist() == [-0.5, 0, 0.5]
    assert landscape.loss.shape == landscape.stderr.shape == landscape.status.shape == (3, 5)
    assert landscape.accuracy is not None
    assert set(landscape.status.ravel()) == {"ok"}
    assert landscape.datasets == ("noise",)
    assert landscape.dataset("noise").samples == 40
    with torch.no_grad():
        logits = pushed.network.eval()(pushed.images)
        expected = nn.functional.cross_entropy(logits.double(), pushed.classes).item()
    assert landscape.loss[1, 2] == pytest.approx(expected, rel=1e-5)
    assert landscape.derived["center_loss"]["value"] == pytest.approx(expected, rel=1e-5)
    assert landscape.provenance
    assert landscape.save_figure(tmp_path / "a" / "s.png", view="heatmap").read_bytes()[:8] == PNG
    assert "<svg" in landscape.save_figure(tmp_path / "s.svg", metric="accuracy").read_text()
    assert landscape._repr_png_()[:8] == PNG
    values = json.loads(landscape.save_data(tmp_path / "s.json").read_text())
    assert np.array_equal(values["datasets"]["noise"]["loss"]["values"], landscape.loss)
    with np.load(landscape.save_data(tmp_path / "s.npz")) as arrays:
        assert np.array_equal(arrays["d0.loss"], landscape.loss)
    with h5py.File(landscape.save_data(tmp_path / "s.h5"), "r") as file:
        assert np.array_equal(file["datasets/noise/loss"], landscape.loss)
        assert np.array_equal(file["test_acc"][:], 100 * landscape.accuracy)
    assert b"StructuredGrid" in landscape.save(tmp_path / "s.vts").read_bytes()
    assert landscape.save(tmp_path / "s.html").read_text() == landscape.page()
    with pytest.raises(lossatlas.InputError, match=r"\.h5 \.vts"):
        landscape.save_data(tmp_path / "s.mat")
    with pytest.raises(lossatlas.InputError, match=r"\.png or an \.svg"):
        landscape.save_figure(tmp_path / "s.gif")
    with pytest.raises(lossatlas.ProblemError, match="does not fit a plane"):
        landscape.save_figure(tmp_path / "s.png", view="curve")
    assert not (tmp_path / "s.png").exists()


def test_an_adaptive_surface_says_which_cells_were_evaluated(
    client: lossatlas.Client, pushed: Pushed
) -> None:
    job = client.surface(
        pushed.checkpoint, pushed.data, num=25, sampling=lossatlas.Adaptive(tolerance=0.05)
    )
    landscape = job.wait(120, progress=False)
    assert landscape.sampling is not None
    assert landscape.sampling["tolerance"] == 0.05
    assert landscape.evaluated.shape == landscape.estimated_error.shape == (25, 25)
    assert landscape.evaluated.sum() == landscape.sampling["evaluations"]
    assert (landscape.estimated_error[landscape.evaluated] == 0).all()
    assert landscape.record.title is not None
    assert "adaptive surface" in landscape.record.title
    exact = client.surface(pushed.checkpoint, pushed.data, num=(5, 3)).wait(120, progress=False)
    assert exact.sampling is None
    assert exact.evaluated.all()
    assert (exact.estimated_error == 0).all()
    with pytest.raises(lossatlas.InputError, match="Adaptive"):
        client.surface(pushed.checkpoint, pushed.data, sampling="magic")


def test_showing_opens_the_page(
    client: lossatlas.Client, pushed: Pushed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    landscape = client.surface(pushed.checkpoint, pushed.data, num=3).wait(120, progress=False)
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    kept = landscape.show(tmp_path / "kept.html")
    assert opened == [kept.as_uri()]
    assert kept.read_text().startswith("<!doctype html>")
    elsewhere = landscape.show()
    assert elsewhere.name == f"{landscape.id}.html"
    assert elsewhere.read_bytes() == kept.read_bytes()
    shutil.rmtree(elsewhere.parent)
    assert '<img src="data:image/png;base64,' in landscape._repr_html_()


def test_the_same_question_has_one_answer(client: lossatlas.Client, pushed: Pushed) -> None:
    first = client.surface(pushed.checkpoint, pushed.data, num=3).wait(120, progress=False)
    again = client.surface(pushed.checkpoint.id, pushed.data.id, num=3)
    assert again.info.finished
    assert again.result().id == first.id == client.landscape(again.id).id
    forced = client.surface(pushed.checkpoint, pushed.data, num=3, force=True)
    assert forced.id != again.id
    assert np.array_equal(forced.wait(120, progress=False).loss, first.loss)


def test_a_line_and_its_job(client: lossatlas.Client, pushed: Pushed) -> None:
    job = client.interpolate(
        pushed.checkpoint, pushed.other, pushed.data, num=5, range=(0, 1), tags=["line"]
    )
    landscape = job.wait(120, progress=False)
    assert landscape.y is None
    assert landscape.loss.shape == (5,)
    assert "barrier" in landscape.derived
    partial = job.partial()
    assert partial is not None
    assert np.array_equal(partial.dataset().loss, landscape.loss)
    assert job.id in {j.id for j in client.jobs(project="client", kind="interpolation")}
    assert landscape.id in {found.id for found in client.landscapes(tag="line")}
    with pytest.raises(lossatlas.ConflictError):
        job.cancel()


def test_directions_of_one_s_own(client: lossatlas.Client, pushed: Pushed) -> None:
    along = {n: torch.ones_like(p) for n, p in pushed.network.named_parameters()}
    saved = client.push_direction(pushed.checkpoint, along)
    job = client.surface(pushed.checkpoint, pushed.data, num=3, x=saved, y=pushed.other)
    landscape = job.wait(120, progress=False)
    assert job.info.directions["x"] == saved.id
    moved = {n: p + 1.0 for n, p in pushed.network.named_parameters()}
    with torch.no_grad():
        logits = torch.func.functional_call(pushed.network.eval(), moved, pushed.images)
    expected = nn.functional.cross_entropy(logits.double(), pushed.classes).item()
    assert landscape.loss[1, 2] == pytest.approx(expected, rel=1e-5)


def test_tied_weights_go_through(client: lossatlas.Client, tmp_path: Path) -> None:
    network = networks.seeded(networks.Tied)
    tokens = torch.randint(0, 11, (20, 5), generator=torch.Generator().manual_seed(1))
    path = lossatlas.export_model(network, tokens[:2], tmp_path / "tied.pt2")
    model = client.push_model(path, project="client", name="tied")
    checkpoint = client.push_checkpoint(model, network)
    data = client.push_dataset(tokens, tokens[:, 0], project="client", name="tokens")
    landscape = client.surface(checkpoint, data, num=3).wait(120, progress=False)
    with torch.no_grad():
        expected = nn.functional.cross_entropy(network(tokens).double(), tokens[:, 0]).item()
    assert landscape.loss[1, 1] == pytest.approx(expected, rel=1e-5)


def test_uploads_skip_what_is_there(client: lossatlas.Client, pushed: Pushed) -> None:
    calls: list[str] = []
    client.transport._http.event_hooks["request"].append(lambda r: calls.append(r.method))
    try:
        client.push_dataset(pushed.images, pushed.classes, project="client", name="again")
    finally:
        client.transport._http.event_hooks["request"].clear()
    assert calls == ["HEAD", "POST"]


def test_misfits_are_typed_and_named(client: lossatlas.Client, pushed: Pushed) -> None:
    with pytest.raises(lossatlas.WeightsInvalidError) as caught:
        client.push_checkpoint(pushed.model, {"head.weight": torch.zeros(2, 2)})
    assert caught.value.errors
    assert {error.pointer for error in caught.value.errors} == {"/weights"}
    with pytest.raises(lossatlas.NotFoundError):
        client.model("mdl_" + "0" * 26)
    with pytest.raises(lossatlas.InvalidRequestError) as caught_grid:
        client.surface(pushed.checkpoint, pushed.data, range=(1, -1))
    assert caught_grid.value.errors[0].pointer.startswith("/grid")
    with pytest.raises(lossatlas.DatasetInvalidError):
        client.push_dataset([[np.nan]], [0], project="client", name="bad")


def test_a_wrong_key_is_told(live_api: Api) -> None:
    client = lossatlas.Client(live_api.url, "not-a-key")
    with client, pytest.raises(lossatlas.AuthenticationError):
        next(client.jobs(), None)
