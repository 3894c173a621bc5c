"""What is said of curvature alone."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveInt

from service.domain.questions.curvature.part import CurvaturePart
from service.domain.questions.curvature.spec import CurvatureJob
from workers.protocol import Count, MessagePart


class Asked(MessagePart):
    """Of a request to prepare; `memory_bytes` is for products and Krylov bases together."""

    asked: CurvatureJob
    memory_bytes: int


class Chosen(MessagePart):
    """How products are formed; see `CurvaturePart`."""

    form: str
    retain: bool
    tolerance: FiniteFloat
    max_products: NonNegativeInt
    probes_at_once: PositiveInt
    steps: Annotated[Count, Field(ge=1)] | None
    memory_bytes: int


class CurvatureTile(MessagePart):
    """Of a tile: what is asked, and the plan's way to it."""

    asked: CurvatureJob
    way: CurvaturePart
