"""The named losses and their options, and what the service may check about them without torch."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field


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


class Reduction(StrEnum):
    """What counts alike in the mean over a data set.

    `sample`: every sample, its loss being the mean over its positions. `position`: every position
    of any sample, as programs that train language models print it.
    """

    SAMPLE = "sample"
    POSITION = "position"


class LossOptions(BaseModel):
    """How a named loss is taken, where that is not the default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reduction: Reduction = Field(
        default=Reduction.SAMPLE,
        description="What counts alike in the mean over a data set: every `sample`, its loss being "
        "the mean over its positions (tokens, pixels), or every `position` of any sample, as "
        "programs that train language models print it. Without positions both are the same.",
    )

    def asked(self) -> dict[str, Any]:
        """The options that are not left at their defaults: what identifies a question. What was
        asked before an option was there goes by the digest that it had.
        """
        found: dict[str, Any] = self.model_dump(mode="json", exclude_defaults=True)
        return found
