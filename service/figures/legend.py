"""The strip of legend entries below a plot: never over the data, never cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from matplotlib.artist import Artist
from matplotlib.legend import Legend
from matplotlib.legend_handler import HandlerTuple
from matplotlib.patches import Patch

from service.domain.cells import CellStatus
from service.figures.page import MARGIN, Page
from service.figures.shown import WORDS
from service.figures.theme import Theme


@dataclass(frozen=True)
class Entry:
    """A sign, or several side by side, and what it means."""

    sign: Artist | tuple[Artist, ...]
    meaning: str


#: One pattern for each kind of cell without a value; a pending cell is a flat tone.
HATCHES = {
    CellStatus.NAN: "////",
    CellStatus.POSINF: "\\\\\\\\",
    CellStatus.NEGINF: "----",
    CellStatus.INVALID_BUFFER: "xxxx",
    CellStatus.FAILED: "++++",
    CellStatus.OK: "....",
}


def void_look(code: CellStatus, theme: Theme) -> dict[str, Any]:
    """How cells of this status look, as properties of a patch."""
    if code is CellStatus.PENDING:
        return {"facecolor": theme.pending, "edgecolor": "none", "linewidth": 0}
    return {
        "facecolor": theme.void,
        "edgecolor": theme.hatch,
        "linewidth": 0,
        "hatch": HATCHES[code],
    }


def void_entry(code: CellStatus, count: int, theme: Theme, things: str = "cell") -> Entry:
    """`NaN: 12 cells`."""
    return Entry(
        Patch(**void_look(code, theme)),
        f"{WORDS[code]}: {count:,} {things}{'' if count == 1 else 's'}",
    )


def _fitted(page: Page, text: str, width: float) -> str:
    """The text on up to two lines, its middle left out when that does not do."""
    lines = page.wrap(text, page.text_size, width=width)
    return "\n".join(lines) if len(lines) <= 2 else page.elide(text, page.text_size, width)


class Strip:
    """Entries in as many columns as fit."""

    def __init__(self, page: Page, entries: list[Entry]) -> None:
        self.page = page
        self.legend: Legend | None = None
        self.height = 0.0
        if not entries:
            return
        sign_width = 0.5
        texts = [_fitted(page, entry.meaning, page.inner_width - sign_width) for entry in entries]
        for most in range(min(len(entries), 6), 0, -1):
            rows = -(-len(entries) // most)
            columns = -(-len(entries) // rows)
            self._draw(entries, texts, columns)
            box = page.box([self.legend] if self.legend else [])
            if box.width <= page.inner_width or columns == 1:
                self.height = box.height + 0.04
                return

    def place(self, top: float) -> None:
        if self.legend is not None:
            at = (MARGIN / self.page.width, 1 - top / self.page.height)
            self.legend.set_bbox_to_anchor(at, transform=self.page.figure.transFigure)

    def _draw(self, entries: list[Entry], texts: list[str], columns: int) -> None:
        if self.legend is not None:
            self.legend.remove()
        # signs side by side are a tuple, which matplotlib draws but does not declare
        signs: list[Any] = [entry.sign for entry in entries]
        self.legend = self.page.figure.legend(
            signs,
            # a label that begins with an underscore would be left out: the texts are set below
            [str(k) for k in range(len(entries))],
            loc="upper left",
            bbox_to_anchor=(0, 1),
            ncols=columns,
            frameon=False,
            borderpad=0,
            borderaxespad=0,
            handler_map={tuple: HandlerTuple(ndivide=None, pad=0)},
            handlelength=2.4,
            handleheight=1.0,
            columnspacing=1.6,
            labelspacing=0.35,
            fontsize=self.page.text_size,
            labelcolor=self.page.theme.ink,
        )
        for label, text in zip(self.legend.get_texts(), texts, strict=True):
            label.set_parse_math(False)
            label.set_text(text)
