"""A plane of which some cells were evaluated, with the others filled in and every cell labelled.

Owns what an interpolated cell is: its loss is the spline's; its accuracy a linear radial-basis
interpolant's, kept within 0 and 1; its standard error is unknown (NaN). Each data set gets
`evaluated` (1 or 0) and `estimated_error` (relative, on the loss; 0 where evaluated) as values of
every cell. Evaluated cells keep every bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from service.domain.adaptive import ESTIMATED_ERROR, EVALUATED, Sampling
from service.domain.cells import CellStatus
from service.domain.results import DatasetGrid, GridResult
from workers.adaptive.estimate import STATED, Estimate, Mask
from workers.adaptive.radial import Floats, interpolate


@dataclass(frozen=True)
class Account:
    """What the audit found of one data set; None of it where every cell was evaluated.

    Attributes:
        largest, median: stated errors of the cells that were not evaluated.
        expected: share of all cells that is expected to lie within the tolerance, with caution.
    """

    estimate: Estimate | None
    largest: float
    median: float
    expected: float

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "estimated_error": {"largest": self.largest, "median": self.median},
            "expected_within_tolerance": self.expected,
        }
        found = self.estimate
        if found is not None:
            body["interpolant"] = found.interpolant
            body["audit"] = {
                "cells": found.audited,
                "within_tolerance": found.within_tolerance / found.audited,
                "within_stated_error": found.within_stated / found.audited,
                "level": STATED,
            }
        return body


@dataclass(frozen=True)
class Filled:
    """The plane, and one account for each data set by name."""

    result: GridResult
    cells: int
    evaluations: int
    accounts: Mapping[str, Account]


def fill(
    result: GridResult, evaluated: Mask, estimates: Sequence[Estimate], *, tolerance: float
) -> Filled:
    """Fills in what is not `evaluated`, shape (cells,).

    Args:
        estimates: one for each data set; none when every cell was evaluated.
        tolerance: that the estimates were made for; it stays with the result.
    """
    grids, accounts = [], {}
    for i, grid in enumerate(result.datasets):
        found = estimates[i] if estimates else None
        filled, account = _fill(grid, evaluated, found)
        grids.append(filled)
        accounts[grid.name] = account
    kept = Sampling(tolerance, tuple(a.expected for a in accounts.values()))
    return Filled(
        result=replace(
            result,
            datasets=tuple(grids),
            attachments={**result.attachments, **kept.arrays()},
        ),
        cells=evaluated.size,
        evaluations=int(evaluated.sum()),
        accounts=accounts,
    )


def _fill(
    grid: DatasetGrid, evaluated: Mask, found: Estimate | None
) -> tuple[DatasetGrid, Account]:
    shape = grid.loss.shape
    here = evaluated.reshape(shape)
    error = np.zeros(shape)
    loss, status, accuracy = grid.loss, grid.status, grid.accuracy
    if found is not None:
        with np.errstate(over="ignore"):
            error = np.where(here, 0.0, np.expm1(found.bound).reshape(shape))
            loss = np.where(here, loss, np.exp(found.log_loss).reshape(shape))
        status = np.where(here, status, np.int8(CellStatus.OK))
        if accuracy is not None:
            accuracy = np.where(here, accuracy, _accuracy(accuracy, here & (grid.status == 0)))
    account = Account(
        estimate=found,
        largest=float(error.max()),
        median=float(np.median(error[~here])) if not here.all() else 0.0,
        expected=1.0 if found is None else 1 - found.missing(~evaluated) - found.caution,
    )
    extra = {**grid.extra, EVALUATED: here.astype(np.float64), ESTIMATED_ERROR: error}
    count = len(grid.anchors.loss)
    # what every result must know is evaluated, on the grid or beside it
    known = {EVALUATED: np.ones(count), ESTIMATED_ERROR: np.zeros(count)}
    anchors = replace(grid.anchors, extra={**grid.anchors.extra, **known})
    filled = replace(
        grid, loss=loss, status=status, accuracy=accuracy, anchors=anchors, extra=extra
    )
    return filled, account


def _accuracy(accuracy: Floats, known: Mask) -> Floats:
    places = np.argwhere(np.ones(accuracy.shape, dtype=np.bool_)).astype(np.float64)
    known = known & np.isfinite(accuracy)
    if int(known.sum()) < 3:
        return np.full(accuracy.shape, np.nan)
    fitted = interpolate(places[known.ravel()], accuracy[known][:, None], places, "linear")
    return np.clip(np.round(fitted.values, 10), 0.0, 1.0).reshape(accuracy.shape)
