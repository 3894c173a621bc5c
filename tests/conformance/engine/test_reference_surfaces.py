"""Our surfaces and lines along the reference's directions are the reference's.

Tolerances are those that its README states: 1e-5 relative on a float32 loss, one sample on the
accuracy (a tie may flip).
"""

from __future__ import annotations

import pytest
import torch

from tests.conformance.engine import reference as ref
from workers.engine.directions import random_direction
from workers.engine.evaluation import Setting
from workers.engine.normalisation import Rule, normalise
from workers.engine.precision import Precision
from workers.engine.surface import CellResult, plane_evaluator, segment_evaluator

SURFACES = [
    ("digits_convnet", "filter"),
    ("digits_convnet", "filter_all"),
    ("digits_convnet", "none"),
    ("digits_convnet", "layer"),
    ("digits_convnet", "weight"),
    ("digits_mlp", "filter"),
]
#: Per tag: our words for the rule that the reference used.
RULES = {
    "filter": Rule.from_words("filter"),
    "filter_all": Rule.from_words("filter", (), "li2018"),
    "none": Rule.from_words("none", (), "li2018"),
    "layer": Rule.from_words("layer"),
    "weight": Rule.from_words("weight"),
}


def agree(result: CellResult, loss: float, accuracy: float, rel: float, tied: bool = False) -> None:
    (got,) = result.datasets
    assert got.status == "ok"
    assert got.loss == pytest.approx(loss, rel=rel)
    if not tied:
        assert got.accuracy == pytest.approx(accuracy, abs=1.001 / got.samples)


def is_tied(tag: str, a: float, b: float) -> bool:
    """Where copies of θ cancel it (α + β = −1) the outputs of every sample are equal.

    In float32 the cancellation is exact, as in the reference; in float64 what is left of it is
    rounding noise of 1e-17, whose largest component no one can foretell.
    """
    return tag in ("filter_all", "none") and abs(a + b + 1) < 1e-9


@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.FLOAT64])
@pytest.mark.parametrize("batch_size", [64, 10_000])
@pytest.mark.parametrize(("folder", "tag"), SURFACES)
def test_surface(folder: str, tag: str, batch_size: int, precision: Precision) -> None:
    net = ref.network(folder)
    want = ref.expected(folder)[f"surface_{tag}"]
    x, y = ref.directions(folder, net, tag)
    evaluator = plane_evaluator(
        Setting(net, ref.CROSS_ENTROPY, batch_size, precision),
        ref.checkpoint(folder, net),
        x,
        y,
        [ref.dataset(folder, net)],
    )
    cells = [(a, b) for b in want["y"] for a in want["x"]]
    results = iter(evaluator.evaluate(cells))
    for b, losses, accuracies in zip(want["y"], want["loss"], want["accuracy"], strict=True):
        for a, loss, accuracy in zip(want["x"], losses, accuracies, strict=True):
            noise = precision is Precision.FLOAT64 and is_tied(tag, a, b)
            agree(next(results), loss, accuracy, 1e-5, tied=noise)


@pytest.mark.parametrize("folder", ref.FOLDERS)
def test_interpolation(folder: str) -> None:
    net = ref.network(folder)
    want = ref.expected(folder)["interpolation"]
    origin, target = (
        ref.checkpoint(folder, net, int(want[end].removeprefix("checkpoint_")))
        for end in ("from", "to")
    )
    evaluator = segment_evaluator(
        Setting(net, ref.CROSS_ENTROPY, 256), origin, target, [ref.dataset(folder, net)]
    )
    results = evaluator.evaluate([(a, None) for a in want["alpha"]])
    for result, loss, accuracy in zip(results, want["loss"], want["accuracy"], strict=True):
        agree(result, loss, accuracy, 1e-5)


@pytest.mark.parametrize("folder", ref.FOLDERS)
def test_final_loss_and_accuracy(folder: str) -> None:
    net = ref.network(folder)
    final = ref.checkpoint(folder, net)
    evaluator = segment_evaluator(
        Setting(net, ref.CROSS_ENTROPY, 256), final, final, [ref.dataset(folder, net)]
    )
    want = ref.expected(folder)["final"]
    agree(evaluator.evaluate([(0.0, None)])[0], want["loss"], want["accuracy"], 1e-5)


@pytest.mark.parametrize(("folder", "tag"), SURFACES)
def test_the_references_directions_obey_our_rules(folder: str, tag: str) -> None:
    """Scaling is idempotent where a rule fixes norms, so a given direction must be its own image.

    `weight` fixes no norm and `none` leaves everything alone: there only the one-dimensional
    tensors can be compared.
    """
    net = ref.network(folder)
    theta = ref.checkpoint(folder, net)
    rule = RULES[tag]
    for given in ref.directions(folder, net, tag):
        ours = normalise(given, theta, net, rule)
        for name, tensor in given.parameters.items():
            if tag == "weight" and tensor.dim() > 1:
                continue
            assert torch.allclose(ours.parameters[name].float(), tensor, rtol=1e-5, atol=1e-9), name


@pytest.mark.parametrize("tag", ["filter", "layer", "filter_all"])
def test_our_own_random_directions_have_the_references_norms(tag: str) -> None:
    folder = "digits_convnet"
    net = ref.network(folder)
    theta = ref.checkpoint(folder, net)
    ours = normalise(random_direction(net, 5, "x"), theta, net, RULES[tag])
    for given in ref.directions(folder, net, tag):
        for name, tensor in given.parameters.items():
            per_filter = tensor.dim() > 1 and tag != "layer"
            a, b = (
                t.double().reshape(len(t) if per_filter else 1, -1).norm(dim=1)
                for t in (ours.parameters[name], tensor)
            )
            assert torch.allclose(a, b, rtol=1e-5), name


def test_li2018_copies_are_the_references() -> None:
    folder = "digits_convnet"
    net = ref.network(folder)
    theta = ref.checkpoint(folder, net)
    for tag in ("filter_all", "none"):
        given, _ = ref.directions(folder, net, tag)
        ours = normalise(random_direction(net, 5, "x"), theta, net, RULES[tag])
        for name in ("conv1.bias", "bn1.weight", "bn2.bias", "fc.bias"):
            assert torch.equal(ours.parameters[name].float(), given.parameters[name])
