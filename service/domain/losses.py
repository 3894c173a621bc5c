"""The named losses, and what the service may check about them without torch."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class LossName(StrEnum):
    """Per-sample losses. `program`: the uploaded program returns them itself."""

    CROSS_ENTROPY = "cross_entropy"
    MSE = "mse"
    L1 = "l1"
    HUBER = "huber"
    BCE_WITH_LOGITS = "bce_with_logits"
    NLL = "nll"
    PROGRAM = "program"


#: Losses for which integer targets are class indices and accuracy is defined.
CLASSIFYING: Final = frozenset({LossName.CROSS_ENTROPY, LossName.NLL})
