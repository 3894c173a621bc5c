"""What a mean is over, through the whole service: a small model of tokens, against eager float64.

Some positions of the data have no target, and some samples none at all. The same network, weights
and data are registered twice: with every sample alike, and with every position alike.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import h5py
import lossatlas
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd.functional import hessian
from torch.func import functional_call
from torch.nn import functional

from tests.support.live import Api

IGNORED = -100
COUNTS = {"samples": 18, "positions": 63, "ignored": {"samples": 3, "positions": 42}}


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(9, 3), nn.Linear(3, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.head(torch.tanh(self.embedding(tokens))).transpose(1, 2)
        return out


@dataclass(frozen=True)
class Trained:
    """The network, its data, and what was made of them by reduction."""

    module: Tokens
    tokens: Tensor
    targets: Tensor
    landscapes: dict[str, lossatlas.Landscape]
    spectra: dict[str, lossatlas.Landscape]

    def values(self) -> Tensor:
        """Every position's loss in float64, 0 where there is no target; shape (21, 5)."""
        outputs = self.module.double()(self.tokens)
        return functional.cross_entropy(outputs, self.targets, reduction="none")

    def mean(self, reduction: str, outputs: Tensor | None = None) -> Tensor:
        outputs = self.module.double()(self.tokens) if outputs is None else outputs
        if reduction == "position":
            return functional.cross_entropy(outputs, self.targets)
        values = functional.cross_entropy(outputs, self.targets, reduction="none")
        many = (self.targets != IGNORED).sum(1)
        return (values.sum(1)[many > 0] / many[many > 0]).mean()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tokens")


@pytest.fixture(scope="module")
def client(live_api: Api) -> lossatlas.Client:
    return lossatlas.Client(live_api.url, live_api.key, progress=False)


@pytest.fixture(scope="module")
def trained(client: lossatlas.Client, folder: Path) -> Trained:
    torch.manual_seed(8)
    module, tokens = Tokens(), torch.randint(0, 9, (21, 5))
    targets = torch.randint(0, 4, (21, 5))
    targets[::2, 2:] = IGNORED
    targets[[0, 7, 20]] = IGNORED
    program = lossatlas.export_model(module, tokens, folder / "tokens.pt2")
    data = client.push_dataset(tokens, targets, project="reduction", name="tokens")
    landscapes, spectra = {}, {}
    for reduction in ("sample", "position"):
        model = client.push_model(
            program, project="reduction", name=f"by {reduction}", reduction=reduction
        )
        assert model.loss_options.reduction == reduction
        weights = client.push_checkpoint(model, module, label="only")
        line = client.line(
            weights, [data], direction={"kind": "gradient"}, num=3, precision="float64"
        )
        bent = client.curvature(weights, [data], precision="float64")
        landscapes[reduction], spectra[reduction] = line.wait(), bent.wait()
    return Trained(module, tokens, targets, landscapes, spectra)


@pytest.mark.parametrize("reduction", ["sample", "position"])
def test_the_loss_is_the_mean_that_was_asked_for(trained: Trained, reduction: str) -> None:
    grid = trained.landscapes[reduction].grid
    found, middle = grid.dataset(), 1
    assert grid.x[middle] == 0.0
    assert found.loss[middle] == pytest.approx(trained.mean(reduction).item(), rel=1e-12)
    assert found.accuracy is not None
    hits = (trained.module.double()(trained.tokens).argmax(1) == trained.targets).double()
    many = (trained.targets != IGNORED).sum(1)
    kept = many > 0
    share = hits.sum() / many.sum() if reduction == "position" else None
    wanted = (hits.sum(1)[kept] / many[kept]).mean() if share is None else share
    assert found.accuracy[middle] == pytest.approx(wanted.item(), rel=1e-6)


def test_the_two_means_differ(trained: Trained) -> None:
    one, other = (trained.mean(reduction).item() for reduction in ("sample", "position"))
    assert abs(one - other) > 1e-4


def test_the_error_is_clustered_by_sample(trained: Trained) -> None:
    """Cochran 1977, §2.11."""
    n = (trained.targets != IGNORED).sum(1).numpy()
    s = trained.values().sum(1).detach().numpy()[n > 0]
    n = n[n > 0]
    m, ratio = len(n), s.sum() / n.sum()
    wanted = np.sqrt(((s - ratio * n) ** 2).sum() / (m * (m - 1))) / n.mean()
    found = trained.landscapes["position"].grid.dataset()
    assert found.stderr[1] == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize("reduction", ["sample", "position"])
