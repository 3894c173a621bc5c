"""What is said of the line through two checkpoints alone."""

from __future__ import annotations

from workers.protocol import MessagePart


class Segment(MessagePart):
    """The checkpoint at α = 1, which is open in the child."""

    target: str


class SegmentTile(Segment):
    """Of a tile; `weights` asks for the histograms of both ends' weights beside it."""

    weights: bool
