"""One scale for panels that are compared. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

#: As the service chooses by itself for a single figure.
_LOG_RATIO: Final = 100.0
#: Losses beyond so many times that of guessing are drawn as the scale's end.
_GUESSES: Final = 10.0


@dataclass(frozen=True)
class Scale:
    """Ends and kind of the colours, the same for every panel of a row.

    Attributes:
        cut: whether there are values above the upper end.
    """

    low: float
    high: float
    log: bool
    cut: bool

    def options(self) -> dict[str, Any]:
        """As the figure's query takes it."""
        return {"vmin": self.low, "vmax": self.high, "log": self.log}


def shared(
    values: Iterable[np.ndarray[Any, np.dtype[np.float64]]], classes: int, *, whole: bool = False
) -> Scale | None:
    """The scale of losses: from the lowest of all panels to the highest.

    It ends at ten times the loss of guessing among `classes`, if values lie above and not the
    `whole` of them is wanted. It is
    logarithmic when the ends are more than a hundredfold apart. None when no value is finite.
    """
    return _scale(values, math.inf if whole else _GUESSES * math.log(max(2, classes)))


def shared_ratio(values: Iterable[np.ndarray[Any, np.dtype[np.float64]]]) -> Scale | None:
    """The scale of |λ_min/λ_max|: from 0 to the highest of all panels, at most 1 (the paper's)."""
    found = _scale(values, 1.0)
    return None if found is None else Scale(0.0, found.high, False, found.cut)


def _scale(values: Iterable[np.ndarray[Any, np.dtype[np.float64]]], limit: float) -> Scale | None:
    known = [array[np.isfinite(array)] for array in values]
    known = [array for array in known if array.size]
    if not known:
        return None
    low = min(float(array.min()) for array in known)
    top = max(float(array.max()) for array in known)
    # a row that lies above the limit as a whole is shown as it is
    high = min(top, limit) if low < limit else top
    if not high > low:
        high = low + max(abs(low) * 0.1, 1e-6)
    log = low > 0 and high / low > _LOG_RATIO
    return Scale(low, high, log, top > high)
