"""What every view of a grid offers to the page that holds it."""

from __future__ import annotations

from typing import Protocol

from service.figures.legend import Entry


class Drawing(Protocol):
    """A plot between the page's head and its legend."""

    @property
    def entries(self) -> list[Entry]:
        """Signs to be explained below the plot."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader has to know of this drawing."""

    def measure(self) -> float:
        """Sizes the plot to the page's width; returns its height with all its labels, inches."""

    def place(self, top: float) -> None:
        """Puts it there, and sets what depends on its final place."""
