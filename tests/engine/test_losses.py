"""Targets that fit are conformed; targets that do not are refused with what would be right."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.func import grad, vjp

from workers.engine.errors import InputInvalid, TargetsInvalid
from workers.engine.losses import Loss, LossName, conform_targets

LOGITS = torch.zeros(2, 4)
MAPS = torch.zeros(2, 4, 3, 3)


@pytest.mark.parametrize(
    ("loss", "targets", "outputs", "message"),
    [
        ("cross_entropy", torch.tensor([0, 4]), LOGITS, "between 0 and 4.*4 classes.*0 and 3"),
        ("cross_entropy", torch.tensor([-1, 3]), LOGITS, "between -1 and 3"),
        ("cross_entropy", torch.zeros(2, 4, dtype=torch.int64), LOGITS, r"\(4,\) per sample"),
        ("cross_entropy", torch.full((2,), -100), LOGITS, "every target is the ignored index"),
        ("cross_entropy", torch.zeros(2, dtype=torch.bool), LOGITS, "true or false"),
        ("cross_entropy", torch.zeros(2, 3), LOGITS, "probability targets have shape"),
        ("cross_entropy", torch.full((2, 4), 1.5), LOGITS, "between 0 and 1"),
        ("cross_entropy", torch.full((2, 4), math.nan), LOGITS, "not finite"),
        ("cross_entropy", torch.zeros(2, dtype=torch.int64), torch.zeros(2), "classes, …"),
        ("cross_entropy", torch.zeros(2, 3, dtype=torch.int64), MAPS, r"need \(3, 3\)"),
        ("nll", torch.zeros(2, 4), LOGITS, "integer class targets"),
        ("mse", torch.zeros(2, dtype=torch.int64), LOGITS, "one-hot encode"),
        ("mse", torch.zeros(2, 3), LOGITS, "like with like"),
        ("l1", torch.full((2, 4), math.inf), LOGITS, "not finite"),
        ("bce_with_logits", torch.full((2, 4), 2.0), LOGITS, "between 0 and 1"),
        ("mse", torch.zeros(2, 4), torch.zeros(2, 4, dtype=torch.int64), "not a floating type"),
        ("program", torch.zeros(2), torch.zeros(()), "one loss per sample"),
        ("mse", torch.zeros(()), LOGITS, "no dimension"),
    ],
)
def test_targets_that_do_not_fit(loss: str, targets: Tensor, outputs: Tensor, message: str) -> None:
    with pytest.raises(TargetsInvalid, match=message) as caught:
        conform_targets(Loss.named(loss), targets, outputs)
    assert caught.value.code == "targets_invalid"


def test_columns_of_one_are_taken_for_what_they_are() -> None:
    loss = Loss.named("mse")
    flat = conform_targets(loss, torch.arange(3.0), torch.zeros(2, 1))
    assert flat.shape == (3, 1)
    # Not broadcast to (3, 3), which torch's own loss would do with a warning.
    assert loss.per_sample(torch.zeros(3, 1), flat).tolist() == [0.0, 1.0, 4.0]
    classes = conform_targets(Loss.named("nll"), torch.tensor([[1], [2]]), LOGITS)
    assert classes.tolist() == [1, 2]


def test_mse_takes_any_number_of_outputs() -> None:
    """The reference's mean squared error was wired to ten classes."""
    loss = Loss.named("mse")
    for width in (1, 3, 10, 17):
        targets = conform_targets(loss, torch.ones(5, width), torch.zeros(2, width))
        assert loss.per_sample(torch.zeros(5, width), targets).tolist() == [1.0] * 5


def test_images_of_classes_average_over_their_counted_pixels() -> None:
    loss = Loss.named("cross_entropy")
    outputs = torch.randn(2, 4, 3, 3)
    targets = torch.randint(0, 4, (2, 3, 3))
    targets[0, 0] = -100
    got = loss.per_sample(outputs, conform_targets(loss, targets, outputs))
    values = torch.nn.functional.cross_entropy(outputs, targets, reduction="none")
    assert got[0].item() == pytest.approx(values[0, 1:].mean().item())
    assert got[1].item() == pytest.approx(values[1].mean().item())
    counted = loss.counted_positions(targets)
    assert counted is not None
    assert counted.tolist() == [6, 9]


def test_an_unknown_loss_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputInvalid, match="'cross_entropy', 'mse'"):
        Loss.named("crossentropy")


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("name", [name for name in LossName if name is not LossName.PROGRAM])
def test_derivatives_of_maps_in_either_memory_format(name: LossName, last: bool) -> None:
    """The first and the second, against central differences of the one before."""
    generator = torch.Generator().manual_seed(1)
    outputs = torch.randn(2, 4, 3, 3, generator=generator, dtype=torch.float64)
    vector = torch.randn(outputs.shape, generator=generator, dtype=torch.float64)
    if name in (LossName.CROSS_ENTROPY, LossName.NLL):
        targets = torch.arange(18).reshape(2, 3, 3) % 4
    else:
        targets = torch.rand(outputs.shape, generator=generator, dtype=torch.float64)
    if last:
        outputs = outputs.contiguous(memory_format=torch.channels_last)
    loss, step = Loss(name), 1e-5

    def total(outputs: Tensor) -> Tensor:
        return loss.per_sample(outputs, targets).square().sum()

    gradient, back = vjp(grad(total), outputs)
    ahead, behind = outputs + step * vector, outputs - step * vector
    slope = (total(ahead) - total(behind)) / (2 * step)
    assert torch.allclose((gradient * vector).sum(), slope, rtol=1e-7)
    product = (grad(total)(ahead) - grad(total)(behind)) / (2 * step)
    assert torch.allclose(back(vector)[0], product, rtol=1e-6, atol=1e-7)
