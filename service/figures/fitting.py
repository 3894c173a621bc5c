"""How large a plot becomes: as wide as the page with all its labels, at a height that is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from matplotlib.axes import Axes

from service.figures.page import MARGIN, Page

#: Puts a plot's frame: left, top, width, height, in inches from the page's top left.
Put = Callable[[float, float, float, float], None]

#: Labels change with the width that they leave: after so many rounds they have settled.
_ROUNDS: Final = 3


@dataclass(frozen=True)
class Fit:
    """A frame's place and size, and how far labels reach above and below it, in inches."""

    left: float
    above: float
    below: float
    width: float
    height: float

    @property
    def total(self) -> float:
        """The height with all labels."""
        return self.above + self.height + self.below


def fit(
    page: Page,
    axes: Sequence[Axes],
    put: Put,
    *,
    share: float,
    height: float,
    top: float = 0.3,
) -> Fit:
    """Widens a plot until it fills the page with its labels.

    Args:
        axes: the plot's; the frame is that of the first.
        put: places it, and chooses the ticks for that size.
        share: of the page's width, to begin with.
        top: where it is put meanwhile.
    """
    width = page.inner_width * share
    left = above = below = 0.0
    for _ in range(_ROUNDS):
        put(MARGIN + left, top, width, height)
        left, right, above, below = page.overhangs(axes)
        width = page.inner_width - left - right
    return Fit(MARGIN + left, above, below, width, height)
