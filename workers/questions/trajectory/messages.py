"""What is said of a path of training alone. Rows are checkpoints, one run after another."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, NonNegativeInt

from service.domain.directions import Ignored
from workers.protocol import MessagePart, Place

#: (lowest, highest) along an axis.
Reach = tuple[FiniteFloat, FiniteFloat]


class AskedPath(MessagePart):
    """The path to find the plane of.

    Attributes:
        paths: files of the checkpoints, row by row.
        centre: the row that everything is relative to.
        exclude: parameters that the path is not looked at in.
        random_planes: how many to compare the share of variation with.
        margin: of the surface, relative to the path's extent.
    """

    paths: tuple[str, ...]
    centre: NonNegativeInt
    centring: Literal["final", "mean"]
    exclude: frozenset[Ignored]
    random_planes: NonNegativeInt
    margin: Annotated[FiniteFloat, Field(ge=0)]


class FoundPath(MessagePart):
    """The path on its plane; see `TrajectoryPart`. `extent` is how far the surface must reach."""

    coordinates: tuple[Place, ...]
    residuals: tuple[FiniteFloat, ...]
    distances: tuple[FiniteFloat, ...]
    explained_variance: tuple[FiniteFloat, ...]
    share: FiniteFloat
    random_shares: tuple[FiniteFloat, ...]
    extent: tuple[Reach, Reach]
    excluded: tuple[str, ...]
