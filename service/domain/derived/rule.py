"""A measure's rule: its name, what it is read from, and what computes it. Knows no measure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from service.domain.derived.measure import Measure
from service.domain.results import DatasetGrid, GridResult


class Reads(StrEnum):
    """What a measure is read from: whether the error of interpolated cells reaches it.

    `cell`: a single cell, which may be an interpolated one. `shape`: how cells lie beside each
    other. `anchors`: points that are evaluated always, networks themselves, or curvature, which is
    never interpolated.
    """

    CELL = "cell"
    SHAPE = "shape"
    ANCHORS = "anchors"


@dataclass(frozen=True)
class Rule:
    """How a measure comes of a result.

    Attributes:
        name: on the wire.
        label: in tables.
        reads: said by every measure; there is no default.
        of: the measure of one data set.
    """

    name: str
    label: str
    reads: Reads
    of: Callable[[GridResult, DatasetGrid], Measure]
