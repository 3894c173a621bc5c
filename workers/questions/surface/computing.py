"""Surfaces in a child: the cells of a plane, as all kinds evaluate them."""

from __future__ import annotations

from typing import Final

from workers.computation.grid import GridHalf

HALF: Final = GridHalf
