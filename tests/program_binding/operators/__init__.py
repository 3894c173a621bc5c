"""A table of every allowed operator with each choice of arguments that means something."""

from __future__ import annotations

from typing import Final

from tests.program_binding.operators import (
    activations,
    arithmetic,
    attention,
    layers,
    losses,
    products,
    reductions,
    shapes,
)
from tests.program_binding.operators.case import OperatorCase

TABLE: Final[tuple[OperatorCase, ...]] = (
    *products.CASES,
    *layers.CASES,
    *activations.CASES,
    *attention.CASES,
    *arithmetic.CASES,
    *reductions.CASES,
    *shapes.CASES,
    *losses.CASES,
)
