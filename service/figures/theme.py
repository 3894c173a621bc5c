"""Colours of the light and the dark theme, safe for colour-blind readers. Draws nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import matplotlib as mpl
from matplotlib.colors import Colormap, LinearSegmentedColormap


@dataclass(frozen=True)
class Theme:
    """Colours by role.

    Attributes:
        lines: the part of the colour map, from 0 to 1, that stands out as thin lines from the
            paper: neither its palest end on white nor its darkest on black.
        series: one colour for each metric of a curve (Okabe and Ito's palette).
        path: of a single run of training, early and late.
        runs: one colour for each of several; none is red, which marks a lowered learning rate.
        diverging: name of the colour map for values of both signs.
    """

    paper: str
    ink: str
    muted: str
    rule: str
    pending: str
    void: str
    hatch: str
    lines: tuple[float, float]
    series: tuple[str, str]
    path: tuple[str, str]
    runs: tuple[str, ...]
    diverging: str

    @property
    def fill_map(self) -> Colormap:
        """For areas."""
        return mpl.colormaps["viridis"]

    def areas(self, *, diverging: bool) -> Colormap:
        """For areas of values of one sign, or of both with the paper's tone at zero."""
        return mpl.colormaps[self.diverging] if diverging else self.fill_map

    @property
    def line_map(self) -> Colormap:
        """For contour lines."""
        whole = self.fill_map
        low, high = self.lines
        steps = [whole(low + (high - low) * k / 255) for k in range(256)]
        return LinearSegmentedColormap.from_list("lossatlas-lines", steps)


THEMES: Final[dict[Literal["light", "dark"], Theme]] = {
    "light": Theme(
        paper="#ffffff",
        ink="#1b1f24",
        muted="#57606a",
        rule="#d8dee4",
        pending="#e2e5e9",
        void="#f6f7f9",
        hatch="#7a828c",
        lines=(0.0, 0.8),
        series=("#0072b2", "#d55e00"),
        path=("#9aa3ad", "#000000"),
        runs=("#000000", "#d55e00", "#0072b2", "#cc79a7", "#8a6d00", "#009e73"),
        diverging="RdBu_r",
    ),
    "dark": Theme(
        paper="#14181d",
        ink="#e6edf3",
        muted="#a3adb8",
        rule="#343b44",
        pending="#333a43",
        void="#1b2026",
        hatch="#8b949e",
        lines=(0.3, 1.0),
        series=("#56b4e9", "#e69f00"),
        path=("#78828d", "#ffffff"),
        runs=("#ffffff", "#e69f00", "#56b4e9", "#e8a0c8", "#f0e442", "#4fd1a5"),
        diverging="berlin",
    ),
}
