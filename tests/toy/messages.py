"""What the toy's two halves say to each other alone."""

from __future__ import annotations

from workers.protocol import MessagePart


class ToyAsked(MessagePart):
    """Of what is to be prepared: how many radii there are."""

    radii: int


class ToyFound(MessagePart):
    """Of the answer."""

    asked: int
