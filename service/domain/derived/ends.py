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
from service.domain.networks import Networks, Own, anchor_at, own
from service.domain.results import DatasetGrid, GridResult

Rule = Callable[[GridResult, DatasetGrid], Measure]

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


def _on_line(at: tuple[float, float], *, accuracy: bool) -> Rule:
    what = "Accuracy" if accuracy else "Loss"
    definition = f"{what} that the line gives at α = {at[0]:g}, {_SHOWN.format('line')}."

    def rule(result: GridResult, dataset: DatasetGrid) -> Measure:
        found = _at(result, dataset, at)
        return _share(found, dataset, definition) if accuracy else _measured(found, definition)

    return rule


def _of_network(axis: str, *, accuracy: bool) -> Rule:
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
ON_LINE: Final[dict[str, Rule]] = {
    "origin_loss_on_line": _on_line(_ORIGIN, accuracy=False),
    "target_loss_on_line": _on_line(_TARGET, accuracy=False),
}
ON_LINE_ACCURACY: Final[dict[str, Rule]] = {
    "origin_accuracy_on_line": _on_line(_ORIGIN, accuracy=True),
    "target_accuracy_on_line": _on_line(_TARGET, accuracy=True),
}
#: Of a plane through further networks, where they are told apart from its points.
ON_PLANE: Final[dict[str, Rule]] = {
    f"network_{axis}_loss": _of_network(axis, accuracy=False) for axis in ("x", "y")
}
ON_PLANE_ACCURACY: Final[dict[str, Rule]] = {
    f"network_{axis}_accuracy": _of_network(axis, accuracy=True) for axis in ("x", "y")
}


def beside(result: GridResult, dataset: DatasetGrid) -> dict[str, Rule]:
    """The measures of networks that are told apart from the points at their places."""
    networks = Networks.of(result)
    if networks is None:
        return {}
    accuracy = dataset.anchors.accuracy is not None
    rules: dict[str, Rule] = {}
    if networks.place("target") is not None:
        rules |= {"target_loss": target_loss, **ON_LINE}
        if accuracy:
            rules |= {"target_accuracy": target_accuracy, **ON_LINE_ACCURACY}
    for axis in ("x", "y"):
        if networks.place(axis) is not None:
            names = (f"network_{axis}_loss", f"network_{axis}_accuracy")
            rules |= {name: ON_PLANE[name] for name in names[:1]}
            if accuracy:
                rules |= {name: ON_PLANE_ACCURACY[name] for name in names[1:]}
    return rules