def test_curvature_is_that_of_the_same_mean(trained: Trained, reduction: str) -> None:
    shapes = {n: p.shape for n, p in trained.module.named_parameters()}

    def loss(vector: Tensor) -> Tensor:
        parts = vector.split([shape.numel() for shape in shapes.values()])
        moved = {n: p.reshape(shapes[n]) for n, p in zip(shapes, parts, strict=True)}
        return trained.mean(reduction, functional_call(trained.module, moved, (trained.tokens,)))

    flat = torch.cat([p.detach().double().reshape(-1) for p in trained.module.parameters()])
    exact = torch.linalg.eigvalsh(hessian(loss, flat))
    found = trained.spectra[reduction].curvature
    assert found is not None
    assert found.samples == COUNTS["samples"]
    assert found.lambda_max == pytest.approx(float(exact[-1]), rel=1e-6)
    (slope,) = torch.autograd.grad(loss(flat.requires_grad_()), flat)
    assert found.gradient_norm == pytest.approx(float(slope.norm()), rel=1e-10)


@pytest.mark.parametrize("reduction", ["sample", "position"])
def test_every_form_of_a_result_says_what_was_averaged(
    live_api: Api, trained: Trained, reduction: str
) -> None:
    landscape = trained.landscapes[reduction]
    here = f"/v1/landscapes/{landscape.id}"
    found = live_api.get(f"{here}/data.json").json()["datasets"]["tokens"]
    stated = {"reduction": reduction, **COUNTS}
    assert {key: found[key] for key in stated} == stated
    provenance = live_api.get(here).json()["provenance"]
    assert provenance["samples"] == {"tokens": 18}
    # Kish's: (Σ n)² / Σ n² of nine samples of 2 positions and nine of 5
    effective = 18.0 if reduction == "sample" else 63**2 / (9 * 2**2 + 9 * 5**2)
    assert found["effective_samples"] == pytest.approx(effective, rel=1e-12)
    for key, value in provenance["counted"]["tokens"].items():
        assert found[key] == value
    options = {"reduction": "position"} if reduction == "position" else {}
    assert provenance["inputs"]["loss_options"] == options
    with np.load(io.BytesIO(live_api.get(f"{here}/data.npz").content), allow_pickle=False) as npz:
        assert str(npz["d0.reduction"]) == reduction
        names = ("samples", "positions", "ignored_samples", "ignored_positions")
        assert [int(npz[f"d0.{name}"]) for name in names] == [18, 63, 3, 42]
    with h5py.File(io.BytesIO(live_api.get(f"{here}/data.h5").content)) as file:
        attributes = file["datasets/tokens"].attrs
        assert (attributes["reduction"], attributes["positions"]) == (reduction, 63)
    counted = landscape.grid.dataset().counted
    assert counted == lossatlas.Counted(reduction, 63, 3, 42, found["effective_samples"])
    words = {
        "sample": "18\u00a0samples, each the mean of its positions (63 in all); 3 without a target",
        "position": "63\u00a0positions of 18\u00a0samples, each position alike; 3 without a target",
    }[reduction]
    assert words in live_api.get(f"{here}/view").text
    page = live_api.http.get(f"/landscapes/{landscape.id}", headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert words in page.text
    figure = live_api.get(f"{here}/figure.svg").text
    assert ("each position alike" in figure) == (reduction == "position")
    spectrum = live_api.get(f"/v1/landscapes/{trained.spectra[reduction].id}/data.json").json()
    assert {key: spectrum["curvature"][key] for key in stated} == stated


def test_gates_hold_the_two_apart(live_api: Api, trained: Trained) -> None:
    one, other = (trained.landscapes[reduction].id for reduction in ("position", "sample"))
    answer = live_api.post(
        "/v1/checks", {"landscape": one, "rules": ["center_loss <= baseline"], "baseline": other}
    )
    assert answer.json()["code"] == "not_comparable", answer.text
    fields = [difference["field"] for difference in answer.json()["differences"]]
    assert fields == ["loss_options.reduction"]


def test_a_program_of_one_loss_a_sample_has_no_positions(
    client: lossatlas.Client, live_api: Api, folder: Path
) -> None:
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).square().mean(1)

    program = lossatlas.export_model(
        nn.Linear(3, 2),
        torch.zeros(2, 3),
        folder / "linear.pt2",
        loss=loss,
        example_targets=torch.zeros(2, 2),
    )
    model = client.push_model(
        program, project="reduction", name="squares", loss="program", reduction="position"
    )
    ingests = live_api.get("/v1/jobs", model=model.id, kind="ingest").json()["items"]
    live_api.finish(ingests[0]["id"])
    refused = client.model(model.id)
    assert (refused.state, (refused.problem or {}).get("code")) == ("refused", "program_refused")
    assert refused.problem is not None
    assert refused.problem["reason"]["code"] == "reduction_undefined"
    assert "before the mean" in refused.problem["detail"]


def test_data_without_any_target_are_refused_when_they_are_named(
    client: lossatlas.Client, trained: Trained
) -> None:
    nothing = client.push_dataset(
        trained.tokens, torch.full((21, 5), IGNORED), project="reduction", name="nothing"
    )
    origin = trained.landscapes["sample"].record.origin
    assert origin is not None
    with pytest.raises(lossatlas.ProblemError, match="nothing to average") as caught:
        client.line(origin, [nothing], num=3)
    assert caught.value.code == "targets_invalid"
