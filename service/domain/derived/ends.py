"""The networks of a line or plane: each one's own loss, and what the line gives at its place.

A network is its weights with its own running statistics. The points of a line or plane may have
others (`buffers`), so that its end and the network there are two numbers. Owns both and their
names.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np

from service.domain.cells import CellStatus
from service.domain.derived.measure import Measure, undefined
from service.domain.derived.rule import Reads, Rule
from service.domain.networks import Networks, Own, anchor_at, own
from service.domain.results import DatasetGrid, GridResult

_Of = Callable[[GridResult, DatasetGrid], Measure]

_ITSELF: Final = "itself, with its own running statistics"
_SHOWN: Final = "with the running statistics that every point of the {} has (`buffers`)"
_ORIGIN: Final = (0.0, 0.0)
_TARGET: Final = (1.0, 0.0)


def center_loss(result: GridResult, dataset: DatasetGrid) -> Measure:
    """The loss of the trained network itself."""
    return _loss(result, dataset, "origin", _ORIGIN, f"Loss of the trained network {_ITSELF}.")


def origin_loss(result: GridResult, dataset: DatasetGrid) -> Measure:
    """The loss of the origin itself."""
    return _loss(result, dataset, "origin", _ORIGIN, f"Loss of the origin checkpoint {_ITSELF}.")


def target_loss(result: GridResult, dataset: DatasetGrid) -> Measure:
    """The loss of the target itself."""
    return _loss(result, dataset, "target", _TARGET, f"Loss of the target checkpoint {_ITSELF}.")


def center_accuracy(result: GridResult, dataset: DatasetGrid) -> Measure:
    """The accuracy of the trained network itself."""
    definition = f"Accuracy of the trained network {_ITSELF}."
    return _accuracy(result, dataset, "origin", _ORIGIN, definition)


def origin_accuracy(result: GridResult, dataset: DatasetGrid) -> Measure:
    """The accuracy of the origin itself."""
    definition = f"Accuracy of the origin checkpoint {_ITSELF}."
    return _accuracy(result, dataset, "origin", _ORIGIN, definition)


def target_accuracy(result: GridResult, dataset: DatasetGrid) -> Measure:
    """The accuracy of the target itself."""
    definition = f"Accuracy of the target checkpoint {_ITSELF}."
    return _accuracy(result, dataset, "target", _TARGET, definition)


def _on_line(at: tuple[float, float], *, accuracy: bool) -> _Of:
    what = "Accuracy" if accuracy else "Loss"
    definition = f"{what} that the line gives at α = {at[0]:g}, {_SHOWN.format('line')}."

    def rule(result: GridResult, dataset: DatasetGrid) -> Measure:
        found = _at(result, dataset, at)
        return _share(found, dataset, definition) if accuracy else _measured(found, definition)

    return rule


def _of_network(axis: str, *, accuracy: bool) -> _Of:
    at = (1.0, 0.0) if axis == "x" else (0.0, 1.0)
    what = "Accuracy" if accuracy else "Loss"
    definition = f"{what} of the network that the direction {axis} leads to, {_ITSELF}."
    rule = _accuracy if accuracy else _loss
    return lambda result, dataset: rule(result, dataset, axis, at, definition)


def _loss(
    result: GridResult,
    dataset: DatasetGrid,
    role: str,
    at: tuple[float, float],
    definition: str,
) -> Measure:
    return _measured(own(result, dataset.name, role) or _at(result, dataset, at), definition)


def _accuracy(
    result: GridResult,
    dataset: DatasetGrid,
    role: str,
    at: tuple[float, float],
    definition: str,
) -> Measure:
    found = own(result, dataset.name, role) or _at(result, dataset, at)
    return _share(found, dataset, definition)


def _at(result: GridResult, dataset: DatasetGrid, at: tuple[float, float]) -> Own:
    """What the line or plane gives at one of its anchors."""
    index = anchor_at(result, at)
    if index is None:
        return Own(math.nan, math.nan, math.nan, CellStatus.PENDING)
    tile = dataset.anchors
    return Own(
        float(tile.loss[index]),
        float(tile.stderr[index]),
        math.nan if tile.accuracy is None else float(tile.accuracy[index]),
        CellStatus(int(tile.status[index])),
    )


def _measured(found: Own, definition: str) -> Measure:
    if found.status is not CellStatus.OK:
        return undefined(definition, f"the loss there is {found.status.word}")
    return Measure(found.loss, definition, stderr=found.stderr)


def _share(found: Own, dataset: DatasetGrid, definition: str) -> Measure:
    if found.status is not CellStatus.OK or not np.isfinite(found.accuracy):
        return undefined(definition, f"the loss there is {found.status.word}")
    samples = dataset.effective_samples
    # of a binomial share, with two answers of either kind added (Agresti and Coull 1998), so that
    # no error is zero; an upper bound where a sample counts for several answers
    middle = (found.accuracy * samples + 2) / (samples + 4)
    error = math.sqrt(middle * (1 - middle) / (samples + 4))
    return Measure(found.accuracy, definition, stderr=error)


#: Beside a line's own ends, where they are told apart from what it gives.
ON_LINE: Final = tuple(
    Rule(f"{end}_loss_on_line", f"Loss on the line at the {end}", Reads.ANCHORS, of)
    for end, of in (
        ("origin", _on_line(_ORIGIN, accuracy=False)),
        ("target", _on_line(_TARGET, accuracy=False)),
    )
)
ON_LINE_ACCURACY: Final = tuple(
    Rule(f"{end}_accuracy_on_line", f"{end.capitalize()} accuracy on line", Reads.ANCHORS, of)
    for end, of in (
        ("origin", _on_line(_ORIGIN, accuracy=True)),
        ("target", _on_line(_TARGET, accuracy=True)),
    )
)
#: Of a plane through further networks, by axis, where they are told apart from its points.
ON_PLANE: Final = {
    axis: Rule(
        f"network_{axis}_loss",
        f"Loss of the network along {letter}",
        Reads.ANCHORS,
        _of_network(axis, accuracy=False),
    )
    for axis, letter in (("x", "α"), ("y", "β"))
}
ON_PLANE_ACCURACY: Final = {
    axis: Rule(
        f"network_{axis}_accuracy",
        f"Network {axis} accuracy",
        Reads.ANCHORS,
        _of_network(axis, accuracy=True),
    )
    for axis in ("x", "y")
}
TARGET: Final = Rule("target_loss", "Loss at the target", Reads.ANCHORS, target_loss)
TARGET_ACCURACY: Final = Rule("target_accuracy", "Target accuracy", Reads.ANCHORS, target_accuracy)
#: Every one of them.
BESIDE: Final = (
    *(TARGET, *ON_LINE, TARGET_ACCURACY, *ON_LINE_ACCURACY),
    *(*ON_PLANE.values(), *ON_PLANE_ACCURACY.values()),
)


def beside(result: GridResult, dataset: DatasetGrid) -> tuple[Rule, ...]:
    """The measures of networks that are told apart from the points at their places."""
    networks = Networks.of(result)
    if networks is None:
        return ()
    accuracy = dataset.anchors.accuracy is not None
    rules: list[Rule] = []
    if networks.place("target") is not None:
        rules += (TARGET, *ON_LINE)
        if accuracy:
            rules += (TARGET_ACCURACY, *ON_LINE_ACCURACY)
    for axis in ("x", "y"):
        if networks.place(axis) is not None:
            rules.append(ON_PLANE[axis])
            if accuracy:
                rules.append(ON_PLANE_ACCURACY[axis])
    return tuple(rules)
