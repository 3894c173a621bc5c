"""What is said of lines alone."""

from __future__ import annotations

from workers.protocol import MessagePart


class LineTile(MessagePart):
    """Of a tile; `weights` asks for the histogram of the origin's weights beside it."""

    weights: bool
