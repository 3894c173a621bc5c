"""Measures of the line through two networks: its ends, and the barrier between them."""

from __future__ import annotations

from typing import Final

from service.domain.derived import ends
from service.domain.derived.rule import Reads, Rule
from service.domain.questions.interpolation.barrier import barrier, barrier_over_worse_end

MEASURES: Final = (
    Rule("origin_loss", "Loss at the origin", Reads.ANCHORS, ends.origin_loss),
    ends.TARGET,
    Rule("barrier", "Barrier", Reads.CELL, barrier),
    Rule(
        "barrier_over_worse_end",
        "Barrier over the worse end",
        Reads.CELL,
        barrier_over_worse_end,
    ),
)
#: Where the loss has an accuracy.
ACCURACIES: Final = (
    Rule("origin_accuracy", "Origin accuracy", Reads.ANCHORS, ends.origin_accuracy),
    ends.TARGET_ACCURACY,
)
